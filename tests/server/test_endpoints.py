"""The plugin that puts the gate in front of vLLM's server."""

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
    """Return an application as vLLM builds it, with the plugin attached."""
    monkeypatch.setattr(entry, "serve_http", entry.serve_http)  # restored afterwards
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
        assert keys.name_of("Bearer given")
        assert keys.name_of("Bearer filed")
        assert args.api_key is None, "vLLM's own check would refuse new keys"

    def test_vllms_variable_counts_unless_the_option_is_given(self) -> None:
        environ = {"VLLM_API_KEY": "own"}
        assert take_keys(Namespace(api_key=None), environ).name_of("Bearer own")
        assert not environ, "vLLM must not read it"
        environ = {"VLLM_API_KEY": "own"}
        assert take_keys(Namespace(api_key=["given"]), environ).name_of("Bearer own") is None

    def test_without_keys_no_request_needs_one(self) -> None:
        assert not take_keys(Namespace(api_key=None), {})
