"""Requests as users of OpenAI's API write them, to the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import anthropic
import httpx
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.support.launch import DEMO, KEY, Launch

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
    # as when ANTHROPIC_API_KEY is set to the key of another service
    with Anthropic(base_url=server.url, api_key="wrong", auth_token=KEY, max_retries=0) as client:
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
