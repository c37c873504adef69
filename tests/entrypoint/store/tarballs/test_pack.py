"""A tarball holds the model byte for byte, is the same each time, and is never incomplete."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import ArtifactError, StorageError, UsageError
from entrypoint.store.disk.integrity import check_files
from entrypoint.store.disk.manifest import derived_commit, load_manifest
from entrypoint.store.progress import ignore_progress
from entrypoint.store.tarballs.compress import SUFFIX, Compression
from entrypoint.store.tarballs.layout import ALIGNMENT, Member, lay_out
from entrypoint.store.tarballs.pack import PackedTarball, pack_model
from entrypoint.store.tarballs.source import find_source
from entrypoint.store.tarballs.survey import peek
from entrypoint.store.tarballs.tarball import find_tarballs
from entrypoint.store.tarballs.tree import read_tree
from entrypoint.store.tarballs.unpack import unpack
from entrypoint.store.writing import room
from entrypoint.store.writing.publish import partial_path
from tests.support.hub_cache import contents_of, extract, write_hub_snapshot
from tests.support.hub_stand_in import blob_id
from tests.support.models import (
    COMMIT,
    FALCON,
    OTHER_COMMIT,
    model_files,
    sha256,
    write_files,
    write_snapshot,
)

FOLDER = "models--tiiuae--falcon-7b-instruct"
COMPRESSIONS: tuple[Compression, ...] = ("none", "zstd", "gzip")
FILES = model_files(shards=3, size=1_200_000) | {
    "größe/ü ß.txt": b"utf-8",
    "sub/" + "long/" * 50 + "name.json": b"{}",
    "empty.txt": b"",
    "copy-of-config.json": model_files()["config.json"],
}


def packed(
    source: Path, target: Path, compression: Compression = "none", threads: int = 2
) -> PackedTarball:
    found = find_source(str(source), repository=FALCON)
    return pack_model(found, target, compression=compression, threads=threads)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with two revisions, of which the first is packed."""
    write_hub_snapshot(tmp_path / "cache", commit=OTHER_COMMIT, ref="old")
    write_hub_snapshot(tmp_path / "cache", files=FILES)
    return tmp_path / "cache"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_files(tmp_path / "plain", FILES)


@pytest.mark.parametrize("compression", COMPRESSIONS)
class TestRoundTrip:
    @pytest.mark.parametrize("source", ["cache", "plain"])
    def test_gnu_tar_unpacks_it(
        self, tmp_path: Path, cache: Path, directory: Path, source: str, compression: Compression
    ) -> None:
        """1. It is the cache's layout. 2. The snapshot is the source. 3. Nothing else is in it."""
        made = packed(tmp_path / source, tmp_path / f"a{SUFFIX[compression]}", compression)
        commit = made.manifest.commit
        tree = extract(made.path, tmp_path / "out")
        assert sorted(os.listdir(tree)) == [FOLDER, "version.txt"]
        assert (tree / "version.txt").read_text() == "1"
        folder = tree / FOLDER
        assert sorted(os.listdir(folder)) == ["blobs", "manifest.json", "refs", "snapshots"]
        assert (folder / "refs" / "main").read_text() == commit
        assert os.listdir(folder / "refs") == ["main"]
        assert os.listdir(folder / "snapshots") == [commit]
        assert contents_of(folder / "snapshots" / commit) == FILES
        assert load_manifest((folder / "manifest.json").read_bytes()) == made.manifest
        assert set(os.listdir(folder / "blobs")) == {file.blob for file in made.manifest.files}

    def test_pythons_tarfile_unpacks_it(
        self, tmp_path: Path, cache: Path, compression: Compression
    ) -> None:
        made = packed(cache, tmp_path / f"a{SUFFIX[compression]}", compression)
        raw = tmp_path / "raw.tar"
        tool = {"none": ["cat"], "zstd": ["zstd", "-dc"], "gzip": ["gzip", "-dc"]}[compression]
        with raw.open("wb") as out:
            subprocess.run([*tool, made.path], stdout=out, check=True)
        with tarfile.open(raw) as tar:
            tar.extractall(tmp_path / "out", filter="data")
        assert contents_of(tmp_path / "out" / FOLDER / "snapshots" / COMMIT) == FILES

    def test_it_can_be_served(self, tmp_path: Path, cache: Path, compression: Compression) -> None:
        made = packed(cache, tmp_path / f"a{SUFFIX[compression]}", compression)
        assert list(peek(made.path).repositories) == [FALCON]
        (tmp_path / "out").mkdir()
        unpack(made.path, tmp_path / "out", FALCON, ignore_progress)
        assert contents_of(tmp_path / "out" / FOLDER / "snapshots" / COMMIT) == FILES

    def test_the_same_model_gives_the_same_bytes(
        self, tmp_path: Path, cache: Path, directory: Path, compression: Compression
    ) -> None:
        """Whatever the times, the modes, the order on the disk, and the number of threads."""
        other = write_files(tmp_path / "other", dict(reversed(FILES.items())))
        for path in other.rglob("*"):
            os.utime(path, (1, 1))
            path.chmod(0o700)
        for source, again in [(cache, cache), (directory, other)]:
            one = packed(source, tmp_path / "1.tar", compression, threads=1)
            many = packed(again, tmp_path / "2.tar", compression, threads=7)
            assert one.path.read_bytes() == many.path.read_bytes()
            assert one.bytes == one.path.stat().st_size


