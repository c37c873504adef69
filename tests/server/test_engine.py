"""What the engine's main process changes about vLLM."""

import socket

import pytest
from vllm.entrypoints.launchers import launcher

from server.engine import PLUGIN, allowed_plugins, take_over


class TestPlugins:
    def test_our_plugin_is_added_to_those_the_user_allows(self) -> None:
        assert allowed_plugins({"VLLM_PLUGINS": "a,b"}) == f"a,b,{PLUGIN}"

    def test_an_empty_variable_allows_only_our_plugin(self) -> None:
        assert allowed_plugins({"VLLM_PLUGINS": ""}) == PLUGIN

    def test_plugins_that_load_by_default_still_load(self) -> None:
        allowed = allowed_plugins({}).split(",")
        assert allowed[-1] == PLUGIN or PLUGIN in allowed
        assert "lora_filesystem_resolver" in allowed

    def test_our_plugin_is_named_only_once(self) -> None:
        assert allowed_plugins({"VLLM_PLUGINS": PLUGIN}) == PLUGIN


def test_vllm_serves_on_the_inherited_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "create_server_socket", launcher.create_server_socket)
    monkeypatch.setattr(launcher, "create_server_unix_socket", launcher.create_server_unix_socket)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        take_over(listener.dup().detach())
        with launcher.create_server_socket(("127.0.0.1", 1), reuse_port=False) as served:
            assert served.getsockname() == listener.getsockname()
