"""The requested model is unpacked unchanged, and nothing outside the target folder."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from entrypoint.errors import RefusedArtifact
from entrypoint.store.progress import ignore_progress
from entrypoint.store.tarballs import unpack as unpack_module
from entrypoint.store.tarballs.compress import SUFFIX, Compression
from entrypoint.store.tarballs.pack import pack_model
from entrypoint.store.tarballs.source import find_source
from entrypoint.store.tarballs.unpack import unpack
from entrypoint.store.writing import room
from tests.support.models import (
    COMPRESSIONS,
    FALCON,
    compress,
    model_files,
    of_type,
    pack,
    pack_with_gnu_tar,
    tar_of,
    write_files,
    write_snapshot,
)

Tree = dict[str, bytes | str | None]
Member = tuple[str, bytes | Callable[[tarfile.TarInfo], None]]


def tree_of(root: Path) -> Tree:
    """``{name: content of a file, target of a link, None for a folder}``."""

    def value(path: Path) -> bytes | str | None:
        if path.is_symlink():
            return os.readlink(path)
        return None if path.is_dir() else path.read_bytes()

    return {path.relative_to(root).as_posix(): value(path) for path in root.rglob("*")}


def unpack_bytes(content: bytes, folder: Path) -> Path:
    """Unpack the bytes of a tarball into ``folder/into``."""
    (folder / "archive").write_bytes(content)
    (folder / "into").mkdir()
    unpack(folder / "archive", folder / "into", FALCON, ignore_progress)
    return folder / "into"


class TestContent:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @pytest.mark.parametrize("packer", [pack, pack_with_gnu_tar])
    @pytest.mark.parametrize("top", [".", "tiiuae--falcon-7b-instruct"])
    def test_an_unpacked_cache_equals_the_original(
        self, tmp_path: Path, compression: str, packer: Callable[..., Path], top: str
    ) -> None:
        write_snapshot(tmp_path / "cache" / top, files=model_files(shards=2, size=3_000_000))
        (tmp_path / "cache" / top / "version.txt").write_text("1")
        archive = packer(tmp_path / "cache", tmp_path / "a", compression)
        into = tmp_path / "into"
        into.mkdir()
        unpack(archive, into, FALCON, ignore_progress)
        assert tree_of(into) == tree_of(tmp_path / "cache")

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_an_unpacked_plain_model_equals_the_original(
        self, tmp_path: Path, compression: str
    ) -> None:
        write_files(tmp_path / "model", model_files() | {"original/params.json": b"{}"})
        archive = pack(tmp_path / "model", tmp_path / "a", compression)
        (tmp_path / "into").mkdir()
        unpack(archive, tmp_path / "into", FALCON, ignore_progress)
        assert tree_of(tmp_path / "into") == tree_of(tmp_path / "model")

    def test_other_models_are_skipped(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache")
        expected = tree_of(tmp_path / "cache")
        write_snapshot(tmp_path / "cache", "a/b")
        content = pack(tmp_path / "cache", tmp_path / "a.tar").read_bytes()
        assert tree_of(unpack_bytes(content, tmp_path)) == expected

    def test_hard_links_are_kept(self, tmp_path: Path) -> None:
        tar = tar_of(("a", b"x"), ("d/b", of_type(tarfile.LNKTYPE, "./a")))
        into = unpack_bytes(tar, tmp_path)
        assert (into / "d" / "b").samefile(into / "a")

    def test_an_unpacked_sparse_file_equals_the_original(self, tmp_path: Path) -> None:
        (tmp_path / "source").mkdir()
        with (tmp_path / "source" / "a.bin").open("wb") as file:
            file.write(b"begin")
            file.seek(1_000_000)
            file.write(b"end")
        command = ["tar", "-S", "-cf", "a.tar", "-C", "source", "a.bin"]
        subprocess.run(command, cwd=tmp_path, check=True)
        into = unpack_bytes((tmp_path / "a.tar").read_bytes(), tmp_path)
        assert tree_of(into) == tree_of(tmp_path / "source")

    def test_owner_and_mode_are_this_process_s(self, tmp_path: Path) -> None:
        def hostile(kind: bytes) -> Callable[[tarfile.TarInfo], None]:
            def change(member: tarfile.TarInfo) -> None:
                member.type, member.mode, member.uid = kind, 0o6000, 12345

            return change

        tar = tar_of(("d", hostile(tarfile.DIRTYPE)), ("d/a", hostile(tarfile.REGTYPE)))
        into = unpack_bytes(tar, tmp_path)
        for path in (into / "d", into / "d" / "a"):
            assert path.stat().st_uid == os.geteuid()
            assert path.stat().st_mode & 0o6000 == 0
            assert path.stat().st_mode & 0o600 == 0o600


REPOSITORY = "models--tiiuae--falcon-7b-instruct"


def packed(tmp_path: Path, compression: Compression) -> bytes:
    """A tarball as ``pack`` makes it, of a model of two shards."""
    write_snapshot(tmp_path / "hub", files=model_files(shards=2, size=5000))
    source = find_source(FALCON, (tmp_path / "hub",))
    target = tmp_path / f"packed{SUFFIX[compression]}"
    pack_model(source, target, compression=compression, threads=2)
    return target.read_bytes()


class TestHashes:
    def test_a_blob_that_does_not_match_its_name_is_refused(self, tmp_path: Path) -> None:
        name = f"{REPOSITORY}/blobs/{hashlib.sha256(b'right').hexdigest()}"
        with pytest.raises(RefusedArtifact, match=f"the content of '{name}' does not match"):
            unpack_bytes(tar_of((name, b"wrong")), tmp_path)

    def test_a_blob_named_by_git_is_compared_too(self, tmp_path: Path) -> None:
        blob = hashlib.sha1(b"blob 5\0right").hexdigest()
        into = unpack_bytes(tar_of((f"{REPOSITORY}/blobs/{blob}", b"right")), tmp_path)
        assert (into / REPOSITORY / "blobs" / blob).read_bytes() == b"right"
        (tmp_path / "2").mkdir()
        with pytest.raises(RefusedArtifact, match=blob):
            unpack_bytes(tar_of((f"{REPOSITORY}/blobs/{blob}", b"wrong")), tmp_path / "2")


class TestManifest:
    @pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
    def test_a_packed_model_is_unpacked(self, tmp_path: Path, compression: Compression) -> None:
        into = unpack_bytes(packed(tmp_path, compression), tmp_path)
        there = tree_of(into)
        assert there.pop(f"{REPOSITORY}/manifest.json")
        assert there.pop("version.txt") == b"1"
        assert there == tree_of(tmp_path / "hub")

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (lambda m: m["files"][0].update(size=1), "does not match its manifest"),
            (lambda m: m["files"][0].update(sha256="1" * 64), "does not match its manifest"),
            (lambda m: m["files"][0].update(name="../../x"), "is in its manifest, but missing"),
            (lambda m: m["files"][0].update(name="a\0b"), "is in its manifest, but missing"),
            (lambda m: m.update(format=2), "a manifest of format 2"),
            (lambda m: m["files"][0].update(size=1 << 60), "bytes are needed"),
        ],
    )
    def test_a_manifest_that_does_not_match_is_refused(
        self, tmp_path: Path, change: Callable[[dict[str, Any]], None], problem: str
    ) -> None:
        def changed(tar: bytes) -> bytes:
            with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                members = [(m, (archive.extractfile(m) or io.BytesIO()).read()) for m in archive]
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as archive:
                for member, content in members:
                    if member.name.endswith("manifest.json"):
                        manifest = json.loads(content)
                        change(manifest)
                        content = json.dumps(manifest).encode()
                        member.size = len(content)
                    archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
            return compress(buffer.getvalue(), "zstd")

        with pytest.raises((RefusedArtifact, OSError), match=re.escape(problem)):
            unpack_bytes(changed(packed(tmp_path, "none")), tmp_path)


class TestBombs:
    """Archives that are small and hold more than the disk."""

    def gigabytes(self, size: int) -> bytes:
        member = tarfile.TarInfo("model.safetensors")
        member.size = size
        header = member.tobuf(tarfile.GNU_FORMAT)
        return compress(header + b"\0" * 3_000_000, "gzip")

    def test_an_impossible_ratio_is_refused_before_writing(self, tmp_path: Path) -> None:
        with pytest.raises(RefusedArtifact, match="more than 100 times its own size"):
            unpack_bytes(self.gigabytes(100 << 30), tmp_path)
        assert not list((tmp_path / "into").iterdir())

    def test_many_members_with_an_impossible_ratio_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(unpack_module, "HARMLESS", 1_000_000)
        tar = tar_of(*((f"{number}", bytes(300_000)) for number in range(5)))
        with pytest.raises(RefusedArtifact, match="up to its member '3' it holds 1,200,000 bytes"):
            unpack_bytes(compress(tar, "zstd"), tmp_path)
        assert [path.name for path in sorted((tmp_path / "into").iterdir())] == ["0", "1", "2"]

    def test_a_file_of_only_holes_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "model.bin").touch()
        os.truncate(tmp_path / "model.bin", 100 << 30)
        command = ["tar", "-S", "-cf", "a.tar", "model.bin"]
        subprocess.run(command, cwd=tmp_path, check=True)
        with pytest.raises(RefusedArtifact, match="more than 100 times its own size"):
            unpack_bytes((tmp_path / "a.tar").read_bytes(), tmp_path)

    @pytest.mark.parametrize("compression", ["gzip", "zstd"])
    def test_too_little_room_is_reported_before_a_member_is_written(
        self, tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "free_bytes", lambda folder: 999)
        # a frame of the zstd command states its size before any member is read
        with pytest.raises(OSError, match=r"[\d,]+ bytes are needed and only 999 are free"):
            unpack_bytes(compress(tar_of(("a", b"x"), ("b", b"x" * 1000)), compression), tmp_path)
        assert not (tmp_path / "into" / "b").exists()


def test_two_names_that_the_file_system_treats_as_one_are_refused(tmp_path: Path) -> None:
    """Some ignore upper and lower case. Here, an existing file stands for the other name."""
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "config.json").write_text("first")
    (tmp_path / "a.tar").write_bytes(tar_of(("config.json", b"second")))
    with pytest.raises(RefusedArtifact, match=r"'config\.json' has the name of another"):
        unpack(tmp_path / "a.tar", tmp_path / "into", FALCON, ignore_progress)
    assert (tmp_path / "into" / "config.json").read_text() == "first"


LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
ATTACKS: dict[str, tuple[list[Member], str]] = {
    "absolute name": ([("/tmp/x", b"x")], "leads out of the archive"),
    "name with ..": ([("a/../../x", b"x")], "leads out of the archive"),
    "link to an absolute path": ([("a", of_type(LINK, "/etc/passwd"))], "'/etc/passwd', out of"),
    "link out": ([("d/a", of_type(LINK, "../../x"))], "'../../x', out of"),
    "link to the folder above": ([("a", of_type(LINK, ".."))], "'..', out of"),
    "link out through a link": (
        [("p/q/up", of_type(LINK, "../..")), ("a", of_type(LINK, "p/q/up/../x"))],
        "out of the archive",
    ),
    "hard link to an absolute path": ([("a", of_type(HARD, "/etc/passwd"))], "leads out"),
    "hard link out": ([("a", of_type(HARD, "../x"))], "leads out"),
    "hard link to a missing file": ([("a", of_type(HARD, "b"))], "not a file before it"),
    "hard link to a link": (
        [("a", of_type(LINK, "b")), ("c", of_type(HARD, "a"))],
        "not a file before it",
    ),
    "file through a link": (
        [("d", of_type(tarfile.DIRTYPE)), ("a", of_type(LINK, "d")), ("a/x", b"x")],
        "lies under 'a'",
    ),
    "file under a file": ([("a", b"x"), ("a/x", b"x")], "lies under 'a'"),
    "file over a link": ([("a", of_type(LINK, "b")), ("a", b"x")], "occurs twice"),
    "file over a file": ([("a", b"x"), ("./a", b"y")], "occurs twice"),
    "link over a folder": ([("a/x", b"x"), ("a", of_type(LINK, "b"))], "occurs twice"),
    "folder over a link": (
        [("a", of_type(LINK, "b")), ("a", of_type(tarfile.DIRTYPE))],
        "occurs twice",
    ),
    "character device": ([("a", of_type(tarfile.CHRTYPE))], "not a file, folder or link"),
    "block device": ([("a", of_type(tarfile.BLKTYPE))], "not a file, folder or link"),
    "fifo": ([("a", of_type(tarfile.FIFOTYPE))], "not a file, folder or link"),
    "file without a name": ([(".", b"x")], "has no name"),
}


class TestAttacks:
    @pytest.mark.parametrize("attack", ATTACKS)
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_an_attack_is_refused_with_the_name_of_the_member(
        self, tmp_path: Path, attack: str, compression: str
    ) -> None:
        members, problem = ATTACKS[attack]
        with pytest.raises(RefusedArtifact, match="was refused") as caught:
            unpack_bytes(compress(tar_of(*members), compression), tmp_path)
        assert problem in caught.value.problem
        assert repr(members[-1][0]) in caught.value.problem or "/" in caught.value.problem

    def test_a_link_inside_the_archive_is_unpacked(self, tmp_path: Path) -> None:
        members: list[Member] = [
            ("s/c/config.json", of_type(LINK, "../../blobs/1")),
            ("blobs/1", b"{}"),
            ("s/c/same", of_type(LINK, "./config.json")),
        ]
        into = unpack_bytes(tar_of(*members), tmp_path)
        assert (into / "s" / "c" / "same").read_bytes() == b"{}"


PARTS = st.sampled_from(["a", "b", "c", ".", "..", "", "models--x--y"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.DIRTYPE, LINK, LINK, HARD, tarfile.FIFOTYPE])
MEMBERS: st.SearchStrategy[list[Member]] = st.lists(
    st.tuples(PATHS, st.one_of(st.just(b"planted"), st.builds(of_type, KINDS, PATHS))), max_size=6
)


@settings(max_examples=200, deadline=None)
@given(MEMBERS)
@example([("a/b/c", of_type(LINK, "../..")), ("b", of_type(LINK, "a/b/c/../x")), ("b/y", b"x")])
@pytest.mark.slow
def test_whatever_the_members_nothing_is_made_outside_and_no_link_leads_there(
    members: list[Member],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try:
            into = unpack_bytes(tar_of(*members), folder)
        except RefusedArtifact:
            into = folder / "into"
        assert {path.name for path in folder.iterdir()} == {"archive", "into"}
        for path in into.rglob("*"):
            try:
                resolved = path.resolve(strict=True)
            except (OSError, RuntimeError):
                continue  # dangling or a circle, which leads nowhere
            assert resolved.is_relative_to(into)


@functools.cache
def a_tarball(compression: str) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        write_snapshot(Path(name, "cache"), files={"config.json": b"{}", "a.bin": b"x" * 600})
        return pack(Path(name, "cache"), Path(name, "a"), compression).read_bytes()


@functools.cache
def places(compression: str) -> list[int]:
    """The bytes that a checksum covers: all if compressed, else those of headers."""
    content = a_tarball(compression)
    if compression != "plain":
        return list(range(len(content)))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        ends = [member.offset_data for member in tar]
    return [place for end in ends for place in range(end - tarfile.BLOCKSIZE, end)]


@functools.cache
def its_tree() -> Tree:
    with tempfile.TemporaryDirectory() as name:
        return tree_of(unpack_bytes(a_tarball("plain"), Path(name)))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_damaged_byte_is_refused_or_changes_nothing(
    compression: str, data: st.DataObject
) -> None:
    content = bytearray(a_tarball(compression))
    place = data.draw(st.sampled_from(places(compression)))
    content[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as name:
        try:
            into = unpack_bytes(bytes(content), Path(name))
        except RefusedArtifact:
            return
        assert tree_of(into) == its_tree()
