"""Keys, health and the end of answers, with the real vLLM."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI

from server.gate.page import OUTPUT
from server.gate.routes import METRICS
from tests.support.launch import DEMO, DEMO_CACHE, KEY, Launch, descendants, environment

ROUTES = re.findall(r"^\| `(\w+) (\S+)` \| (.*?) \|", OUTPUT.read_text(), re.M)
"""Method, path and who may call it, of each route on the page."""


def until(happened: Callable[[], bool], launch: Launch) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline, launch.tail()
        time.sleep(0.05)


class TestKeys:
    @pytest.mark.parametrize(("method", "path", "who"), ROUTES)
    def test_every_route_on_the_page_needs_what_the_page_states(
        self, server: Launch, method: str, path: str, who: str
    ) -> None:
        if method == "WEBSOCKET":
            method = "GET"  # without the handshake's headers it is no WebSocket, and no route
            who = "a key"
        path = re.sub(r"\{[\w:]+\}", "x", path)
        body = None if method == "GET" else b"{}"
        status, headers, _ = server.ask(path, body, method=method)
        # METRICS_PUBLIC is on for this server
        assert (status == 200) == (who == "everyone" or path in METRICS)
        if status != 200:
            assert status == 401
            assert headers["www-authenticate"] == "Bearer"
            assert server.ask(path, body, "wrong", method=method)[0] == 401

    def test_the_server_has_no_other_route(self, server: Launch) -> None:
        """Each route in the running server's schema is on the page."""
        status, _, body = server.ask("/openapi.json", key=KEY)
        assert status == 200
        listed = {(method, path.replace(":path}", "}")) for method, path, _ in ROUTES}
        for path, methods in json.loads(body)["paths"].items():
            for method in methods:
                assert (method.upper(), path) in listed

    def test_admin_routes_are_closed_even_with_a_key(self, server: Launch) -> None:
        status, _, body = server.ask("/scale_elastic_ep", b'{"new_data_parallel_size": 2}', KEY)
        assert status == 403
        assert "ADMIN_ROUTES=scale" in json.loads(body)["error"]["message"]

    def test_the_official_client_reports_a_wrong_key(self, server: Launch) -> None:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError, match="Bearer"):
            client.models.list()

    def test_a_request_id_reaches_the_log(self, server: Launch) -> None:
        client = OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
        answer = client.completions.with_raw_response.create(
            model=DEMO, prompt="a", max_tokens=1, extra_headers={"X-Request-Id": "of-a-client"}
        )
        assert answer.headers["x-request-id"] == "of-a-client"
        assert "of-a-client" in answer.parse().id
        until(lambda: "request of-a-client" in server.log.read_text(), server)

    def test_the_deep_check_finds_the_server_ready(self, server: Launch) -> None:
        status, _, body = server.ask("/health/ready?deep=1")
        assert (status, json.loads(body)) == (200, {"status": "ready"})


STALL_SECONDS = 2


@pytest.fixture(scope="module")
def stalling(home: Path) -> Iterator[Launch]:
    """A server that soon reports that its engine generates no tokens."""
    launch = Launch(
        environment(
            home,
            MODEL_ID=DEMO,
            HF_HUB_CACHE=str(DEMO_CACHE),
            DTYPE="float32",  # compiled by the other servers
            STALL_TIMEOUT=str(STALL_SECONDS),
        ),
        home / "stalling.log",
    )
    try:
        yield launch.until_ready()
    finally:
        launch.stop()


class Asking(threading.Thread):
    """A client that streams a long answer, and keeps the text."""

    def __init__(self, launch: Launch):
        super().__init__(daemon=True)
        self.text = ""
        self.failed: Exception | None = None
        self._url = f"{launch.url}/v1/completions"
        self.start()

    def run(self) -> None:
        body = {
            "model": DEMO,
            "prompt": "a",
            "max_tokens": 1500,
            "ignore_eos": True,
            "stream": True,
        }
        try:
            with httpx.stream("POST", self._url, json=body, timeout=300) as answer:
                for text in answer.iter_text():
                    self.text += text
        except httpx.HTTPError as error:
            self.failed = error


def process(launch: Launch, name: str) -> int:
    """Return the id of one of the engine's processes."""
    found = [
        pid
        for pid in descendants(launch.process.pid)
        if name in Path(f"/proc/{pid}/comm").read_text()
        or name in Path(f"/proc/{pid}/cmdline").read_text()
    ]
    assert len(found) == 1, descendants(launch.process.pid)
    return found[0]


def test_health_follows_an_engine_that_hangs_resumes_and_dies(stalling: Launch) -> None:
    """1. The engine core is stopped by SIGSTOP. 2. Several requests wait: not ready, then not
    alive. 3. It continues: ready again. 4. It is killed: each stream ends with an error event, and
    the launch names the cause."""
    core = process(stalling, "EngineCore")
    os.kill(core, signal.SIGSTOP)
    try:
        waiting = [Asking(stalling) for _ in range(3)]
        until(lambda: stalling.ask("/health/ready")[0] == 503, stalling)
        assert "no token" in json.loads(stalling.ask("/health/ready")[2])["status"]
        until(lambda: stalling.ask("/health/live")[0] == 503, stalling)
    finally:
        os.kill(core, signal.SIGCONT)
    until(lambda: stalling.ask("/health/ready")[0] == 200, stalling)
    assert stalling.ask("/health/live")[0] == 200
    until(lambda: all(one.text.count("data: ") > 2 for one in waiting), stalling)
    os.kill(core, signal.SIGKILL)
    for one in waiting:
        one.join(60)
        assert one.failed is None
        assert one.text.endswith("data: [DONE]\n\n")
        assert '"error"' in one.text.split("\n\n")[-3]
    code = stalling.process.wait(60)
    assert code not in (0, None)
    assert "SIGKILL" in stalling.tail() or "killed" in stalling.tail()
