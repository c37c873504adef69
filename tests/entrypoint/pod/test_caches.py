"""Where the engine's libraries keep what they compile and fetch."""

import os
from pathlib import Path

import pytest

from entrypoint.errors import MachineError
from entrypoint.pod.caches import REDIRECTED, cache_environment

SCRATCH = Path("/scratch")
NOBODYS = "/dev/null/nonexistent"
"""A home that nobody can make, root included."""


def test_every_cache_goes_to_the_scratch_directory(tmp_path: Path) -> None:
    made = cache_environment({"HOME": str(tmp_path), "USER": "u"}, SCRATCH)
    assert made == {name: f"/scratch/{folder}" for name, folder in REDIRECTED.items()}


def test_one_that_the_user_chose_stays(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "VLLM_CACHE_ROOT": str(tmp_path / "mine")}
    assert "VLLM_CACHE_ROOT" not in cache_environment(environ, SCRATCH)


def test_one_that_the_user_chose_and_that_cannot_be_written() -> None:
    with pytest.raises(MachineError, match=f"VLLM_CACHE_ROOT='{NOBODYS}' cannot be written") as e:
        cache_environment({"VLLM_CACHE_ROOT": NOBODYS}, SCRATCH)
    assert e.value.variable == "VLLM_CACHE_ROOT"


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": NOBODYS}])
def test_a_home_that_is_not_there(environ: dict[str, str]) -> None:
    assert cache_environment(environ, SCRATCH)["HOME"] == "/scratch/home"


def test_xdg_folders_that_are_not_there() -> None:
    environ = {"XDG_CACHE_HOME": NOBODYS, "XDG_CONFIG_HOME": NOBODYS}
    made = cache_environment(environ, SCRATCH)
    assert made["XDG_CACHE_HOME"] == "/scratch/home/.cache"
    assert made["XDG_CONFIG_HOME"] == "/scratch/home/.config"


def test_a_user_without_a_passwd_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000680000)
    assert cache_environment({}, SCRATCH)["LOGNAME"] == "uid-1000680000"
    assert "LOGNAME" not in cache_environment({"USER": "me"}, SCRATCH)


def test_a_user_with_a_passwd_entry() -> None:
    assert "LOGNAME" not in cache_environment({}, SCRATCH)
