"""The caches of the engine's libraries are redirected to the scratch directory."""

import os
from pathlib import Path

import pytest

from entrypoint.errors import MachineError
from entrypoint.pod.caches import REDIRECTED, cache_environment

SCRATCH = Path("/scratch")
IMPOSSIBLE = "/dev/null/nonexistent"
"""A folder that nobody can create, not even root."""


def test_every_cache_is_redirected(tmp_path: Path) -> None:
    made = cache_environment({"HOME": str(tmp_path), "USER": "u"}, SCRATCH)
    assert made == {name: f"/scratch/{folder}" for name, folder in REDIRECTED.items()}


def test_a_cache_that_the_user_set_stays(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "VLLM_CACHE_ROOT": str(tmp_path / "mine")}
    assert "VLLM_CACHE_ROOT" not in cache_environment(environ, SCRATCH)


def test_a_cache_that_the_user_set_must_be_writable() -> None:
    with pytest.raises(MachineError, match=f"VLLM_CACHE_ROOT='{IMPOSSIBLE}' is not writable") as e:
        cache_environment({"VLLM_CACHE_ROOT": IMPOSSIBLE}, SCRATCH)
    assert e.value.variable == "VLLM_CACHE_ROOT"


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": IMPOSSIBLE}])
def test_a_missing_home_is_redirected(environ: dict[str, str]) -> None:
    assert cache_environment(environ, SCRATCH)["HOME"] == "/scratch/home"


def test_xdg_folders_that_are_not_writable_are_redirected() -> None:
    environ = {"XDG_CACHE_HOME": IMPOSSIBLE, "XDG_CONFIG_HOME": IMPOSSIBLE}
    made = cache_environment(environ, SCRATCH)
    assert made["XDG_CACHE_HOME"] == "/scratch/home/.cache"
    assert made["XDG_CONFIG_HOME"] == "/scratch/home/.config"


def test_a_user_without_a_passwd_entry_gets_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000680000)
    assert cache_environment({}, SCRATCH)["LOGNAME"] == "uid-1000680000"
    assert "LOGNAME" not in cache_environment({"USER": "me"}, SCRATCH)


def test_a_user_with_a_passwd_entry_keeps_its_name() -> None:
    assert "LOGNAME" not in cache_environment({}, SCRATCH)
