"""Locks: one holder at a time, released with the process, optional where there are none."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from entrypoint.store.writing import lock
from entrypoint.store.writing.lock import lock_path, locked

HOLDER = """
import sys
from pathlib import Path
from entrypoint.store.writing.lock import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


class GaveUpError(Exception):
    """The test waits no longer."""


def give_up(*arguments: object) -> None:
    raise GaveUpError


def is_free(path: Path) -> bool:
    try:
        with locked(path, on_wait=give_up):
            return True
    except GaveUpError:
        return False


def test_a_lock_is_held_inside_and_free_after(tmp_path: Path) -> None:
    path = lock_path(tmp_path / "falcon-1")
    with locked(path):
        assert not is_free(path)
    assert is_free(path)
    assert path.name == ".falcon-1.lock"


def test_a_wait_is_reported_once_and_may_end_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    reports: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise GaveUpError

    with locked(path), pytest.raises(GaveUpError):  # noqa: SIM117
        with locked(path, on_wait=lambda: reports.append("waits"), pause=pause):
            raise AssertionError("it has the lock")
    assert reports == ["waits"]
    assert pauses == [lock.SECONDS_BETWEEN_TRIES] * 3


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        assert not is_free(path)
        holder.kill()
        holder.wait()
    assert is_free(path)


def test_a_file_that_its_holder_renamed_is_created_again(tmp_path: Path) -> None:
    """The next holder must not write to a file that has been published in the meantime."""
    path, published = tmp_path / "a.partial", tmp_path / "a"
    first = ExitStack()
    first.enter_context(locked(path))

    def rename_and_release(seconds: float) -> None:
        path.rename(published)
        first.close()

    with locked(path, pause=rename_and_release) as descriptor:
        os.write(descriptor, b"second")
    assert published.read_bytes() == b""
    assert path.read_bytes() == b"second"


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.lock").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic"), locked(tmp_path / "a.lock"):
        pass
    assert not (tmp_path / "victim").exists()


class TestFileSystemWithoutLocks:
    @pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS], autouse=True)
    def no_locks(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(file: object, operation: int) -> None:
            raise OSError(request.param, "no locks")

        monkeypatch.setattr(fcntl, "flock", refuse)

    def test_an_optional_lock_is_left_out(self, tmp_path: Path) -> None:
        with locked(tmp_path / "a.lock", optional=True) as descriptor:
            assert os.fstat(descriptor)

    def test_any_other_lock_fails(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="no locks"), locked(tmp_path / "a.lock"):
            pass


def test_another_error_fails_an_optional_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="broken"), locked(tmp_path / "a.lock", optional=True):
        pass
