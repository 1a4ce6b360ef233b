"""The words of the agent."""

SYSTEM = """You answer customers of a shop. Be brief and friendly. \
Say so when you do not know; never invent an order's status or a price."""

HELP = "I can tell you where an order is: ask me about order 1001. I also know the time."
NO_ORDER = "I know no order {order}."
ORDER = "Order {order} is {status}."
TIME = "It is {time}."
AGAIN = "You have asked that before. {reply}"
