"""The process that downloads: what it leaves out, how it counts, what it calls an error."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from entrypoint.store.downloader import bytes_on_disk, failure, unwanted


class TestUnwanted:
    def test_other_formats_are_left_out_where_there_are_safetensors(self) -> None:
        assert {"*.bin", "*.h5", "*.gguf"} <= set(unwanted(["model.safetensors"]))

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "unet/model.safetensors", "q4.gguf"])
    def test_else_only_those_of_other_frameworks(self, name: str) -> None:
        patterns = unwanted([name])
        assert "*.h5" in patterns
        assert not {"*.bin", "*.gguf", "*.pt"} & set(patterns)


class TestBytesOnDisk:
    def test_whole_and_half_blobs_count(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x" * 10)
        (tmp_path / "b.1234.incomplete").write_bytes(b"x" * 3)
        (tmp_path / "c").write_bytes(b"x" * 100)
        assert bytes_on_disk(tmp_path, {"a": 10, "b": 10, "d": 10}, frozenset()) == 13

    def test_what_a_killed_download_left_does_not(self, tmp_path: Path) -> None:
        (tmp_path / "b.1234.incomplete").write_bytes(b"x" * 3)
        assert bytes_on_disk(tmp_path, {"b": 10}, frozenset({"b.1234.incomplete"})) == 0

    def test_no_folder_is_no_bytes(self, tmp_path: Path) -> None:
        assert bytes_on_disk(tmp_path / "gone", {"a": 10}, frozenset()) == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (LocalEntryNotFoundError("no connection"), "unreachable"),
        (RuntimeError("timed out"), "unreachable"),
    ],
)
def test_errors_are_told_apart(error: Exception, kind: str) -> None:
    assert failure(error)["failure"] == kind


def test_an_error_is_told_in_one_line() -> None:
    assert failure(ValueError("a\n\nb"))["detail"] == "a b"
    assert failure(ValueError())["detail"] == "ValueError"
