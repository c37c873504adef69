"""Requests as users of OpenAI's API write them, to the real engine."""

from __future__ import annotations

import gzip
import http.client as http_client
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import anthropic
import httpx
import openai
import pytest
import zstandard
from anthropic import Anthropic
from openai import OpenAI

from tests.support.launch import DEMO, KEY, PAGE, Launch

ALIAS = "inference-server--Demo-Llama"
"""The demo model's first served name."""


@pytest.fixture(scope="module")
def client(server: Launch) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def http(server: Launch) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}) as made:
        yield made


def test_anthropics_client_sends_its_key_its_own_way(server: Launch) -> None:
    with Anthropic(base_url=server.url, api_key=KEY, max_retries=0) as client:
        answer = client.messages.create(
            model=DEMO, max_tokens=5, messages=[{"role": "user", "content": "What is this?"}]
        )
        assert answer.usage.output_tokens
    other = {"X-Api-Key": "of-another-service"}
    with Anthropic(
        base_url=server.url, auth_token=KEY, default_headers=other, max_retries=0
    ) as client:
        assert client.messages.count_tokens(
            model=DEMO, messages=[{"role": "user", "content": "What is this?"}]
        ).input_tokens
    with (
        Anthropic(base_url=server.url, api_key="wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError, match="X-Api-Key"),
    ):
        client.models.list()


class TestRoutes:
    @pytest.mark.parametrize("name", [DEMO, ALIAS])
    def test_the_official_client_retrieves_each_name(self, client: OpenAI, name: str) -> None:
        found = client.models.retrieve(name)
        assert (found.id, found.object) == (name, "model")
        assert found.id in {each.id for each in client.models.list()}

    @pytest.mark.parametrize("name", ["nope", "org/nope", f"{DEMO}x"])
    def test_the_official_client_learns_that_a_model_is_missing(
        self, client: OpenAI, name: str
    ) -> None:
        with pytest.raises(openai.NotFoundError) as missing:
            client.models.retrieve(name)
        assert missing.value.code == "model_not_found"

    @pytest.mark.parametrize("path", ["/v1/models", f"/v1/models/{DEMO}", "/version", "/health"])
    def test_head_is_get_without_the_body(self, http: httpx.Client, path: str) -> None:
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"") == (200, b"")
        for name in ("content-length", "content-type"):
            # the length of /v1/models varies with the time in it, but not in digits
            assert head.headers[name] == got.headers[name]
        assert http.get(path).status_code == 200, "the connection is still usable"

    @pytest.mark.parametrize(
        "path", ["/v1/models", f"/v1/models/{quote(DEMO, safe='')}", "/v1/status", "/metrics"]
    )
    def test_a_trailing_slash_is_no_redirect(self, http: httpx.Client, path: str) -> None:
        for slash in ("/", "%2F"):
            answer = http.get(path + slash, headers={"Host": "elsewhere.example"})
            assert answer.status_code == 200
            assert "location" not in answer.headers

    def test_a_trailing_slash_works_for_post(self, http: httpx.Client) -> None:
        body = {"model": DEMO, "prompt": "a", "max_tokens": 1}
        assert http.post("/v1/completions/", json=body).status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "status", "allowed"),
        [
            ("OPTIONS", "/v1/chat/completions", 204, "POST, OPTIONS"),
            ("OPTIONS", "/v1/models/", 204, "GET, HEAD, OPTIONS"),
            ("PUT", "/v1/models", 405, "GET, HEAD, OPTIONS"),
            ("GET", "/v1/embeddings", 405, "POST, OPTIONS"),
            ("TRACE", "/health", 405, "GET, HEAD, OPTIONS"),
        ],
    )
    def test_methods_are_listed(
        self, http: httpx.Client, method: str, path: str, status: int, allowed: str
    ) -> None:
        answer = http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (status, allowed)

    @pytest.mark.parametrize(
        "path",
        ["/scale_elastic_ep/", "/scale_elastic_ep%2F", "//scale_elastic_ep", "/v1/../sleep", "/x/"],
    )
    def test_no_spelling_reaches_a_closed_route(self, server: Launch, path: str) -> None:
        assert server.ask(path, b"{}", KEY)[0] in (403, 404)
        assert server.ask(path, b"{}")[0] == 401


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "gzip, zstd": lambda body: zstandard.compress(gzip.compress(body)),
}


