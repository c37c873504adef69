"""What a tarball holds: its repositories, their revisions and sizes, or a plain model."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.store.progress import ignore_progress
from entrypoint.store.tarballs import survey as survey_module
from entrypoint.store.tarballs.survey import peek, survey
from tests.support.models import (
    COMMIT,
    COMPRESSIONS,
    FALCON,
    OTHER_COMMIT,
    compress,
    model_files,
    pack,
    tar_of,
    write_files,
    write_snapshot,
)

each_compression = pytest.mark.parametrize("compression", COMPRESSIONS)


def write_tar(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@each_compression
@pytest.mark.parametrize("top", [".", "tiiuae--falcon-7b-instruct"])
def test_a_repository_in_the_layout_of_the_cache_is_found(
    tmp_path: Path, compression: str, top: str
) -> None:
    write_snapshot(tmp_path / "cache" / top)
    (tmp_path / "cache" / top / "a-version.txt").write_text("1")
    (tmp_path / "cache" / ".locks" / "models--a--b").mkdir(parents=True)
    contents = peek(pack(tmp_path / "cache", tmp_path / "a", compression))
    assert list(contents.repositories) == [FALCON]
    assert not contents.plain
    assert contents.listed is (compression == "plain")


def test_revisions_and_sizes_of_an_uncompressed_tarball_are_known(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "cache")
    write_snapshot(tmp_path / "cache", commit=OTHER_COMMIT, ref="refs/pr/1")
    write_snapshot(tmp_path / "cache", "a/b")
    contents = peek(pack(tmp_path / "cache", tmp_path / "a.tar"))
    assert list(contents.repositories) == ["a/b", FALCON]
    assert contents.repositories[FALCON].commits == (COMMIT, OTHER_COMMIT)
    assert contents.repositories[FALCON].refs == {"main": COMMIT, "refs/pr/1": OTHER_COMMIT}
    blobs = sum(map(len, {*model_files().values()}))
    refs = 3 * len(COMMIT)
    assert contents.sizes == {FALCON: blobs + refs - len(COMMIT), "a/b": blobs + len(COMMIT)}


@each_compression
@pytest.mark.parametrize("top", [".", "checkpoint"])
def test_a_plain_model_is_recognized(tmp_path: Path, compression: str, top: str) -> None:
    write_files(tmp_path / "model" / top, model_files() | {"README.md": b"Falcon"})
    contents = peek(pack(tmp_path / "model", tmp_path / "a", compression))
    assert contents.plain
    assert not contents.repositories


@each_compression
def test_other_files_are_no_model(tmp_path: Path, compression: str) -> None:
    write_files(tmp_path / "notes", {"README.md": b"x", "a/b/config.json": b"{}"})
    contents = peek(pack(tmp_path / "notes", tmp_path / "a", compression))
    assert not contents.plain
    assert not contents.repositories


@each_compression
def test_a_file_without_a_name_is_skipped(tmp_path: Path, compression: str) -> None:
    tar = tar_of((".", b"x"), ("config.json", b"{}"))
    assert peek(write_tar(tmp_path / "a", compress(tar, compression))).plain


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_compressed_tarball_is_read_only_to_its_first_model(
    tmp_path: Path, compression: str
) -> None:
    content = compress(tar_of((f"models--a--b/blobs/{'1' * 64}", b"x" * 8_000_000)), compression)
    cut = write_tar(tmp_path / "a", content[: len(content) // 2])
    assert list(peek(cut).repositories) == ["a/b"]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_search_for_a_model_ends_at_a_limit(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module, "MAX_PEEK", 1000)
    tar = tar_of(("notes.txt", b"x" * 2000), ("models--a--b/refs/main", b"1"))
    contents = peek(write_tar(tmp_path / "a", compress(tar, compression)))
    assert not contents.repositories
    assert not contents.listed


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_survey_reads_a_compressed_tarball_to_its_end(tmp_path: Path, compression: str) -> None:
    write_snapshot(tmp_path / "cache")
    write_snapshot(tmp_path / "cache", "a/b")
    archive = pack(tmp_path / "cache", tmp_path / "a", compression)
    contents = survey(archive, ignore_progress)
    assert contents.listed
    assert contents.compressed
    assert contents.repositories["a/b"].commits == (COMMIT,)
    assert contents.formats == {FALCON: ("safetensors",), "a/b": ("safetensors",)}
