"""Each fault is found and reported for its file, on disk and in every kind of tarball."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.errors import FailedVerification, ModelNotFound, RefusedArtifact, UsageError
from entrypoint.store.disk.manifest import MANIFEST, Manifest, load_manifest
from entrypoint.store.tarballs.pack import pack_model
from entrypoint.store.tarballs.source import find_source
from entrypoint.store.verification.verify import Verification, verify
from tests.support.hub_cache import write_hub_snapshot
from tests.support.hub_stand_in import blob_id, git_blob
from tests.support.models import (
    COMMIT,
    COMPRESSIONS,
    FALCON,
    OTHER_COMMIT,
    model_files,
    of_type,
    pack,
    sha256,
    tar_of,
    write_files,
    write_snapshot,
)
from tests.support.problems import texts

FOLDER = "models--tiiuae--falcon-7b-instruct"
FILES = model_files(shards=3, size=200_000) | {"größe/ü.py": b"print()"}
SHARD = "model-00002-of-00003.safetensors"
KINDS = ("cache", "plain", "gzip", "zstd")
"""A cache, and tarballs of one by their compression."""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    write_hub_snapshot(tmp_path / "cache", files=FILES)
    return tmp_path / "cache"


def packed_as(kind: str, cache: Path) -> Path:
    """Return a cache, or a tarball of it."""
    if kind == "cache":
        return cache
    return pack(cache, cache.with_name(f"a{COMPRESSIONS[kind]}"), kind)


def problems_of(path: Path, manifest: Manifest | None = None) -> dict[str, str]:
    return texts(verify(path, manifest=manifest, threads=2).problems)


def notes_of(verification: Verification) -> tuple[str, ...]:
    [model] = verification.models
    return model.finding.notes


def with_manifest(cache: Path) -> None:
    """Give a cache the manifest that its tarball has."""
    made = pack_model(find_source(str(cache)), cache.with_name("m.tar"), threads=1)
    (cache / FOLDER / MANIFEST).write_bytes(made.manifest.dump())


def snapshot_of(cache: Path) -> Path:
    return cache / FOLDER / "snapshots" / COMMIT


def blob_of(cache: Path, name: str) -> Path:
    return cache / FOLDER / "blobs" / blob_id(name, FILES[name])


def flip(path: Path, place: int = -1) -> bytes:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize("manifest", [False, True], ids=["by names", "by manifest"])
@pytest.mark.parametrize("kind", KINDS)
class TestCache:
    def test_a_complete_model_has_no_problem(self, cache: Path, kind: str, manifest: bool) -> None:
        if manifest:
            with_manifest(cache)
        found = verify(packed_as(kind, cache), threads=2)
        found.check()
        [model] = found.models
        assert model.finding.repository == FALCON
        assert model.finding.files == len(FILES)
        assert model.finding.bytes >= sum(map(len, FILES.values()))
        assert model.finding.notes == ()

    @pytest.mark.parametrize("name", [SHARD, "größe/ü.py"])
    def test_a_flipped_bit_is_found(
        self, cache: Path, kind: str, manifest: bool, name: str
    ) -> None:
        if manifest:
            with_manifest(cache)
        content = flip(blob_of(cache, name))
        actual = blob_id(name, content)
        assert problems_of(packed_as(kind, cache)) == {
            name: f"its content has the hash {actual}, but its blob is named "
            f"{blob_id(name, FILES[name])}"
        }

    def test_a_missing_shard_is_found(self, cache: Path, kind: str, manifest: bool) -> None:
        if manifest:
            with_manifest(cache)
        (snapshot_of(cache) / SHARD).unlink()
        blob_of(cache, SHARD).unlink()
        assert problems_of(packed_as(kind, cache)) == {
            SHARD: "missing, listed in model.safetensors.index.json"
        }

    def test_a_missing_file_outside_the_index_is_found(
        self, cache: Path, kind: str, manifest: bool
    ) -> None:
        """Only a manifest knows of it."""
        if manifest:
            with_manifest(cache)
        (snapshot_of(cache) / "größe" / "ü.py").unlink()
        expected = {"größe/ü.py": "missing, listed in the manifest"} if manifest else {}
        assert problems_of(packed_as(kind, cache)) == expected

    def test_a_dangling_link_is_found(self, cache: Path, kind: str, manifest: bool) -> None:
        if manifest:
            with_manifest(cache)
        blob_of(cache, SHARD).unlink()
        target = f"../../blobs/{blob_id(SHARD, FILES[SHARD])}"
        assert problems_of(packed_as(kind, cache)) == {SHARD: f"dangling link to {target}"}

    def test_a_renamed_blob_is_found(self, cache: Path, kind: str, manifest: bool) -> None:
        """Both the file that links to it and the blob itself are reported."""
        if manifest:
            with_manifest(cache)
        blob = blob_of(cache, SHARD)
        blob.rename(blob.with_name("0" * 64))
        assert problems_of(packed_as(kind, cache)) == {
            SHARD: f"dangling link to ../../blobs/{blob.name}",
            "blobs/" + "0" * 64: f"its content has the hash {blob.name}, but its blob is named "
            + "0" * 64,
        }

    def test_swapped_blobs_are_found(self, cache: Path, kind: str, manifest: bool) -> None:
        """Their sizes are the same, so that only the hashes tell."""
        if manifest:
            with_manifest(cache)
        one, two = (blob_of(cache, f"model-0000{number}-of-00003.safetensors") for number in (1, 3))
        one.rename(one.with_name("x"))
        two.rename(one)
        one.with_name("x").rename(two)
        problems = problems_of(packed_as(kind, cache))
        assert sorted(problems) == [f"model-0000{n}-of-00003.safetensors" for n in (1, 3)]
        if manifest:
            assert problems["model-00001-of-00003.safetensors"].endswith(
                "that is the content of model-00003-of-00003.safetensors"
            )

    def test_a_truncated_blob_is_found(self, cache: Path, kind: str, manifest: bool) -> None:
        if manifest:
            with_manifest(cache)
        os.truncate(blob_of(cache, SHARD), 1000)
        problems = problems_of(packed_as(kind, cache))
        assert list(problems) == [SHARD]
        assert problems[SHARD].startswith("truncated: 1000 of")

    def test_an_unfinished_download_is_found(self, cache: Path, kind: str, manifest: bool) -> None:
        """1. It is a problem. 2. Not if a later one has completed it."""
        if manifest:
            with_manifest(cache)
        blobs = cache / FOLDER / "blobs"
        (blobs / f"{'a' * 64}.incomplete").write_bytes(b"half")
        (blobs / f"{blob_id(SHARD, FILES[SHARD])}.incomplete").write_bytes(b"half")
        assert problems_of(packed_as(kind, cache)) == {
            f"blobs/{'a' * 64}.incomplete": "a download that is incomplete or still running"
        }

    def test_unknown_files_are_found(self, cache: Path, kind: str, manifest: bool) -> None:
        if manifest:
            with_manifest(cache)
        (cache / FOLDER / "blobs" / "notes").write_bytes(b"1")
        (cache / FOLDER / "readme.txt").write_bytes(b"2")
        (cache / FOLDER / "snapshots" / "stray").write_bytes(b"3")
        assert problems_of(packed_as(kind, cache)) == {
            "blobs/notes": "unknown: its name is not a hash, and nothing links to it",
            "readme.txt": "unknown: it does not belong here",
            "snapshots/stray": "unknown: it does not belong here",
        }

    def test_a_file_outside_the_manifest_is_found(
        self, cache: Path, kind: str, manifest: bool
    ) -> None:
        """A link to a valid blob: only a manifest shows that it is not part of the model."""
        if manifest:
            with_manifest(cache)
        code = b"import os"
        (cache / FOLDER / "blobs" / git_blob(code)).write_bytes(code)
        (snapshot_of(cache) / "extra.py").symlink_to(f"../../blobs/{git_blob(code)}")
        expected = {"extra.py": "not in the manifest"} if manifest else {}
        assert problems_of(packed_as(kind, cache)) == expected

    def test_a_link_to_another_blob_is_found(self, cache: Path, kind: str, manifest: bool) -> None:
        if manifest:
            with_manifest(cache)
        link = snapshot_of(cache) / "größe" / "ü.py"
        link.unlink()
        other = blob_id("tokenizer.json", FILES["tokenizer.json"])
        link.symlink_to(f"../../../blobs/{other}")
        problems = problems_of(packed_as(kind, cache))
        assert list(problems) == (["größe/ü.py"] if manifest else [])

    def test_a_ref_without_its_snapshot_is_found(
        self, cache: Path, kind: str, manifest: bool
    ) -> None:
        if manifest:
            with_manifest(cache)
        (cache / FOLDER / "refs" / "v2").write_text(OTHER_COMMIT)
        assert problems_of(packed_as(kind, cache)) == {
            "refs/v2": f"refers to the commit {OTHER_COMMIT!r}, whose snapshot is missing"
        }


@pytest.mark.parametrize("kind", KINDS)
class TestManifest:
    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda content: content[:-9], "not valid JSON"),
            (lambda content: content.replace(b'"format": 1', b'"format": 9'), "format 9"),
            (lambda content: content.replace(FALCON.encode(), b"a/b"), "is for 'a/b'"),
            (lambda content: content.replace(COMMIT.encode(), b"0" * 40), "which is missing"),
        ],
    )
    def test_a_manifest_of_another_model_is_found(
        self, cache: Path, kind: str, change: Callable[[bytes], bytes], what: str
    ) -> None:
        with_manifest(cache)
        path = cache / FOLDER / MANIFEST
        path.write_bytes(change(path.read_bytes()))
        problems = problems_of(packed_as(kind, cache))
        assert list(problems) == [MANIFEST]
        assert what in problems[MANIFEST]

    def test_blobs_with_other_names_than_in_the_manifest_are_found(
        self, cache: Path, kind: str
    ) -> None:
        """Each blob matches its name, but the manifest lists another blob."""
        with_manifest(cache)
        name = "tokenizer.json"
        link, content = snapshot_of(cache) / name, b"{ }"
        (cache / FOLDER / "blobs" / sha256(content)).write_bytes(content)
        link.unlink()
        link.symlink_to(f"../../blobs/{sha256(content)}")
        problems = problems_of(packed_as(kind, cache))
        assert problems == {name: "has 3 bytes, but 2 in the manifest"}


class TestPlaces:
    def test_a_snapshot_is_verified_alone(self, cache: Path) -> None:
        """What is wrong with another snapshot does not matter."""
        write_hub_snapshot(cache, commit=OTHER_COMMIT, ref=None)
        flip(cache / FOLDER / "blobs" / sha256(model_files()["model.safetensors"]))
        verify(snapshot_of(cache), threads=2).check()
        assert list(problems_of(snapshot_of(cache).with_name(OTHER_COMMIT))) == [
            "model.safetensors"
        ]
        assert list(problems_of(cache)) == [f"{OTHER_COMMIT[:7]}/model.safetensors"]

    def test_every_model_of_a_cache_is_verified(self, cache: Path) -> None:
        write_snapshot(cache, "a/b")
        flip(blob_of(cache, SHARD))
        found = verify(cache, threads=2)
        assert [model.finding.repository for model in found.models] == ["a/b", FALCON]
        assert list(found.problems) == [f"{FALCON}: {SHARD}"]

    def test_an_incomplete_old_revision_is_only_noted(self, cache: Path) -> None:
        """Caches often hold only a tokenizer of an older one."""
        old = {"tokenizer.json": b"{}"}
        write_hub_snapshot(cache, commit=OTHER_COMMIT, files=old, ref=None)
        found = verify(cache, threads=2)
        assert found.problems == {}
        assert "is incomplete" in notes_of(found)[0]

    def test_unused_blobs_are_noted(self, cache: Path) -> None:
        (cache / FOLDER / "blobs" / sha256(b"old")).write_bytes(b"old")
        assert notes_of(verify(cache, threads=2)) == (
            "1 blobs (3 bytes) are not used by any snapshot",
        )

    def test_a_snapshot_of_plain_files_is_noted(self, cache: Path) -> None:
        """As `tar -h` makes them: without a manifest they cannot be checked."""
        link = snapshot_of(cache) / "tokenizer.json"
        link.unlink()
        link.write_bytes(b"[]")
        found = verify(cache, threads=2)
        assert found.problems == {}
        assert "content of 1 files in snapshots" in notes_of(found)[0]

    def test_a_plain_directory_is_checked_for_structure(self, tmp_path: Path) -> None:
        """1. Without a manifest only the structure is checked. 2. A note states that."""
        source = write_files(tmp_path / "m", FILES)
        found = verify(source, threads=2)
        assert found.problems == {}
        assert found.models[0].finding.bytes == 0
        assert "only its structure" in notes_of(found)[0]
        (source / SHARD).unlink()
        assert list(problems_of(source)) == [SHARD]

    def test_a_missing_path_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFound):
            verify(tmp_path / "none", threads=2)

    def test_one_manifest_for_two_models_is_refused(self, cache: Path) -> None:
        with_manifest(cache)
        manifest = load_manifest((cache / FOLDER / MANIFEST).read_bytes())
        write_snapshot(cache, "a/b")
        with pytest.raises(UsageError, match="contains 2 models"):
            verify(cache, manifest=manifest, threads=2)


@pytest.mark.parametrize("kind", ["directory", "plain", "zstd"])
class TestPlainModel:
    """A directory, or a tarball of one, and the manifest of its tarball."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        return write_files(tmp_path / "m" / "falcon", FILES)

    @pytest.fixture
    def manifest(self, tmp_path: Path, directory: Path) -> Manifest:
        source = find_source(str(directory), repository="a/b")
        return pack_model(source, tmp_path / "m.tar", threads=1).manifest

    def as_kind(self, kind: str, directory: Path) -> Path:
        if kind == "directory":
            return directory
        return pack(directory.parent, directory.parent.with_name(f"a{COMPRESSIONS[kind]}"), kind)

    def test_a_complete_plain_model_has_no_problem(
        self, directory: Path, manifest: Manifest, kind: str
    ) -> None:
        found = verify(self.as_kind(kind, directory), manifest=manifest, threads=2)
        found.check()
        assert found.models[0].finding.bytes == sum(map(len, FILES.values()))

    @pytest.mark.parametrize(
        ("fault", "name", "what"),
        [
            (flip, SHARD, "has the SHA-256 "),
            (Path.unlink, "größe/ü.py", "missing, listed in the manifest"),
            (Path.unlink, SHARD, "missing, listed in model.safetensors.index.json"),
            (lambda path: path.write_bytes(b"12"), "größe/ü.py", "has 2 bytes, but 7 in"),
            (lambda path: path.write_bytes(b"12"), "extra.py", "not in the manifest"),
        ],
    )
    def test_faults_of_a_plain_model_are_found(
        self,
        directory: Path,
        manifest: Manifest,
        kind: str,
        fault: Callable[[Path], object],
        name: str,
        what: str,
    ) -> None:
        fault(directory / name)
        problems = problems_of(self.as_kind(kind, directory), manifest)
        assert list(problems) == [name]
        assert problems[name].startswith(what)


