"""What the agent can look up. Each tool is a plain function of its arguments."""

from datetime import UTC, datetime

# A shop would ask its order system here.
ORDERS = {"1001": "on its way", "1002": "packed", "1003": "delivered"}


def order_status(order: str) -> str | None:
    """The status of an order, None for one that does not exist."""
    return ORDERS.get(order)


def current_time(now: datetime | None = None) -> str:
    """The time, in UTC."""
    return (now or datetime.now(UTC)).strftime("%H:%M UTC")
