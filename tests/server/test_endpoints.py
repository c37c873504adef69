"""What the runtime adds to vLLM's server."""

import asyncio
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.datastructures import State
from vllm.entrypoints.launchers.api_server import entry
from vllm.plugins.endpoint_plugins.interface import EndpointPlugin

from server import endpoints
from server.endpoints import Endpoints, take_keys
from server.gate.gate import Gate


def attached(monkeypatch: pytest.MonkeyPatch, **args: Any) -> FastAPI:
    """Return an application as vLLM builds it, with the plugin's part in it."""
    monkeypatch.setattr(entry, "serve_http", entry.serve_http)  # put back afterwards
    app = FastAPI()
    app.state.args = Namespace(
        **{
            "api_key": None,
            "root_path": "",
            "disable_uvicorn_access_log": False,
            "shutdown_timeout": 7,
            **args,
        }
    )
    Endpoints().attach_router(app)
    return app


def test_it_is_a_plugin() -> None:
    assert isinstance(Endpoints(), EndpointPlugin)


def test_vllm_serves_behind_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    attached(monkeypatch)
    assert isinstance(entry.serve_http, partial)
    assert isinstance(entry.serve_http.keywords["gate"], Gate)
    assert entry.serve_http.keywords["shutdown_timeout"] == 7


def test_status_outside_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TestClient(attached(monkeypatch)).get("/v1/status").json() == {"phase": "ready"}


def test_status_of_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    document: dict[str, Any] = {"phase": "ready", "seconds": 1.0}
    monkeypatch.setattr(endpoints, "read_status", lambda: document)
    assert TestClient(attached(monkeypatch)).get("/v1/status").json() == document


def test_the_state_is_the_last_step_before_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr(endpoints, "report_phase", reported.append)
    asyncio.run(Endpoints().init_state(None, State(), Namespace()))
    assert reported == ["ready"]


class TestKeys:
    def test_those_of_the_option_and_the_file(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "keys").write_text("filed\n")
        monkeypatch.setenv("API_KEY_FILE", str(tmp_path / "keys"))
        args = Namespace(api_key=["given"])
        keys = take_keys(args)
        assert keys.name_of("Bearer given")
        assert keys.name_of("Bearer filed")
        assert args.api_key is None, "vLLM's own check must not stand in the way of new keys"

    def test_vllms_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLLM_API_KEY", "own")
        assert take_keys(Namespace(api_key=None)).name_of("Bearer own")
        monkeypatch.setenv("VLLM_API_KEY", "own")
        assert take_keys(Namespace(api_key=["given"])).name_of("Bearer own") is None

    def test_none(self) -> None:
        assert not take_keys(Namespace(api_key=None))
