"""The scratch directory is chosen where the user may write, and created privately."""

import os
import re
from pathlib import Path

import pytest

from entrypoint.errors import MachineError, StorageError
from entrypoint.pod.scratch import Temporary, make_scratch, scratch_directory, temporary_directory


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Directories that the test declares as not writable, because root may write everywhere."""
    closed: set[Path] = set()
    may = os.access

    def access(path: Path, mode: int) -> bool:
        return Path(path) not in closed and may(path, mode)

    monkeypatch.setattr("os.access", access)
    return closed


def test_the_users_cache_is_preferred(tmp_path: Path) -> None:
    found = scratch_directory({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert found == tmp_path / "cache" / "inference-server"
    assert not found.exists()


def test_without_xdg_the_cache_is_in_the_home(tmp_path: Path) -> None:
    assert scratch_directory({"HOME": str(tmp_path)}) == tmp_path / ".cache" / "inference-server"


def test_without_a_home_a_private_folder_is_used(tmp_path: Path) -> None:
    found = scratch_directory({"TMPDIR": str(tmp_path)})
    assert found == tmp_path / f"inference-server-{os.getuid()}"


def test_if_the_home_is_not_writable_a_private_folder_is_used(
    tmp_path: Path, refused: set[Path]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    refused.add(home)
    found = scratch_directory({"HOME": str(home), "TMPDIR": str(tmp_path)})
    assert found == tmp_path / f"inference-server-{os.getuid()}"


def test_without_a_writable_folder_the_error_suggests_the_variables(
    tmp_path: Path, refused: set[Path]
) -> None:
    refused.add(tmp_path)
    environ = {"XDG_CACHE_HOME": str(tmp_path / "x"), "TMPDIR": str(tmp_path)}
    with pytest.raises(MachineError) as raised:
        scratch_directory(environ)
    assert "XDG_CACHE_HOME" in str(raised.value.hint)
    assert raised.value.variable == "TMPDIR"


def test_a_read_only_container_suggests_mounting_tmp(refused: set[Path]) -> None:
    """A container with a read-only root and no volume on /tmp."""
    refused.update({Path("/"), Path("/tmp")})
    with pytest.raises(MachineError) as raised:
        scratch_directory({"HOME": "/nonexistent"})
    assert "/tmp" in raised.value.message
    assert "--tmpfs" in str(raised.value.hint)


def test_a_planted_link_is_rejected(tmp_path: Path, refused: set[Path]) -> None:
    home = tmp_path / "home"
    elsewhere = tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    refused.add(home)
    (tmp_path / f"inference-server-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(MachineError, match="another user"):
        scratch_directory({"HOME": str(home), "TMPDIR": str(tmp_path)})


def test_another_users_private_folder_is_named(tmp_path: Path, refused: set[Path]) -> None:
    private = tmp_path / f"inference-server-{os.getuid()}"
    private.mkdir()
    refused.add(private)
    with pytest.raises(MachineError, match="No scratch directory") as raised:
        scratch_directory({"TMPDIR": str(tmp_path)})
    assert "XDG_CACHE_HOME" in str(raised.value.hint)


class TestTemporaryDirectory:
    def test_it_is_tmpdir_or_tmp(self, tmp_path: Path) -> None:
        assert temporary_directory({"TMPDIR": str(tmp_path)}) == Temporary(tmp_path)
        assert temporary_directory({}) == Temporary(Path("/tmp"))
        assert temporary_directory({"TMPDIR": ""}) == Temporary(Path("/tmp"))

    @pytest.mark.parametrize(
        ("folder", "words"),
        [
            ("/nonexistent/folder", "does not exist"),
            ("/etc/passwd", "is not a directory"),
            ("tmp", "is not an absolute path"),
            ("/sys/kernel", "is not writable|has no space left"),
        ],
    )
    def test_an_unusable_tmpdir_is_replaced_and_named(self, folder: str, words: str) -> None:
        found = temporary_directory({"TMPDIR": folder})
        assert found.path == Path("/tmp")
        assert found.problem is not None
        assert re.fullmatch(f"TMPDIR={folder!r} ({words}).*", found.problem)

    def test_it_must_be_writable(self, tmp_path: Path, refused: set[Path]) -> None:
        refused.add(tmp_path)
        assert "is not writable for user" in str(temporary_directory({"TMPDIR": str(tmp_path)}))

    def test_without_any_the_error_names_both(self, tmp_path: Path, refused: set[Path]) -> None:
        refused.update({tmp_path, Path("/tmp")})
        with pytest.raises(MachineError, match=f"TMPDIR='{tmp_path}' is not .* /tmp is not") as got:
            temporary_directory({"TMPDIR": str(tmp_path)})
        assert got.value.variable == "TMPDIR"


def test_it_is_created_for_this_user_only(tmp_path: Path) -> None:
    make_scratch(tmp_path / "a" / "scratch")
    assert (tmp_path / "a" / "scratch").stat().st_mode & 0o777 == 0o700
    make_scratch(tmp_path / "a" / "scratch")


def test_failing_to_create_it_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be created: Not a directory"):
        make_scratch(tmp_path / "file" / "scratch")
