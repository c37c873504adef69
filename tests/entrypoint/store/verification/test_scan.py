"""A tarball, read once: its members, the hashes of its contents, and the bytes that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import RefusedArtifact
from entrypoint.store.progress import ignore_progress
from entrypoint.store.verification.scan import scan
from tests.support.hub_cache import write_hub_snapshot
from tests.support.models import model_files, pack, sha256, write_files


def test_an_uncompressed_tarball_is_not_hashed(tmp_path: Path) -> None:
    """Its contents can be hashed later, in parallel."""
    write_files(tmp_path / "m", model_files())
    found = scan(pack(tmp_path / "m", tmp_path / "a.tar", "plain"), ignore_progress)
    assert ("config.json",) in {parts[-1:] for parts in found.tree.entries}
    assert found.digests == {}


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_compressed_tarball_is_hashed_on_the_way(tmp_path: Path, kind: str) -> None:
    files = model_files()
    write_files(tmp_path / "m", files)
    found = scan(pack(tmp_path / "m", tmp_path / "a", kind), ignore_progress)
    hashes = {digests.sha256 for digests in found.digests.values()}
    assert hashes == {sha256(content) for content in files.values()}


def test_small_files_and_the_headers_of_weights_are_kept(tmp_path: Path) -> None:
    shard = model_files(size=20_000_000)["model.safetensors"]
    files = model_files() | {"model.safetensors": shard}
    write_hub_snapshot(tmp_path / "cache", files=files)
    found = scan(pack(tmp_path / "cache", tmp_path / "a.tar.zst", "zstd"), ignore_progress)
    header = 8 + int.from_bytes(shard[:8], "little")
    assert shard[:header] in found.kept.values()
    assert files["config.json"] in found.kept.values()


def test_a_truncated_tarball_names_the_last_member(tmp_path: Path) -> None:
    write_files(tmp_path / "m", {"config.json": b"{}", "weights.bin": bytes(100_000)})
    archive = pack(tmp_path / "m", tmp_path / "a.tar", "plain")
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises(RefusedArtifact) as raised:
        scan(archive, ignore_progress)
    assert "weights.bin" in raised.value.problem
