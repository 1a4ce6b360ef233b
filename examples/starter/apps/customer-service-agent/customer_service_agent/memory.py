"""What was said in a session.

AgentCore gives each session a machine of its own, which ends with the session:
what is kept here lives exactly as long. What has to outlive it belongs into
AgentCore Memory.
"""

from collections import defaultdict, deque
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True)
class Turn:
    """One question and its answer."""

    prompt: str
    reply: str


class Memory:
    """The last turns of each session. Safe for the server's threads."""

    def __init__(self, turns: int = 20) -> None:
        self._lock = Lock()
        self._sessions: dict[str, deque[Turn]] = defaultdict(lambda: deque(maxlen=turns))

    def turns(self, session: str) -> list[Turn]:
        """The turns of a session, oldest first."""
        with self._lock:
            return list(self._sessions.get(session, ()))

    def add(self, session: str, turn: Turn) -> None:
        """Keep a turn that has ended."""
        with self._lock:
            self._sessions[session].append(turn)
