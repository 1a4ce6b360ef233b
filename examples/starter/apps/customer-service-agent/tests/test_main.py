"""The contract, by real requests."""

import http.client
import json
import logging
import os
import subprocess
import sys
import unittest
from threading import Thread

from customer_service_agent import agent, main
from customer_service_agent.memory import Memory

SESSION = "a-session-of-at-least-33-characters"


def failing(prompt, turns):
    yield "half "
    raise RuntimeError("the model is away")


class Contract(unittest.TestCase):
    model = staticmethod(agent.by_rule)

    def setUp(self):
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        self.server = main.Server(("127.0.0.1", 0), agent.Agent(self.model, Memory()))
        thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)
        self.client = http.client.HTTPConnection(*self.server.server_address, timeout=10)
        self.addCleanup(self.client.close)

    def send(self, method, path, body=None, headers=None):
        self.client.request(method, path, body, headers or {})
        response = self.client.getresponse()
        return response, response.read()

    def invoke(self, payload, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(
            "POST", "/invocations", json.dumps(payload), {main.SESSION_HEADER: SESSION, **names}
        )

    def events(self, body):
        return [
            json.loads(event.removeprefix("data: "))
            for event in body.decode().split("\n\n")
            if event
        ]


class Healthy(Contract):
    def test_ping(self):
        first, second = (json.loads(self.send("GET", "/ping")[1]) for _ in range(2))
        self.assertEqual(first["status"], "Healthy")
        self.assertIsInstance(first["time_of_last_update"], int)
        self.assertEqual(first, second, "an idle session would never end")

    def test_invocation(self):
        for accepted in ("*/*", "application/json", "application/json, text/event-stream"):
            with self.subTest(accepted):
                response, body = self.invoke({"prompt": "ping"}, Accept=accepted)
                self.assertEqual(response.getheader("Content-Type"), "application/json")
                self.assertEqual(json.loads(body), {"reply": "pong", "session": SESSION})

    def test_streams(self):
        want = [{"text": "pong"}, {"done": True, "session": SESSION}]
        for name, payload, headers in [
            ("by header", {"prompt": "ping"}, {"Accept": "text/event-stream"}),
            ("by payload", {"prompt": "ping", "stream": True}, {}),
        ]:
            with self.subTest(name):
                response, body = self.invoke(payload, **headers)
                self.assertEqual(response.getheader("Content-Type"), "text/event-stream")
                self.assertEqual(self.events(body), want)
        self.assertEqual(self.send("GET", "/ping")[0].status, 200, "the connection is still good")

    def test_remembers_the_session(self):
        self.invoke({"prompt": "order 1001"})
        self.assertIn(
            "asked that before", json.loads(self.invoke({"prompt": "order 1001"})[1])["reply"]
        )

    def test_takes_a_body_in_chunks(self):
        parts = iter([b'{"prompt": ', b'"ping"}'])
        response, body = self.send("POST", "/invocations", parts)
        self.assertEqual(json.loads(body)["reply"], "pong")
        self.assertEqual(self.send("GET", "/ping")[0].status, 200, "all of it was read")

    def test_refuses(self):
        for name, method, path, body, headers, status in [
            ("no JSON", "POST", "/invocations", "ping", {}, 400),
            ("no object", "POST", "/invocations", "[]", {}, 400),
            ("no prompt", "POST", "/invocations", "{}", {}, 400),
            ("an empty prompt", "POST", "/invocations", '{"prompt": ""}', {}, 400),
            ("another path", "POST", "/invoke", '{"prompt": "ping"}', {}, 404),
            ("another page", "GET", "/health", None, {}, 404),
            ("no body", "POST", "/invocations", None, {}, 400),
            ("no length", "POST", "/invocations", None, {"Content-Length": "much"}, 400),
            ("too much", "POST", "/invocations", None, {"Content-Length": str(2 << 20)}, 413),
        ]:
            with self.subTest(name):
                response, body = self.send(method, path, body, headers)
                self.assertEqual(response.status, status)
                self.assertTrue(json.loads(body)["error"])


class Failing(Contract):
    model = staticmethod(failing)

    def test_invocation(self):
        response, body = self.invoke({"prompt": "ping"})
        self.assertEqual((response.status, json.loads(body)), (500, {"error": "the agent failed"}))

    def test_stream_ends(self):
        response, body = self.invoke({"prompt": "ping", "stream": True})
        self.assertEqual(self.events(body), [{"text": "half "}, {"error": "the agent failed"}])


class Process(unittest.TestCase):
    def test_a_wrong_setting_ends_the_start(self):
        got = subprocess.run(
            [sys.executable, "-m", "customer_service_agent.main"],
            env={**os.environ, "LOG_LEVEL": "loud"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual(got.returncode, 2)
        self.assertIn("error: LOG_LEVEL is LOUD", got.stderr)


if __name__ == "__main__":
    unittest.main()
