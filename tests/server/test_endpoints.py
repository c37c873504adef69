"""The plugin that puts the gate in front of vLLM's server."""

import asyncio
from argparse import Namespace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.datastructures import State
from vllm.entrypoints.launchers.api_server import entry
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.lora.request import LoRARequest
from vllm.plugins.endpoint_plugins.interface import EndpointPlugin

from entrypoint.shared.cors import Cors
from server import endpoints
from server.endpoints import Endpoints, take_cors, take_keys
from server.gate.gate import Gate


def attached(monkeypatch: pytest.MonkeyPatch, **args: Any) -> FastAPI:
    """Return an application as vLLM builds it, with the plugin attached."""
    monkeypatch.setattr(entry, "serve_http", entry.serve_http)  # restored afterwards
    app = FastAPI()
    app.state.args = Namespace(
        **{
            "api_key": None,
            "root_path": "",
            "disable_uvicorn_access_log": False,
            "shutdown_timeout": 7,
            "allowed_origins": [],
            "allowed_methods": ["*"],
            "allowed_headers": ["*"],
            "allow_credentials": False,
            **args,
        }
    )
    Endpoints().attach_router(app)
    return app


def test_vllm_accepts_it_as_a_plugin() -> None:
    assert isinstance(Endpoints(), EndpointPlugin)


def test_vllm_serves_behind_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    attached(monkeypatch)
    assert isinstance(entry.serve_http, partial)
    assert isinstance(entry.serve_http.keywords["gate"], Gate)
    assert entry.serve_http.keywords["shutdown_timeout"] == 7


def test_status_outside_a_launch_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TestClient(attached(monkeypatch)).get("/v1/status").json() == {"phase": "ready"}


def test_status_shows_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    document: dict[str, Any] = {"phase": "ready", "seconds": 1.0}
    monkeypatch.setattr(endpoints, "read_status", lambda: document)
    assert TestClient(attached(monkeypatch)).get("/v1/status").json() == document


class TestModels:
    NAMES = ("org/name", "alias", "/models/path/", "adapter")

    @pytest.fixture
    def app(self, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
        """An application with vLLM's registry of names, without an engine."""
        app = attached(monkeypatch)
        *base, lora = self.NAMES
        app.state.openai_serving_models = models = OpenAIServingModels(
            MagicMock(model_config=SimpleNamespace(max_model_len=7)),
            [BaseModelPath(name=name, model_path="/models") for name in base],
        )
        models.lora_requests[lora] = LoRARequest(lora, 1, "/adapter")
        return app

    @pytest.mark.parametrize("name", NAMES)
    def test_each_served_name_and_adapter_is_found(self, app: FastAPI, name: str) -> None:
        asked = name.rstrip("/")  # as the gate passes the path on
        for path in (asked, quote(asked, safe="")):
            answer = TestClient(app).get(f"/v1/models/{path}")
            assert (answer.status_code, answer.json()["object"]) == (200, "model")
            assert answer.json()["id"] == name
            assert answer.json()["root"] in ("/models", "/adapter")

    @pytest.mark.parametrize("name", ["nope", "org", "name", "ORG/name", "org/name/x", "../models"])
    def test_an_unknown_name_is_a_404_with_openais_code(self, app: FastAPI, name: str) -> None:
        answer = TestClient(app).get(f"/v1/models/{quote(name, safe='')}")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (404, "model_not_found")
        assert name in error["message"]


def test_ready_is_reported_just_before_the_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr(endpoints, "report_phase", reported.append)
    asyncio.run(Endpoints().init_state(None, State(), Namespace()))
    assert reported == ["ready"]


class TestKeys:
    def test_the_options_and_the_files_keys_are_accepted(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("filed\n")
        args = Namespace(api_key=["given"])
        keys = take_keys(args, {"API_KEY_FILE": str(tmp_path / "keys")})
        assert keys.name_of("given")
        assert keys.name_of("filed")
        assert args.api_key is None, "vLLM's own check would refuse new keys"

    def test_vllms_variable_counts_unless_the_option_is_given(self) -> None:
        environ = {"VLLM_API_KEY": "own"}
        assert take_keys(Namespace(api_key=None), environ).name_of("own")
        assert not environ, "vLLM must not read it"
        environ = {"VLLM_API_KEY": "own"}
        assert take_keys(Namespace(api_key=["given"]), environ).name_of("own") is None

    def test_without_keys_no_request_needs_one(self) -> None:
        assert not take_keys(Namespace(api_key=None), {})


def test_the_gate_takes_over_the_pages_that_may_read_answers() -> None:
    """vLLM's own layer gets options with which it adds nothing."""
    args = Namespace(
        allowed_origins=["https://a"],
        allowed_methods=["GET"],
        allowed_headers=["*"],
        allow_credentials=True,
    )
    assert take_cors(args) == Cors(("https://a",), ("GET",), ("*",), credentials=True)
    assert (args.allowed_origins, args.allow_credentials) == ([], False)
