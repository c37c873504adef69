"""The default limits of connections."""

from __future__ import annotations

import resource

import pytest

from server.gate.bounds import max_connections


def test_half_of_the_open_files_are_for_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert max_connections() == 512
    monkeypatch.undo()
    assert max_connections() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
