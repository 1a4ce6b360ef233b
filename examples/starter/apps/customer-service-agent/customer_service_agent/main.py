"""The HTTP protocol contract of AgentCore Runtime, on port 8080.

GET /ping          is the process well?
POST /invocations  {"prompt": "…"} -> {"reply": "…"}, or server-sent events
                   where the caller asks for them: {"stream": true}, or
                   text/event-stream as the first that Accept names

Source: "HTTP protocol contract" in the AgentCore developer guide.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from . import agent, config
from .memory import Memory

SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
MOST_BYTES = 1 << 20  # of a payload; AgentCore itself lets 100 MB through

log = logging.getLogger("customer_service_agent")


class Refused(Exception):
    """A request that can't be answered, and why."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _limit(size: int) -> None:
    if not 0 <= size <= MOST_BYTES:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the most is {MOST_BYTES} bytes")


class Server(ThreadingHTTPServer):
    """Serves one agent. A request that still runs does not keep it from ending."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], served: agent.Agent) -> None:
        super().__init__(address, Handler)
        self.agent = served
        # The time of the last change of status, and there is none: a time that
        # moves with each ping would keep the session from ever being idle.
        self.healthy_since = int(time.time())


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # s, for a client that stands still
    server: Server

    def do_GET(self) -> None:
        if self.path != "/ping":
            self._json(HTTPStatus.NOT_FOUND, {"error": "there are GET /ping and POST /invocations"})
            return
        health = {"status": "Healthy", "time_of_last_update": self.server.healthy_since}
        self._json(HTTPStatus.OK, health)

    def do_POST(self) -> None:
        try:
            if self.path != "/invocations":
                raise Refused(HTTPStatus.NOT_FOUND, "there are GET /ping and POST /invocations")
            prompt, stream = self._payload()
        except Refused as err:
            self.close_connection = True  # what is left of the body is not read
            self._json(err.status, {"error": str(err)})
            return
        session = self.headers.get(SESSION_HEADER, "local")
        log.info("session %s asks %d characters", session, len(prompt))
        pieces = self.server.agent.answer(prompt, session)
        if stream:
            self._events(pieces, session)
            return
        try:
            reply = "".join(pieces)
        except Exception:  # whatever a model raises, the caller gets an answer
            log.exception("session %s got no answer", session)
            self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the agent failed"})
            return
        self._json(HTTPStatus.OK, {"reply": reply, "session": session})

    def _payload(self) -> tuple[str, bool]:
        """The prompt, and whether the answer shall be streamed."""
        try:
            payload = json.loads(self._body())
        except ValueError as err:
            raise Refused(HTTPStatus.BAD_REQUEST, "the payload is no JSON") from err
        prompt = payload.get("prompt") if isinstance(payload, dict) else None
        if not isinstance(prompt, str) or not prompt:
            raise Refused(HTTPStatus.BAD_REQUEST, 'the payload is no {"prompt": "text"}')
        first = self.headers.get("Accept", "").partition(",")[0].strip()
        return prompt, payload.get("stream") is True or first == "text/event-stream"

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise Refused(HTTPStatus.BAD_REQUEST, "the Content-Length is no number")
        _limit(int(length))
        return self.rfile.read(int(length))

    def _chunks(self) -> Iterator[bytes]:
        """A body that names the length of its parts alone (RFC 9112, 7.1)."""
        total = 0
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            _limit(size)
            total += size
            _limit(total)
            yield self.rfile.read(size)
            self.rfile.readline(2)
        while self.rfile.readline(1024).strip():
            pass  # trailers

    def _json(self, status: HTTPStatus, value: dict) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _events(self, pieces: Iterator[str], session: str) -> None:
        """Stream the answer: an event for each piece, and one that says it is whole."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for piece in pieces:
                self._event({"text": piece})
            self._event({"done": True, "session": session})
        except OSError:
            log.info("session %s has gone", session)
            self.close_connection = True
            return
        except Exception:  # the status is out already: the stream says it
            log.exception("session %s got no answer", session)
            self._event({"error": "the agent failed"})
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, value: dict) -> None:
        event = f"data: {json.dumps(value)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def log_message(self, format: str, *args) -> None:  # noqa: A002 (the name is inherited)
        log.debug(format, *args)  # AgentCore pings all the time


def main() -> int:
    """Serve until told to end."""
    try:
        settings = config.load(os.environ)
        served = agent.Agent(agent.model_of(settings), Memory())
    except (ValueError, RuntimeError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.log_level, stream=sys.stdout, format="%(levelname)s %(message)s"
    )
    server = Server(("0.0.0.0", config.PORT), served)  # noqa: S104 (AgentCore calls from outside)
    # The first process of a container has no default for SIGTERM. shutdown()
    # waits for the loop below, so another thread has to call it.
    signal.signal(signal.SIGTERM, lambda *_: Thread(target=server.shutdown).start())
    log.info("%s serves on port %d", settings.environment, config.PORT)
    server.serve_forever()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
