"""The layout of a packed model is known before anything is written."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from entrypoint.store.disk.manifest import Manifest, ManifestFile
from entrypoint.store.tarballs.layout import ALIGNMENT, Member, header_of, lay_out, total_size
from entrypoint.store.tarballs.tree import read_tree

GIB = 1 << 30
SHARDS = tuple(
    ManifestFile(
        f"model-{number}.safetensors", number * GIB + 7, f"{number:064x}", f"{number:064x}"
    )
    for number in (1, 9, 70)
)
SMALL = ManifestFile("config.json", 40, "a" * 64, "b" * 40)
MANIFEST = Manifest("org/" + "n" * 90, "c" * 40, "inference-server 1", (SMALL, *SHARDS))


def infos(members: list[Member]) -> list[tarfile.TarInfo]:
    """What tarfile makes of each member's header."""
    found = []
    for member in members:
        with tarfile.open(fileobj=io.BytesIO(member.header)) as tar:
            info = tar.next()
            assert info is not None
            assert tar.offset == len(member.header) + -(-info.size // 512) * 512
            found.append(info)
    return found


def test_sizes_over_8_gib_are_written_in_full() -> None:
    """A classic header ends at 8 GiB; here a 9 GiB and a 70 GiB shard are laid out."""
    sizes = {info.name.rpartition("/")[2]: info.size for info in infos(lay_out(MANIFEST, ()))}
    assert sizes | {shard.blob: shard.size for shard in SHARDS} == sizes


def test_80_gib_are_read_by_gnu_tar_and_here(tmp_path: Path) -> None:
    """The contents are holes, so that it takes no room and no time."""
    archive = tmp_path / "a.tar"
    members = lay_out(replace(MANIFEST, repository="org/name"), ("main",))
    with archive.open("wb") as file:
        for member in members:
            file.seek(member.offset)
            file.write(member.header + (member.data or b""))
        file.truncate(total_size(members))
    listed = subprocess.run(
        ["tar", "--utc", "-tvf", archive], capture_output=True, text=True, check=True
    ).stdout
    entries = read_tree(archive, "org/name").entries
    for shard in SHARDS:
        assert f" {shard.size} 1980-01-01 " in listed
        entry = entries["models--org--name", "blobs", shard.blob]
        [member] = [member for member in members if member.blob == shard.blob]
        assert (entry.size, entry.offset) == (shard.size, member.content_offset)


def test_weights_start_on_a_page_and_nothing_overlaps() -> None:
    members = lay_out(MANIFEST, ("main",))
    weights = [member for member in members if member.blob in {shard.blob for shard in SHARDS}]
    assert [member.content_offset % ALIGNMENT for member in weights] == [0, 0, 0]
    for member, following in pairwise(members):
        assert following.offset == member.end
        assert member.end >= member.content_offset + member.size
    assert total_size(members) >= members[-1].end + 1024


def test_offsets_do_not_depend_on_hashes() -> None:
    files = tuple(
        replace(file, sha256=f"{number:064x}", blob=f"{number + 50:0{len(file.blob)}x}")
        for number, file in enumerate(MANIFEST.files)
    )
    other = lay_out(replace(MANIFEST, files=files, commit="0" * 40), ("main",))
    offsets = [(member.offset, member.content_offset) for member in lay_out(MANIFEST, ("main",))]
    assert [(member.offset, member.content_offset) for member in other] == offsets


def test_members_are_in_the_order_in_which_they_are_read() -> None:
    """1. The manifest first. 2. All that is small before the first weight."""
    names = [info.name for info in infos(lay_out(MANIFEST, ("main", "refs/pr/1")))]
    folder = f"models--org--{'n' * 90}"
    assert names[:3] == [folder, f"{folder}/manifest.json", f"{folder}/refs"]
    assert f"{folder}/refs/refs/pr/1" in names
    assert names[-4:-1] == [f"{folder}/blobs/{shard.blob}" for shard in SHARDS]
    assert names[-1] == "version.txt"


def test_two_names_of_one_content_are_one_blob() -> None:
    again = replace(SMALL, name="sub/copy.json")
    members = lay_out(replace(MANIFEST, files=(*MANIFEST.files, again)), ())
    assert [member.blob for member in members].count(SMALL.blob) == 1
    links = {info.name.rpartition("/")[2]: info.linkname for info in infos(members)}
    assert links["copy.json"] == f"../../../blobs/{SMALL.blob}"


def test_headers_contain_nothing_of_the_machine() -> None:
    for info in infos(lay_out(MANIFEST, ("main",))):
        assert (info.uid, info.gid, info.uname, info.gname) == (0, 0, "", "")
        assert info.mtime == 315_532_800
        assert info.mode == {tarfile.DIRTYPE: 0o755, tarfile.SYMTYPE: 0o777}.get(info.type, 0o644)


@pytest.mark.parametrize("name", ["short", "n" * 300, "größe/" * 30 + "ü"])
@pytest.mark.parametrize("offset", range(0, 8192, 512))
def test_any_member_can_be_aligned(name: str, offset: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = 9 * GIB
    header = header_of(info, offset)
    assert (offset + len(header)) % ALIGNMENT == 0
    assert len(header) <= ALIGNMENT + 2048
    [read] = infos([Member(offset, header, 0)])
    assert (read.name, read.size) == (name, 9 * GIB)
