"""The agent: a prompt and what was said before, to an answer in pieces."""

import re
from collections.abc import Callable, Iterator

from . import prompts, tools
from .config import Config
from .memory import Memory, Turn

# A model yields its answer in pieces, as they come.
Model = Callable[[str, list[Turn]], Iterator[str]]


class Agent:
    """Answers prompts and remembers what was said."""

    def __init__(self, model: Model, memory: Memory) -> None:
        self._model = model
        self._memory = memory

    def answer(self, prompt: str, session: str) -> Iterator[str]:
        """The answer in pieces. Only one that came to its end is remembered."""
        reply = []
        for piece in self._model(prompt, self._memory.turns(session)):
            reply.append(piece)
            yield piece
        self._memory.add(session, Turn(prompt, "".join(reply)))


def by_rule(prompt: str, turns: list[Turn]) -> Iterator[str]:
    """Answer without a model: the same question always gets the same answer."""
    reply = _reply(prompt)
    if prompt != "ping" and any(turn.prompt == prompt for turn in turns):
        reply = prompts.AGAIN.format(reply=reply)
    yield from re.findall(r"\S+\s*", reply)


def _reply(prompt: str) -> str:
    if prompt == "ping":
        return "pong"
    order = re.search(r"\border\s+#?(\d+)", prompt, re.IGNORECASE)
    if order:
        status = tools.order_status(order[1])
        text = prompts.ORDER if status else prompts.NO_ORDER
        return text.format(order=order[1], status=status)
    if "time" in prompt.lower().split():
        return prompts.TIME.format(time=tools.current_time())
    return prompts.HELP


def bedrock(client, model_id: str) -> Model:
    """A model of Bedrock, by its Converse API."""

    def ask(prompt: str, turns: list[Turn]) -> Iterator[str]:
        messages = []
        for turn in [*turns, Turn(prompt, "")]:
            messages.append({"role": "user", "content": [{"text": turn.prompt}]})
            if turn.reply:
                messages.append({"role": "assistant", "content": [{"text": turn.reply}]})
        answer = client.converse_stream(
            modelId=model_id, system=[{"text": prompts.SYSTEM}], messages=messages
        )
        for event in answer["stream"]:
            text = event.get("contentBlockDelta", {}).get("delta", {}).get("text")
            if text:
                yield text

    return ask


def model_of(config: Config) -> Model:
    """The model that the settings ask for.

    boto3 is imported only where a model is named: without one, the agent needs
    nothing but Python.
    """
    if not config.model_id:
        return by_rule
    try:
        import boto3
    except ImportError as err:
        raise RuntimeError("MODEL_ID is set: the image needs boto3 (see README.md)") from err
    return bedrock(boto3.client("bedrock-runtime", region_name=config.region), config.model_id)
