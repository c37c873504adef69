"""Archives of every writer read the same, and damaged or hostile ones are refused."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.files import directory_files
from entrypoint.store.progress import ignore_progress
from entrypoint.store.tarballs.tree import read_tree
from entrypoint.store.tarballs.unpack import unpack
from tests.support.models import (
    COMPRESSIONS,
    FALCON,
    compress,
    model_files,
    tar_of,
    write_files,
    write_snapshot,
)

GIB = 1 << 30
BLOCK = tarfile.BLOCKSIZE
END = b"\0" * 2 * BLOCK
PYTHON: dict[str, Literal[0, 1, 2]] = {"ustar": 0, "gnu": 1, "pax": 2}
GNU = ("v7", "oldgnu", "gnu", "ustar", "posix")
SPARSE = (
    ("--format=oldgnu",),
    ("--format=gnu",),
    ("--format=posix", "--sparse-version=0.0"),
    ("--format=posix", "--sparse-version=0.1"),
    ("--format=posix", "--sparse-version=1.0"),
)
Tree = dict[str, bytes | str | None]


def tree_of(root: Path) -> Tree:
    """``{name: content of a file, target of a link, None for a folder}``."""

    def value(path: Path) -> bytes | str | None:
        if path.is_symlink():
            return os.readlink(path)
        return None if path.is_dir() else path.read_bytes()

    return {path.relative_to(root).as_posix(): value(path) for path in root.rglob("*")}


def gnu_tar(source: Path, archive: Path, *options: str) -> Path:
    """Pack all that ``source`` holds."""
    names = sorted(path.name for path in source.iterdir())
    command = [
        "tar",
        "-cf",
        str(archive),
        "--no-unquote",
        *options,
        "-C",
        str(source),
        "--",
        *names,
    ]
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(command, env=environ, check=True)
    return archive


def python_tar(source: Path, archive: Path, form: str) -> Path:
    """Pack all that ``source`` holds."""
    with tarfile.open(archive, "w", format=PYTHON[form], encoding="utf-8") as tar:
        for path in sorted(source.iterdir()):
            tar.add(path, path.name)
    return archive


def unpacked(archive: Path, into: Path) -> Path:
    into.mkdir()
    unpack(archive, into, FALCON, ignore_progress)
    return into


def unpacked_bytes(content: bytes, folder: Path) -> Path:
    (folder / "a").write_bytes(content)
    return unpacked(folder / "a", folder / "into")


def extended(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header with these records."""
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = kind, len(records)
    return member.tobuf(tarfile.USTAR_FORMAT) + records + b"\0" * (-len(records) % BLOCK)


def header(name: str = "a", size: int = 0, **changes: bytes | str) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    for field, value in changes.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.GNU_FORMAT)


