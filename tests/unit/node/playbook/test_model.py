from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dragons.core.clock import SystemClock
from dragons.core.errors import InvalidInputError
from dragons.node.playbook.diagnosis import Crash, Diagnosis
from dragons.node.playbook.format import Model
from dragons.node.playbook.model import ANSWER_LENGTH_MAX, ModelError, ask_model, key_of, question_of

CLOCK = SystemClock()
OPENAI = {"choices": [{"message": {"role": "assistant", "content": " Look at the disk. "}}]}
ANTHROPIC = {
    "content": [{"type": "thinking", "thinking": "-"}, {"type": "text", "text": "Look at the disk."}]
}
FOUND = Diagnosis("disk_full", "A disk is full.", "Free space.", retry=False)


class Server:
    """A model's server: keeps what it was asked, answers what the test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.status, self.answer = 200, json.dumps(OPENAI).encode()
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                own.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(own.status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(own.answer)))
                self.end_headers()
                self.wfile.write(own.answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made
    made.http.shutdown()
    made.http.server_close()


def model(server: Server, provider: str = "openai", **more: Any) -> Model:
    return Model(provider=provider, url=f"{server.url}/v1", model="small", **more)  # type: ignore[arg-type]


def test_an_openai_compatible_server_is_asked_in_its_form(server: Server) -> None:
    assert ask_model(model(server), "k-1", "the question", CLOCK) == "Look at the disk."
    ((path, headers, body),) = server.asked
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer k-1"
    assert (body["model"], body["messages"][-1]) == ("small", {"role": "user", "content": "the question"})
    assert body["messages"][0]["role"] == "system"


def test_an_anthropic_server_is_asked_in_its_form(server: Server) -> None:
    server.answer = json.dumps(ANTHROPIC).encode()
    assert ask_model(model(server, "anthropic"), "k-2", "the question", CLOCK) == "Look at the disk."
    ((path, headers, body),) = server.asked
    assert path == "/v1/messages"
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("k-2", "2023-06-01")
    assert body["messages"] == [{"role": "user", "content": "the question"}]
    assert body["max_tokens"] > 0
    assert body["system"]


def test_without_a_key_none_is_sent(server: Server) -> None:
    ask_model(model(server), "", "q", CLOCK)
    assert "authorization" not in server.asked[0][1]


@pytest.mark.parametrize("status", [302, 401, 429, 500])
def test_another_status_is_no_advice_and_no_redirect_is_followed(server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(ModelError, match=f"HTTP status {status}"):
        ask_model(model(server), "k", "q", CLOCK)
    assert len(server.asked) == 1


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("answer", [b"", b"no json", b"{}", b"[]", b'{"choices":[]}', b'{"content":[3]}'])
def test_an_answer_of_another_form_is_no_advice(server: Server, provider: str, answer: bytes) -> None:
    server.answer = answer
    with pytest.raises(ModelError, match="another form"):
        ask_model(model(server, provider), "k", "q", CLOCK)


def test_answers_are_bounded(server: Server) -> None:
    server.answer = json.dumps({"choices": [{"message": {"content": "x" * 9_999}}]}).encode()
    assert len(ask_model(model(server), "k", "q", CLOCK)) == ANSWER_LENGTH_MAX
    server.answer = b" " * 1_000_001
    with pytest.raises(ModelError, match="too long"):
        ask_model(model(server), "k", "q", CLOCK)
    server.answer = json.dumps({"choices": [{"message": {"content": None}}]}).encode()
    with pytest.raises(ModelError, match="empty"):
        ask_model(model(server), "k", "q", CLOCK)


def test_a_server_that_is_not_there_is_no_advice(server: Server) -> None:
    gone = Model(provider="openai", url="http://127.0.0.1:9", model="m", timeout_seconds=2)
    with pytest.raises(ModelError, match="ConnectError"):
        ask_model(gone, "k", "q", CLOCK)


def test_the_key_comes_from_its_variable(server: Server) -> None:
    named = model(server, key_env="KEY")
    assert key_of(named, {"KEY": " k \n"}) == "k"
    assert key_of(model(server), {}) == ""
    with pytest.raises(InvalidInputError) as caught:
        key_of(named, {"KEY": ""})
    assert caught.value.code == "model_key_missing"


def test_a_question_says_how_it_ended_and_shows_the_log() -> None:
    asked = question_of("python3 service.py", Crash(137, "SIGKILL", 12), FOUND, "the log")
    assert "signal SIGKILL after 12 ms" in asked
    assert "disk_full" in asked
    assert "<log>\nthe log\n</log>" in asked
    assert "exit status 2" in question_of("x", Crash(2, "", 1), FOUND, "")