class TestUncompressed:
    def test_weights_can_be_mapped(self, tmp_path: Path, cache: Path) -> None:
        made = packed(cache, tmp_path / "a.tar")
        files = read_tree(made.path, FALCON).files((FOLDER, "snapshots", COMMIT))
        offsets = [files.entries[name].offset for name in FILES if name.endswith(".safetensors")]
        assert len(offsets) == 3
        assert all(offset % ALIGNMENT == 0 for offset in offsets)
        assert check_files(files) == sum(map(len, FILES.values()))

    def test_the_compressed_tar_is_the_same(self, tmp_path: Path, cache: Path) -> None:
        plain = packed(cache, tmp_path / "a.tar")
        frames = packed(cache, tmp_path / "a.tar.zst", "zstd")
        unpacked = subprocess.run(["zstd", "-dc", frames.path], capture_output=True, check=True)
        assert unpacked.stdout == plain.path.read_bytes()

    def test_too_little_room_is_reported_before_packing(
        self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "free_bytes", lambda folder: 1000)
        with pytest.raises(StorageError, match="only 1,000 are free"):
            packed(cache, tmp_path / "a.tar")
        assert os.listdir(tmp_path) == ["cache"]

    @pytest.mark.slow
    def test_two_thousand_files_share_their_blobs(self, tmp_path: Path) -> None:
        many = {f"code/part-{number:04d}.py": b"%d" % (number % 50) for number in range(2000)}
        source = write_files(tmp_path / "m", model_files() | many)
        made = packed(source, tmp_path / "a.tar")
        tree = extract(made.path, tmp_path / "out")
        snapshot = tree / FOLDER / "snapshots" / made.manifest.commit
        assert contents_of(snapshot) == model_files() | many
        assert len(os.listdir(tree / FOLDER / "blobs")) == 50 + len(model_files())


class TestManifest:
    def test_the_manifest_of_a_cache_keeps_its_commit(self, tmp_path: Path, cache: Path) -> None:
        manifest = packed(cache, tmp_path / "a.tar").manifest
        assert (manifest.repository, manifest.commit) == (FALCON, COMMIT)
        assert manifest.tool.startswith("inference-server ")
        assert {file.name: (file.size, file.sha256, file.blob) for file in manifest.files} == {
            name: (len(content), sha256(content), blob_id(name, content))
            for name, content in FILES.items()
        }

    def test_the_manifest_of_a_directory_derives_a_commit(
        self, tmp_path: Path, directory: Path
    ) -> None:
        manifest = packed(directory, tmp_path / "a.tar").manifest
        hashes = [(name, sha256(content)) for name, content in FILES.items()]
        assert manifest.commit == derived_commit(hashes)
        assert sorted((file.name, file.blob) for file in manifest.files) == sorted(hashes)

    def test_the_manifest_is_the_first_file(self, tmp_path: Path, cache: Path) -> None:
        packed(cache, tmp_path / "a.tar")
        with tarfile.open(tmp_path / "a.tar") as tar:
            assert tar.getnames()[:2] == [FOLDER, f"{FOLDER}/manifest.json"]
            member = tar.extractfile(f"{FOLDER}/manifest.json")
            assert member is not None
            assert json.load(member)["format"] == 1


