"""Stand-ins for the locks of unusual file systems."""

from __future__ import annotations

import fcntl

import pytest


def grant_every_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make locks do nothing, as on a network file system that locks only within one host."""
    monkeypatch.setattr(fcntl, "flock", lambda file, operation: None)
