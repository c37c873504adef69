"""The models to verify in a path, and the hashes of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import ProblemKind, UsageError
from entrypoint.store.progress import ignore_progress
from entrypoint.store.verification.scan import scan
from entrypoint.store.verification.target import (
    Target,
    hash_contents,
    model_files,
    repository_in,
    targets_in_tarball,
    targets_on_disk,
    unrelated_files,
)
from tests.support import models
from tests.support.hub_cache import write_hub_snapshot
from tests.support.models import COMMIT, FALCON, OTHER_COMMIT, pack, sha256, write_files

FOLDER = "models--tiiuae--falcon-7b-instruct"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    write_hub_snapshot(tmp_path / "cache")
    return tmp_path / "cache"


def test_a_cache_a_repository_and_a_snapshot_are_told_apart(cache: Path) -> None:
    [in_cache] = targets_on_disk(cache)
    [repository] = targets_on_disk(cache / FOLDER)
    [snapshot] = targets_on_disk(cache / FOLDER / "snapshots" / COMMIT)
    assert in_cache.folder.repository == repository.folder.repository == FALCON
    assert (repository.commit, snapshot.commit) == (None, COMMIT)
    assert all(name.startswith(f"snapshots/{COMMIT}/") for name in snapshot.contents)
    assert any(name.startswith("blobs/") for name in repository.contents)


def test_a_tarball_of_a_cache_has_its_models(cache: Path) -> None:
    found = scan(pack(cache, cache.with_name("a.tar"), "plain"), ignore_progress)
    [target] = targets_in_tarball(found)
    assert target.folder.repository == FALCON
    assert unrelated_files(found) == {}


def test_a_file_beside_the_models_in_a_tarball_is_unrelated(cache: Path) -> None:
    (cache / "readme.txt").write_text("x")
    found = scan(pack(cache, cache.with_name("a.tar"), "plain"), ignore_progress)
    [(name, problem)] = unrelated_files(found).items()
    assert name.endswith("readme.txt")
    assert problem.kind is ProblemKind.UNEXPECTED


def test_refs_and_snapshots_are_read(cache: Path) -> None:
    repository = repository_in(targets_on_disk(cache)[0].folder)
    assert repository.commits == (COMMIT,)
    assert set(repository.refs.values()) <= {COMMIT}


def test_several_revisions_without_a_default_are_refused(tmp_path: Path) -> None:
    for commit in (COMMIT, OTHER_COMMIT):
        models.write_snapshot(tmp_path / "cache", FALCON, commit=commit, ref=None)
    with pytest.raises(UsageError, match="no default revision"):
        model_files(targets_on_disk(tmp_path / "cache")[0])


def test_each_content_is_hashed_once(tmp_path: Path) -> None:
    write_files(tmp_path / "m", {"a": b"one", "b": b"two"})
    (tmp_path / "m" / "c").symlink_to("a")
    [target] = targets_on_disk(tmp_path / "m")
    counted: list[int] = []
    hashed = hash_contents(target, {}, 2, counted.append)
    assert sum(counted) == 6
    assert hashed[target.contents["c"]].sha256 == sha256(b"one")
    assert hash_contents(target, hashed, 2, counted.append) == hashed
    assert sum(counted) == 6


def test_only_the_named_snapshot_counts(cache: Path) -> None:
    folder = targets_on_disk(cache)[0].folder
    assert Target(folder, OTHER_COMMIT).contents == {}
