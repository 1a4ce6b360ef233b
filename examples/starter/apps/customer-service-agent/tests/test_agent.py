"""The agent without a server."""

import unittest
from datetime import UTC, datetime

from customer_service_agent import agent, config, tools
from customer_service_agent.memory import Memory, Turn


class ByRule(unittest.TestCase):
    def setUp(self):
        self.memory = Memory()
        self.agent = agent.Agent(agent.by_rule, self.memory)

    def ask(self, prompt, session="s"):
        return "".join(self.agent.answer(prompt, session))

    def test_answers(self):
        for prompt, want in {
            "ping": "pong",
            "Where is order 1001?": "Order 1001 is on its way.",
            "ORDER #1003": "Order 1003 is delivered.",
            "order 7": "I know no order 7.",
            "hello": "I can tell you where an order is",
        }.items():
            with self.subTest(prompt):
                self.assertIn(want, self.ask(prompt))

    def test_answers_come_in_pieces(self):
        self.assertEqual(
            list(self.agent.answer("order 1001", "s")),
            ["Order ", "1001 ", "is ", "on ", "its ", "way."],
        )

    def test_sessions_are_apart(self):
        self.ask("order 1001", "a")
        self.assertTrue(self.ask("order 1001", "a").startswith("You have asked that before."))
        self.assertEqual(self.ask("order 1001", "b"), "Order 1001 is on its way.")

    def test_ping_is_always_pong(self):
        self.assertEqual([self.ask("ping"), self.ask("ping")], ["pong", "pong"])

    def test_an_answer_cut_short_is_forgotten(self):
        next(self.agent.answer("order 1001", "s"))
        self.assertEqual(self.memory.turns("s"), [])


class OfMemory(unittest.TestCase):
    def test_the_oldest_turns_go(self):
        memory = Memory(turns=2)
        for prompt in "abc":
            memory.add("s", Turn(prompt, ""))
        self.assertEqual([turn.prompt for turn in memory.turns("s")], ["b", "c"])


class OfTools(unittest.TestCase):
    def test_time(self):
        now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
        self.assertEqual(tools.current_time(now), "03:04 UTC")


class FakeBedrock:
    def converse_stream(self, **request):
        self.request = request
        delta = [{"contentBlockDelta": {"delta": {"text": text}}} for text in ("It ", "is.")]
        return {"stream": [{"messageStart": {"role": "assistant"}}, *delta, {"messageStop": {}}]}


class Bedrock(unittest.TestCase):
    def test_conversation(self):
        client = FakeBedrock()
        model = agent.bedrock(client, "a-model")
        self.assertEqual(list(model("Is it?", [Turn("Hello", "Hi")])), ["It ", "is."])
        self.assertEqual(client.request["modelId"], "a-model")
        said = [(m["role"], m["content"][0]["text"]) for m in client.request["messages"]]
        self.assertEqual(said, [("user", "Hello"), ("assistant", "Hi"), ("user", "Is it?")])

    def test_no_model_is_by_rule(self):
        self.assertIs(agent.model_of(config.Config()), agent.by_rule)


class Settings(unittest.TestCase):
    def test_defaults(self):
        self.assertEqual(config.load({}), config.Config())

    def test_all(self):
        got = config.load(
            {"ENVIRONMENT": "prd", "LOG_LEVEL": "debug", "MODEL_ID": "m", "AWS_REGION": "r"}
        )
        self.assertEqual(got, config.Config("prd", "DEBUG", "m", "r"))

    def test_a_wrong_level_is_refused(self):
        with self.assertRaisesRegex(ValueError, "LOG_LEVEL is LOUD, not one of DEBUG"):
            config.load({"LOG_LEVEL": "loud"})


if __name__ == "__main__":
    unittest.main()