class TestLarge:
    """Headers of files that are too large to write here; the tarballs themselves have holes."""

    @pytest.mark.parametrize("form", ["gnu", "pax"])
    @pytest.mark.parametrize("size", [8 * GIB - 1, 8 * GIB, 100 * GIB + 1])
    def test_a_file_over_8_gb_keeps_its_size(self, tmp_path: Path, form: str, size: int) -> None:
        member = tarfile.TarInfo("model.safetensors")
        member.size = size
        start = member.tobuf(PYTHON[form])
        with (tmp_path / "a.tar").open("wb") as file:
            file.write(start)
            file.seek(-(-size // BLOCK) * BLOCK, os.SEEK_CUR)
            file.write(tar_of(("config.json", b"{}")))
        entries = read_tree(tmp_path / "a.tar", FALCON).entries
        weights = entries[("model.safetensors",)]
        assert (weights.offset, weights.size) == (len(start), size)
        assert read_tree(tmp_path / "a.tar", FALCON).files(()).read("config.json") == b"{}"

    @pytest.mark.parametrize("form", ["0.0", "0.1", "1.0"])
    def test_a_sparse_file_with_over_8_gb_of_data_keeps_its_size(
        self, tmp_path: Path, form: str
    ) -> None:
        """As GNU tar reads it too; tarfile alone would not find the member that follows."""
        stored, size = 9 * GIB, 30 * GIB
        table = f"1\n{GIB}\n{stored}\n".encode().ljust(BLOCK, b"\0") if form == "1.0" else b""
        records: dict[str, dict[str, object]] = {
            "0.0": {
                "GNU.sparse.size": size,
                "GNU.sparse.numblocks": 1,
                "GNU.sparse.offset": GIB,
                "GNU.sparse.numbytes": stored,
            },
            "0.1": {
                "GNU.sparse.size": size,
                "GNU.sparse.numblocks": 1,
                "GNU.sparse.name": "model.bin",
                "GNU.sparse.map": f"{GIB},{stored}",
            },
            "1.0": {
                "GNU.sparse.major": 1,
                "GNU.sparse.minor": 0,
                "GNU.sparse.name": "model.bin",
                "GNU.sparse.realsize": size,
            },
        }
        member = tarfile.TarInfo("model.bin")
        member.size = stored + len(table)
        member.pax_headers = {name: str(value) for name, value in records[form].items()}
        with (tmp_path / "a.tar").open("wb") as file:
            file.write(member.tobuf(tarfile.PAX_FORMAT) + table)
            file.seek(stored, os.SEEK_CUR)
            file.write(tar_of(("config.json", b"{}")))
        entries = read_tree(tmp_path / "a.tar", FALCON).entries
        assert (entries[("model.bin",)].size, entries[("model.bin",)].sparse) == (size, True)
        assert read_tree(tmp_path / "a.tar", FALCON).files(()).read("config.json") == b"{}"
        listed = subprocess.run(
            ["tar", "-tvf", tmp_path / "a.tar"], capture_output=True, text=True, check=True
        )
        assert re.search(rf" {size} .* model\.bin\n.* 2 .* config\.json\n", listed.stdout)


@pytest.mark.slow
class TestMany:
    @pytest.mark.parametrize("writer", ["gnu", "python"])
    def test_all_of_2000_files_are_read(self, tmp_path: Path, writer: str) -> None:
        files = {f"part-{n % 50}/{n:05}.json": b"%d" % n for n in range(2000)}
        source = write_files(tmp_path / "source", files)
        archive = tmp_path / "a.tar"
        if writer == "gnu":
            gnu_tar(source, archive)
        else:
            python_tar(source, archive, "pax")
        assert tree_of(unpacked(archive, tmp_path / "into")) == tree_of(source)
        packed = read_tree(archive, FALCON).files(())
        assert packed.sizes == directory_files(source).sizes


class TestHoles:
    @pytest.mark.parametrize("options", SPARSE, ids=" ".join)
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @pytest.mark.parametrize(
        "pieces",
        [
            pytest.param([], id="only holes"),
            pytest.param([0], id="a hole at the end"),
            pytest.param([50], id="a hole before and after"),
            pytest.param(list(range(0, 300, 3)), id="a hundred holes"),
            pytest.param([1, 3, 299], id="none at the end"),
        ],
    )
    def test_a_file_comes_out_as_it_went_in_with_its_holes(
        self, tmp_path: Path, options: tuple[str, ...], compression: str, pieces: list[int]
    ) -> None:
        source = tmp_path / "source"
        source.mkdir()
        with (source / "model.bin").open("wb") as file:
            file.truncate(300 * 64_000)
            for piece in pieces:
                file.seek(piece * 64_000)
                file.write(random.Random(piece).randbytes(64_000))
        (source / "z.json").write_text("{}")
        tar = gnu_tar(source, tmp_path / "a.tar", "-S", *options)
        into = unpacked_bytes(compress(tar.read_bytes(), compression), tmp_path)
        assert tree_of(into) == tree_of(source)
        written = (into / "model.bin").stat().st_blocks * 512
        assert written <= (source / "model.bin").stat().st_blocks * 512 + 64_000

    @pytest.mark.parametrize(
        "table",
        [
            pytest.param("5,1,3,1", id="backwards"),
            pytest.param("0,2,1,2", id="over each other"),
            pytest.param("0,100", id="beyond the file"),
            pytest.param("0,1", id="less than is stored"),
            pytest.param("0,-4", id="negative"),
            pytest.param("0,x", id="no number"),
        ],
    )
    def test_an_invalid_map_of_holes_is_refused(self, tmp_path: Path, table: str) -> None:
        member = tarfile.TarInfo("a")
        member.size = 600
        member.pax_headers = {"GNU.sparse.size": "9", "GNU.sparse.map": table}
        content = member.tobuf(tarfile.PAX_FORMAT) + b"x" * 1024 + END
        with pytest.raises(RefusedArtifact):
            unpacked_bytes(content, tmp_path)

    def test_an_endless_map_of_holes_is_refused(self, tmp_path: Path) -> None:
        """A few kilobytes, of which each reader that believes them makes gigabytes."""
        member = tarfile.TarInfo("a")
        member.size = 8 * GIB - 1
        member.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": "9",
        }
        numbers = f"{10**9}\n".encode() + b"0\n" * 3_000_000
        content = compress(member.tobuf(tarfile.PAX_FORMAT) + numbers, "gzip")
        with pytest.raises(RefusedArtifact, match="headers have more than"):
            unpacked_bytes(content, tmp_path)


REFUSED: dict[str, tuple[bytes, str]] = {
    "a size beyond the archive": (header(size=5000) + b"x" * 1000, "end|cut"),
    "a negative size": (
        extended(b"11 size=-1\n") + header(),
        "damaged extended header",
    ),
    "a size that is no number": (extended(b"11 size=1x\n") + header(), "damaged extended header"),
    "a record that is longer than the header": (
        extended(b"99 path=a\n") + header(),
        "damaged extended header",
    ),
    "a record without an end": (extended(b"9 path=ab\n") + header(), "damaged extended header"),
    "a record of no length": (extended(b"0 path=a\n") + header(), "damaged extended header"),
    "something that is no record": (extended(b"nonsense\n") + header(), "damaged extended header"),
    "an extended header at the end": (extended(b"9 path=a\n") + END, "end of file header"),
    "one name for all": (
        extended(b"9 path=a\n", tarfile.XGLTYPE) + header(),
        "gives all members one name or size",
    ),
    "one size for all": (
        extended(b"9 size=0\n", tarfile.XGLTYPE) + header(),
        "gives all members one name or size",
    ),
    "a folder with content": (header(size=512, type=tarfile.DIRTYPE) + b"x" * 512, "512 bytes"),
    "a link with content": (
        header(size=512, type=tarfile.SYMTYPE) + b"x" * 512,
        "512 bytes",
    ),
    "a file with a folder's name": (header("a/"), "is a file with the name of a folder"),
    "a name with a zero in it": (extended(b"13 path=a\0bc\n") + header(), "leads out"),
    "a link in place of a blob": (
        header(f"m/blobs/{'1' * 64}", type=tarfile.SYMTYPE, linkname="x"),
        "has the name of a blob",
    ),
    "a folder in place of a blob": (
        header(f"m/blobs/{'1' * 40}", type=tarfile.DIRTYPE),
        "has the name of a blob",
    ),
    "another file in place of a blob": (
        header("x") + header(f"m/blobs/{'1' * 64}", type=tarfile.LNKTYPE, linkname="x"),
        "does not match its name",
    ),
    "a name that no file system has": (header("n" * 300), "too long"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_inconsistent_archive_is_refused(tmp_path: Path, what: str) -> None:
    content, problem = REFUSED[what]
    with pytest.raises(RefusedArtifact, match=problem):
        unpacked_bytes(content + END, tmp_path)


class TestReadThough:
    def test_a_volume_label_is_skipped(self, tmp_path: Path) -> None:
        source = write_files(tmp_path / "source", model_files())
        archive = gnu_tar(source, tmp_path / "a.tar", "--label=falcon")
        assert tree_of(unpacked(archive, tmp_path / "into")) == tree_of(source)

    def test_a_comment_of_git_archive_is_skipped(self, tmp_path: Path) -> None:
        comment = extended(b"52 comment=" + b"1" * 40 + b"\n", tarfile.XGLTYPE)
        into = unpacked_bytes(comment + tar_of(("a", b"x")), tmp_path)
        assert tree_of(into) == {"a": b"x"}

    def test_times_of_gnu_tar_are_not_part_of_a_name(self, tmp_path: Path) -> None:
        """As GNU tar makes them for incremental backups."""
        member = bytearray(header("a", 1))
        member[345:357] = b"14000000000\0"
        member[148:156] = b" " * 8
        member[148:156] = b"%06o\0 " % sum(member)
        into = unpacked_bytes(bytes(member) + b"x".ljust(BLOCK, b"\0") + END, tmp_path)
        assert tree_of(into) == {"a": b"x"}

    def test_attributes_may_contain_zeros(self, tmp_path: Path) -> None:
        attribute = extended(b"28 SCHILY.xattr.user.a=b\0c\0\n")
        into = unpacked_bytes(attribute + tar_of(("a", b"x")), tmp_path)
        assert tree_of(into) == {"a": b"x"}


NAMES = st.one_of(
    st.sampled_from(["config.json", "a", "A", "model", "Modèle", "模型.safetensors", "x" * 99]),
    st.text("aé模 -'=%\\", min_size=1, max_size=20),
    st.sampled_from(["é" * 60, "n" * 101, "模" * 80, "long-" * 30]),
)
PATHS = st.lists(NAMES, min_size=1, max_size=4)
CONTENTS = st.one_of(st.binary(max_size=1200), st.sampled_from([b"", b"x" * 512, b"y" * 70_000]))
# (where a piece is written in a file with holes)
HOLES = st.lists(st.integers(0, 30), max_size=6)
ENTRIES = st.lists(
    st.tuples(
        PATHS,
        st.one_of(
            st.tuples(st.just("file"), CONTENTS),
            st.tuples(st.just("holes"), HOLES),
            st.tuples(st.just("link"), PATHS),
            st.tuples(st.just("hard link"), st.none()),
            st.tuples(st.just("folder"), st.none()),
        ),
    ),
    min_size=1,
    max_size=8,
)
Kind = Literal["file", "holes", "link", "hard link", "folder"]
Value = bytes | list[int] | list[str] | None
Entry = tuple[list[str], tuple[Kind, Value]]
WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    **{f"python {form}": functools.partial(python_tar, form=form) for form in PYTHON},
    **{
        f"gnu {form}": lambda source, archive, form=form: gnu_tar(  # type: ignore[misc]
            source, archive, f"--format={form}"
        )
        for form in GNU
    },
    **{
        " ".join(("gnu -S", *options)): lambda source, archive, options=options: gnu_tar(  # type: ignore[misc]
            source, archive, "-S", *options
        )
        for options in SPARSE
    },
}


def make(root: Path, entries: list[Entry]) -> Path:
    """Make files, links and folders; what another stands in the way of is left out."""
    root.mkdir()
    files: list[Path] = []
    for names, (kind, value) in entries:
        path = root.joinpath(*names)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.parent.resolve() != path.parent or os.path.lexists(path):
                continue
            if kind == "file" and isinstance(value, bytes):
                path.write_bytes(value)
            elif kind == "holes" and isinstance(value, list):
                with path.open("xb") as file:
                    file.truncate(32 * 8192)
                    for piece in value:
                        file.seek(int(piece) * 8192)
                        file.write(bytes([int(piece) + 1]) * 8192)
            elif kind == "link" and isinstance(value, list):
                up = "../" * (len(names) - 1)
                path.symlink_to(up + "/".join(str(part) for part in value))
            elif kind == "hard link" and files:
                os.link(files[-1], path)
            elif kind == "folder":
                path.mkdir()
        except OSError:  # under a file, or under a link that leads to itself
            continue
        if kind in ("file", "holes"):
            files.append(path)
    return root


def shortened(names: list[str], what: tuple[Kind, Value]) -> Entry:
    """The same entry for the older formats, which have no long names."""
    kind, value = what
    if kind == "link" and isinstance(value, list):
        value = [str(value[0])[:5]]
    return [name[:5] for name in names[:2]], (kind, value)


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=25, deadline=None)
@given(entries=ENTRIES)
@example(entries=[(["d" * 90, "e" * 90, "f" * 90], ("file", b"x"))])
@example(entries=[(["d" * 200, "e" * 200], ("file", b"x")), (["h"], ("hard link", None))])
@example(entries=[(["l"], ("link", ["l"])), (["l", "x"], ("file", b"x"))])
@example(entries=[(["l"], ("link", ["模" * 80, "n" * 101])), (["é"], ("holes", [1, 5]))])
def test_whatever_a_writer_makes_reads_the_same(writer: str, entries: list[Entry]) -> None:
    if writer.endswith(("v7", "ustar")):
        entries = [shortened(*entry) for entry in entries]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        source = make(folder / "source", entries)
        assume(any(source.iterdir()))
        archive = WRITERS[writer](source, folder / "a.tar")
        assert tree_of(unpacked(archive, folder / "into")) == tree_of(source)
        there, packed = directory_files(source), read_tree(archive, FALCON).files(())
        assert packed.sizes == there.sizes
        assert packed.problems.keys() == there.problems.keys()
        for file, entry in packed.entries.items():
            if not entry.sparse:
                assert packed.read(file) == there.read(file)


@functools.cache
def whole(form: str, compression: str) -> bytes:
    """A tarball of a cache, small enough that most of it is headers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"config.json": b'{"a": 1}', "é" * 60 + ".json": b"{}", "a.bin": b"x" * 1500}
        write_snapshot(folder / "source", files=files)
        tar = WRITERS[form](folder / "source", folder / "a.tar").read_bytes()
        return compress(tar.rstrip(b"\0") + END, compression)


@functools.cache
def blobs(form: str) -> frozenset[str]:
    with tempfile.TemporaryDirectory() as name:
        tree = tree_of(unpacked_bytes(whole(form, "plain"), Path(name)))
        return frozenset(path for path, value in tree.items() if isinstance(value, bytes))


def mutate(content: bytes, data: st.DataObject) -> bytes:
    """Flip bits, cut, take out, repeat or swap pieces."""
    changed = bytearray(content)
    step = data.draw(st.sampled_from([1, BLOCK]))

    def place() -> int:
        return step * data.draw(st.integers(0, max(len(changed) // step - 1, 0)))

    for _ in range(data.draw(st.integers(1, 3))):
        if not changed:
            break
        first, second = sorted((place(), place()))
        length = step * data.draw(st.integers(1, 4))
        match data.draw(st.sampled_from(["flip", "cut", "take out", "repeat", "swap", "digits"])):
            case "flip":
                changed[first] ^= data.draw(st.integers(1, 255))
            case "cut":
                del changed[first:]
            case "take out":
                del changed[first : first + length]
            case "repeat":
                changed[second:second] = changed[first : first + length]
            case "swap":
                one, other = changed[first : first + length], changed[second : second + length]
                changed[first : first + length], changed[second : second + length] = other, one
            case "digits":  # the checksum of a header holds
                changed[first : first + 2] = changed[first : first + 2][::-1]
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", ["python pax", "python gnu", "gnu posix", "gnu gnu"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_is_refused_or_no_blob_is_another(
    form: str, compression: str, data: st.DataObject
) -> None:
    content = mutate(whole(form, compression), data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try:
            tree = tree_of(unpacked_bytes(content, folder))
        except RefusedArtifact:
            tree = {}
        assert {path.name for path in folder.iterdir()} == {"a", "into"}
        if compression != "plain":
            assert {path for path, value in tree.items() if isinstance(value, bytes)} in (
                blobs(form), frozenset(),
            )  # fmt: skip
        for path, value in tree.items():
            blob = path.rpartition("/")[2]
            if "/blobs/" in path and re.fullmatch("[0-9a-f]{64}", blob):
                assert isinstance(value, bytes)
                assert hashlib.sha256(value).hexdigest() == blob
            if isinstance(value, str):
                assert (
                    (folder / "into" / path)
                    .parent.joinpath(value)
                    .resolve()
                    .is_relative_to(folder / "into")
                )


@pytest.mark.slow
@pytest.mark.parametrize("form", ["python pax", "python gnu", "gnu posix", "gnu gnu"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_no_file_lies_outside_the_tarball(
    form: str, data: st.DataObject
) -> None:
    content = mutate(whole(form, "plain"), data)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "a.tar").write_bytes(content)
        try:
            tree = read_tree(Path(name, "a.tar"), FALCON)
        except RefusedArtifact:
            return
        for entry in tree.entries.values():
            assert entry.sparse or 0 <= entry.offset <= entry.offset + entry.size <= len(content)