class TestBodies:
    BODY = json.dumps({"model": DEMO, "prompt": "a " * 200, "max_tokens": 1}).encode()

    @pytest.mark.parametrize("coding", ENCODERS)
    def test_a_compressed_request_is_answered(self, http: httpx.Client, coding: str) -> None:
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        sent = ENCODERS[coding](self.BODY)
        pieces = [sent[:20], sent[20:]]
        plain = http.post("/v1/completions", json=json.loads(self.BODY)).json()["usage"]
        for content in (sent, iter(pieces)):  # with a Content-Length, and in chunks
            answer = http.post("/v1/completions", content=content, headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.json()["usage"] == plain

    @pytest.mark.parametrize(
        ("coding", "content", "status"),
        [
            ("br", b"x", 415),
            ("gzip", BODY, 400),
            ("gzip", gzip.compress(BODY)[:-4], 400),
            ("gzip", gzip.compress(bytes(80 << 20)), 413),
            ("zstd", zstandard.compress(bytes(80 << 20)), 413),
        ],
        ids=["br", "plain", "cut", "gzip-bomb", "zstd-bomb"],
    )
    def test_a_body_that_cannot_be_decoded_is_refused(
        self, http: httpx.Client, coding: str, content: bytes, status: int
    ) -> None:
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        answer = http.post("/v1/completions", content=content, headers=headers)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


class TestNames:
    """Every answer has the name that its request has, not the first served one."""

    REQUESTS = (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/responses", {"input": "a"}),
    )

    @pytest.mark.parametrize("name", [DEMO, ALIAS, None])
    @pytest.mark.parametrize(("path", "asked"), REQUESTS)
    def test_an_answer_has_the_name_that_was_asked_for(
        self, http: httpx.Client, path: str, asked: dict[str, Any], name: str | None
    ) -> None:
        limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
        body = {limit: 3, **asked, **({"model": name} if name else {})}
        if name is None and path == "/v1/messages":
            assert http.post(path, json=body).status_code == 400  # required in this API
            return
        answered = name or ALIAS  # the first served name
        answer = http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == answered
        stream = http.post(path, json={**body, "stream": True}).text
        names = re.findall(r'"model": ?"([^"]*)"', stream)
        assert names
        assert set(names) == {answered}

    def test_sagemakers_route_takes_the_name_from_its_header(self, http: httpx.Client) -> None:
        """The library that vLLM uses for it replaces the body's."""
        body = {"prompt": "a", "max_tokens": 1, "model": DEMO}
        assert http.post("/invocations", json=body).json()["model"] == ALIAS
        headers = {"X-Amzn-SageMaker-Adapter-Identifier": DEMO}
        assert http.post("/invocations", json=body, headers=headers).json()["model"] == DEMO

    def test_the_official_clients_get_the_name_back(self, server: Launch, client: OpenAI) -> None:
        for name in (DEMO, ALIAS):
            response = client.responses.create(model=name, input="a", max_output_tokens=2)
            assert response.model == name
            with Anthropic(base_url=server.url, api_key=KEY) as anthropics:
                message = anthropics.messages.create(
                    model=name, max_tokens=2, messages=[{"role": "user", "content": "a"}]
                )
            assert message.model == name


class TestRequestIds:
    """Where docs/access.md states that a request's id is found in the answer."""

    MESSAGES = (("messages", [{"role": "user", "content": "What is this?"}]),)
    ANSWERS = (
        ("/v1/chat/completions", "max_tokens", MESSAGES, "chatcmpl-"),
        ("/v1/messages", "max_tokens", MESSAGES, "chatcmpl-"),
        ("/v1/completions", "max_tokens", (("prompt", "a"),), "cmpl-"),
        ("/v1/responses", "max_output_tokens", (("input", "a"),), None),
    )

    @pytest.mark.parametrize(("path", "limit", "asked", "prefix"), ANSWERS)
    def test_an_answer_contains_the_requests_id(
        self,
        http: httpx.Client,
        path: str,
        limit: str,
        asked: tuple[tuple[str, Any]],
        prefix: str | None,
    ) -> None:
        body = {"model": DEMO, limit: 1, **dict(asked)}
        answer = http.post(path, json=body, headers={"X-Request-Id": "of-a-client"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-request-id"] == answer.headers["request-id"] == "of-a-client"
        if prefix is None:
            assert "of-a-client" not in answer.text
        else:
            assert answer.json()["id"].startswith(f"{prefix}of-a-client")

    def test_anthropics_client_finds_the_id(self, server: Launch) -> None:
        with Anthropic(base_url=server.url, api_key=KEY, max_retries=0) as client:
            answer = client.messages.create(
                model=DEMO,
                max_tokens=1,
                messages=[{"role": "user", "content": "a"}],
                extra_headers={"X-Request-Id": "of-anthropics-client"},
            )
        assert answer._request_id == "of-anthropics-client"


class TestClientsThatLeave:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
    def test_a_client_that_leaves_is_logged_as_499(
        self, server: Launch, path: str, stream: bool
    ) -> None:
        name = f"leaves-{path.count('/')}-{stream}"
        asked = {"prompt": "a"} if path == "/v1/completions" else {}
        body = {"model": DEMO, "max_tokens": 1800, "ignore_eos": True, "stream": stream, **asked}
        if not asked:
            body["messages"] = [{"role": "user", "content": "a"}]
        connection = http_client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        headers = {"Content-Type": "application/json", "X-Api-Key": KEY, "X-Request-Id": name}
        connection.request("POST", path, json.dumps(body), headers)
        if stream:
            assert connection.getresponse().read(10)
        else:
            time.sleep(0.5)  # the engine is at work
        connection.close()
        deadline = time.monotonic() + 60
        while f"request {name}" not in server.log.read_text():
            assert time.monotonic() < deadline, server.tail()
            time.sleep(0.05)
        (line,) = (line for line in server.log.read_text().splitlines() if name in line)
        assert f"POST {path} 499 in" in line


class TestPages:
    """What a browser lets a page read; the server allows one origin."""

    @pytest.mark.parametrize(
        ("method", "path", "key", "status"),
        [
            ("GET", "/v1/models", KEY, 200),
            ("GET", "/v1/models", "wrong", 401),
            ("POST", "/scale_elastic_ep", KEY, 403),
            ("GET", "/nope", KEY, 404),
            ("GET", "/v1/completions", KEY, 405),
            ("POST", "/v1/completions", KEY, 400),
            ("GET", "/health", "", 200),
        ],
    )
    def test_every_answer_names_the_origin_once(
        self, server: Launch, method: str, path: str, key: str, status: int
    ) -> None:
        for origin, named in ((PAGE, [PAGE]), ("https://other.example", [])):
            answer = httpx.request(
                method, server.url + path, headers={"X-Api-Key": key, "Origin": origin}, content=b""
            )
            assert answer.status_code == status
            assert answer.headers.get_list("access-control-allow-origin") == named
            assert answer.headers.get_list("vary") == ["Origin"]

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models/", "/nope", "/health"])
    def test_a_preflight_needs_no_key(self, server: Launch, path: str) -> None:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
        }
        answer = httpx.options(server.url + path, headers={"Origin": PAGE, **asked})
        assert answer.status_code == 200
        assert answer.headers.get_list("access-control-allow-origin") == [PAGE]
        refused = httpx.options(server.url + path, headers={"Origin": "null", **asked})
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
