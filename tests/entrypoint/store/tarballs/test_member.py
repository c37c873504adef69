"""Which members may be unpacked. test_unpack.py shows the same with complete tarballs."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from entrypoint.errors import RefusedArtifact
from entrypoint.store.tarballs.member import MemberKind, check_member

ARCHIVE = Path("/mnt/models/falcon.tar")
MADE: dict[tuple[str, ...], MemberKind] = {
    ("folder",): "folder",
    ("file",): "file",
    ("link",): "link",
}
BLOB = "1" * 64


def check(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    check_member(ARCHIVE, tuple(name.split("/")) if name else (), member, MADE)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("folder/a", tarfile.REGTYPE, ""),
        ("new/a", tarfile.REGTYPE, ""),
        ("folder", tarfile.DIRTYPE, ""),
        ("", tarfile.DIRTYPE, ""),
        ("s/c/a", tarfile.SYMTYPE, "../../blobs/1"),
        ("s/c/a", tarfile.SYMTYPE, "./b"),
        ("a", tarfile.LNKTYPE, "file"),
        (f"m/blobs/{BLOB}", tarfile.REGTYPE, ""),
        (f"m/blobs/{BLOB}", tarfile.LNKTYPE, "file"),
    ],
)
def test_a_harmless_member_is_accepted(name: str, kind: bytes, target: str) -> None:
    check(name, kind, target)


@pytest.mark.parametrize(
    ("name", "kind", "target", "problem"),
    [
        ("a", tarfile.FIFOTYPE, "", "is not a file, folder or link"),
        ("", tarfile.REGTYPE, "", "has no name"),
        ("link/a", tarfile.REGTYPE, "", "lies under 'link', which is not a folder"),
        ("file/a/b", tarfile.DIRTYPE, "", "lies under 'file', which is not a folder"),
        ("file", tarfile.REGTYPE, "", "occurs twice"),
        ("folder", tarfile.REGTYPE, "", "occurs twice"),
        ("link", tarfile.DIRTYPE, "", "occurs twice"),
        (f"m/blobs/{BLOB}", tarfile.SYMTYPE, "x", "has the name of a blob, but no content"),
        (f"m/blobs/{BLOB}", tarfile.DIRTYPE, "", "has the name of a blob, but no content"),
        ("a", tarfile.SYMTYPE, "/etc/passwd", "links to '/etc/passwd', out of the archive"),
        ("a/b", tarfile.SYMTYPE, "../../x", "out of the archive"),
        ("a", tarfile.SYMTYPE, "b/../c", "out of the archive"),
        ("a", tarfile.SYMTYPE, "", "out of the archive"),
        ("a", tarfile.SYMTYPE, "b\0c", "out of the archive"),
        ("a", tarfile.LNKTYPE, "link", "is a hard link to 'link', which is not a file before it"),
        ("a", tarfile.LNKTYPE, "later", "which is not a file before it"),
    ],
)
def test_a_harmful_member_is_refused(name: str, kind: bytes, target: str, problem: str) -> None:
    with pytest.raises(RefusedArtifact) as caught:
        check(name, kind, target)
    assert problem in caught.value.problem
    assert repr(name) in caught.value.problem
