"""Comparing a model with its blobs' names, its manifest and its indexes."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import ProblemKind
from entrypoint.store.verification.compare import ONLY_STRUCTURE, Finding, compare
from entrypoint.store.verification.target import hash_contents, targets_on_disk
from tests.support.hub_cache import write_hub_snapshot
from tests.support.models import FALCON, model_files, write_files

FOLDER = "models--tiiuae--falcon-7b-instruct"


def compared(path: Path, hashing: bool = True) -> Finding:
    [target] = targets_on_disk(path)
    hashed = hash_contents(target, {}, 2, lambda count: None) if hashing else None
    return compare(target, hashed)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    write_hub_snapshot(tmp_path / "cache")
    return tmp_path / "cache"


def blob_of(cache: Path, name: str) -> Path:
    return next((cache / FOLDER / "snapshots").glob(f"*/{name}")).resolve()


def test_a_complete_cache_has_no_problem_and_all_its_bytes_are_compared(cache: Path) -> None:
    finding = compared(cache)
    assert (finding.repository, finding.problems, finding.notes) == (FALCON, {}, ())
    blobs = [path.stat().st_size for path in (cache / FOLDER / "blobs").iterdir()]
    assert finding.bytes >= sum(blobs) > 0


def test_without_hashes_a_flipped_bit_is_not_found(cache: Path) -> None:
    blob = blob_of(cache, "model.safetensors")
    blob.write_bytes(blob.read_bytes()[:-1] + bytes([blob.read_bytes()[-1] ^ 1]))
    with_hashes = compared(cache)
    assert with_hashes.problems["model.safetensors"].kind is ProblemKind.DIFFERENT
    assert "model.safetensors" not in compared(cache, hashing=False).problems
    assert compared(cache, hashing=False).bytes == 0


def test_a_missing_blob_is_a_problem_of_the_file_that_links_to_it(cache: Path) -> None:
    blob_of(cache, "config.json").unlink()
    assert compared(cache).problems["config.json"].kind is ProblemKind.DANGLING


def test_a_file_that_does_not_belong_to_a_repository_is_unexpected(cache: Path) -> None:
    (cache / FOLDER / "blobs" / "notes").write_text("x")
    problem = compared(cache).problems["blobs/notes"]
    assert problem.kind is ProblemKind.UNEXPECTED
    assert "its name is not a hash" in problem.text


def test_a_plain_model_without_a_manifest_is_only_checked_for_structure(tmp_path: Path) -> None:
    write_files(tmp_path / "m", model_files())
    finding = compared(tmp_path / "m")
    assert (finding.repository, finding.bytes, finding.notes) == (None, 0, (ONLY_STRUCTURE,))