@pytest.mark.parametrize("compression", COMPRESSIONS)
class TestRefused:
    @pytest.mark.parametrize("name", ["config.json", "model-00002-of-00003.safetensors"])
    def test_a_blob_that_does_not_match_its_name_is_refused(
        self, tmp_path: Path, cache: Path, compression: Compression, name: str
    ) -> None:
        blob = (cache / FOLDER / "snapshots" / COMMIT / name).resolve()
        content = bytearray(blob.read_bytes())
        content[-1] ^= 1
        blob.write_bytes(content)
        if name == "config.json":  # JSON that no longer is would be refused before
            blob.write_bytes(b'{"architectures": ["FalconForCausalLN"]}')
        with pytest.raises(ArtifactError, match=f"{name} is damaged") as raised:
            packed(cache, tmp_path / "a.tar", compression)
        assert blob.name in raised.value.message
        assert os.listdir(tmp_path) == ["cache"]

    @pytest.mark.parametrize("what", ["grows", "shrinks", "is written to"])
    def test_a_file_that_changes_while_it_is_packed_is_an_error(
        self, tmp_path: Path, directory: Path, compression: Compression, what: str
    ) -> None:
        """It is changed after it was listed, or while it is read."""
        found = find_source(str(directory), repository=FALCON)
        shard = directory / "model-00003-of-00003.safetensors"
        if what == "grows":
            with shard.open("ab") as file:
                file.write(b"x")
        elif what == "shrinks":
            os.truncate(shard, 100)
        else:
            self._write_to_it_after_the_first_block(shard)
        with pytest.raises(StorageError, match=r"00003-of-00003.*changed while it was packed"):
            pack_model(found, tmp_path / "a.tar", compression=compression, threads=2)
        assert os.listdir(tmp_path) == ["plain"]

    @pytest.fixture(autouse=True)
    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def _write_to_it_after_the_first_block(self, shard: Path) -> None:
        real, inode = os.preadv, shard.stat().st_ino

        def preadv(descriptor: int, buffers: list[memoryview], offset: int) -> int:
            if offset and os.fstat(descriptor).st_ino == inode:
                os.utime(shard, ns=(1, 1))
            return real(descriptor, buffers, offset)

        self._monkeypatch.setattr(os, "preadv", preadv)

    def test_a_tarball_inside_the_model_is_refused(
        self, tmp_path: Path, directory: Path, compression: Compression
    ) -> None:
        with pytest.raises(UsageError, match="lies inside the model"):
            packed(directory, directory / "a.tar", compression)

    def test_a_missing_folder_is_an_error(
        self, tmp_path: Path, directory: Path, compression: Compression
    ) -> None:
        with pytest.raises(StorageError, match="does not exist"):
            packed(directory, tmp_path / "none" / "a.tar", compression)


def test_two_equal_files_share_one_blob(tmp_path: Path) -> None:
    shard = model_files(size=100_000)["model.safetensors"]
    source = write_files(tmp_path / "m", model_files() | {"a.bin": shard, "b.bin": shard})
    made = packed(source, tmp_path / "a.tar")
    assert made.bytes < 2 * len(shard)
    assert contents_of(
        extract(made.path, tmp_path / "out") / FOLDER / "snapshots" / made.manifest.commit
    ) == contents_of(source)


def test_two_equal_files_that_differ_later_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One changes after the first pass. Neither file gets the content of the other."""
    source = write_files(tmp_path / "m", model_files() | {"a.txt": b"same", "b.txt": b"same"})
    found = find_source(str(source), repository=FALCON)
    passes = []

    def lay_out_and_change(*arguments: Any) -> list[Member]:
        passes.append(arguments)
        if len(passes) == 3:  # before and after the first pass, and before the second
            for name in ("a.txt", "b.txt"):
                (source / name).write_bytes(name[:4].encode())
        return lay_out(*arguments)

    monkeypatch.setattr("entrypoint.store.tarballs.pack.lay_out", lay_out_and_change)
    with pytest.raises(StorageError, match=r"\.txt changed while it was packed"):
        pack_model(found, tmp_path / "a.tar", threads=1)
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.slow
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_process_killed_at_any_moment_leaves_no_incomplete_tarball(
    tmp_path: Path, compression: Compression
) -> None:
    """The next process writes the same tarball as one that was never killed."""
    write_snapshot(tmp_path / "cache", files=model_files(shards=4, size=3_000_000))
    complete = packed(tmp_path / "cache", tmp_path / "complete", compression).path.read_bytes()
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / f"a{SUFFIX[compression]}"
    command = [
        sys.executable, "-m", "entrypoint", "pack", str(tmp_path / "cache"),
        "-o", str(target), *({"none": [], "zstd": ["--zstd"], "gzip": ["--gzip"]}[compression]),
    ]  # fmt: skip
    moments = random.Random(4)
    for _ in range(8):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
            deadline = time.monotonic() + 30
            while not partial_path(target).exists() and run.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.06))
            run.kill()
        for tarball in find_tarballs(tmp_path / "out"):
            assert tarball.read_bytes() == complete
            tarball.unlink()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    assert os.listdir(tmp_path / "out") == [target.name]
    assert target.read_bytes() == complete