class TestTarball:
    @pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.97])
    def test_a_truncated_tarball_is_refused(self, cache: Path, kind: str, share: float) -> None:
        archive = packed_as(kind, cache)
        size = archive.stat().st_size
        os.truncate(archive, int(size * share))
        with pytest.raises(RefusedArtifact) as raised:
            verify(archive, threads=2)
        assert raised.value.exit_code == 65

    def test_the_truncated_member_is_named(self, cache: Path) -> None:
        archive = cache.with_name("a.tar")
        pack_model(find_source(str(cache)), archive, threads=1)
        os.truncate(archive, archive.stat().st_size - 230_000)
        with pytest.raises(RefusedArtifact, match=blob_id(SHARD, FILES[SHARD])):
            verify(archive, threads=2)

    @pytest.mark.parametrize("kind", ["gzip", "zstd"])
    def test_a_flipped_bit_in_a_compressed_tarball_is_refused(self, cache: Path, kind: str) -> None:
        noise = random.Random(1).randbytes(300_000)
        write_hub_snapshot(cache, files=FILES | {"noise.bin": noise}, commit=OTHER_COMMIT, ref="x")
        archive = packed_as(kind, cache)
        flip(archive, archive.stat().st_size // 2)
        with pytest.raises((RefusedArtifact, FailedVerification)):
            verify(archive, threads=2).check()

    def test_files_outside_a_models_folder_are_found(self, cache: Path) -> None:
        (cache / "stray.bin").write_bytes(b"x")
        (cache / "version.txt").write_text("1")
        (cache / ".locks").mkdir()
        (cache / ".locks" / "x.lock").write_text("")
        assert problems_of(packed_as("plain", cache)) == {
            "stray.bin": "unknown: it does not belong to any model"
        }

    @pytest.mark.parametrize("kind", ["plain", "zstd"])
    def test_a_cache_in_a_folder_is_verified(self, tmp_path: Path, kind: str) -> None:
        """As the guides show it: the tarball unpacks to one folder, and the cache is in that."""
        top = tmp_path / "top" / "tiiuae--falcon-7b-instruct"
        write_hub_snapshot(top, files=FILES)
        (top / "version.txt").write_text("1")
        (top / "notes").write_text("x")
        flip(blob_of(top, SHARD))
        problems = problems_of(packed_as(kind, top.parent))
        assert set(problems) == {SHARD, "tiiuae--falcon-7b-instruct/notes"}

    def test_a_tarball_without_a_model_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar_of(("x", b"1")))
        assert problems_of(tmp_path / "a.tar")["config.json"] == "missing"

    def test_a_hostile_tarball_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar_of(("x", of_type(b"3"))))
        with pytest.raises(RefusedArtifact, match="is not a file"):
            verify(tmp_path / "a.tar", threads=2)

    @pytest.mark.parametrize("compress", [False, True])
    def test_a_sparse_file_is_hashed_with_its_holes(self, cache: Path, compress: bool) -> None:
        """The tarball does not contain its zeros, but they are hashed."""
        with (cache / FOLDER / "blobs" / "x").open("wb") as file:
            file.truncate(3_000_000)
            file.seek(2_000_000)
            file.write(b"x")
        content = (cache / FOLDER / "blobs" / "x").read_bytes()
        (cache / FOLDER / "blobs" / "x").rename(cache / FOLDER / "blobs" / sha256(content))
        (snapshot_of(cache) / "holes.bin").symlink_to(f"../../blobs/{sha256(content)}")
        archive = cache.with_name("a.tar")
        subprocess.run(["tar", "-S", "-cf", archive, "-C", cache, "."], check=True)
        assert archive.stat().st_size < 3_000_000
        if compress:
            subprocess.run(["gzip", archive], check=True)
            archive = archive.with_name("a.tar.gz")
        found = verify(archive, threads=2)
        assert found.problems == {}
        assert sha256(content) in {digests.sha256 for digests in found.models[0].hashed.values()}

    @pytest.mark.parametrize("kind", ["plain", "zstd"])
    def test_verifying_writes_nothing(self, cache: Path, kind: str) -> None:
        archive = packed_as(kind, cache)
        before = sorted(path for path in cache.parent.rglob("*"))
        verify(archive, threads=2).check()
        assert sorted(path for path in cache.parent.rglob("*")) == before
