"""Members are read in order, and damage is refused."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from entrypoint.errors import RefusedArtifact
from entrypoint.store.progress import Progress
from entrypoint.store.tarballs import archive as archive_module
from entrypoint.store.tarballs.archive import Parts, open_archive, repository_of
from entrypoint.store.tarballs.header import MAX_METADATA
from tests.support.models import (
    COMPRESSIONS,
    compress,
    of_type,
    tar_of,
)

each_compression = pytest.mark.parametrize("compression", COMPRESSIONS)


def names_in(path: Path) -> list[Parts]:
    with open_archive(path) as archive:
        names = [parts for parts, _ in archive.members()]
        archive.finish()
    return names


def write_tar(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("models--a--b", "refs", "main"), ("models--a--b", ("refs", "main"))),
        (("top", "models--a--b"), ("models--a--b", ())),
        ((".locks", "models--a--b", "x.lock"), None),
        (("one", "two", "models--a--b"), None),
        (("config.json",), None),
    ],
)
def test_a_member_belongs_to_a_repository(parts: Parts, expected: tuple[str, Parts] | None) -> None:
    assert repository_of(parts) == expected


class TestDamage:
    @each_compression
    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
    def test_an_archive_that_is_cut_short_is_refused(
        self, tmp_path: Path, compression: str, kept: float
    ) -> None:
        members = tuple((f"{n}.bin", bytes(range(256)) * 8) for n in range(20))
        tar = tar_of(*members).rstrip(b"\0") + b"\0" * 1024
        whole = compress(tar, compression)
        path = write_tar(tmp_path / "a", whole[: int(len(whole) * kept)])
        with pytest.raises(RefusedArtifact, match=r"/a was refused"):
            names_in(path)

    def test_an_archive_that_is_cut_between_members_is_refused(self, tmp_path: Path) -> None:
        # tarfile treats this as the end of the archive
        tar = tar_of(("a", b"x" * 512), ("b", b"x" * 512))
        with pytest.raises(RefusedArtifact, match="truncated"):
            names_in(write_tar(tmp_path / "a", tar[:1024]))

    def test_a_damaged_header_in_the_middle_is_refused(self, tmp_path: Path) -> None:
        # tarfile treats this as the end of the archive
        tar = bytearray(tar_of(("a", b"x" * 512), ("b", b"x" * 512)))
        tar[1024] ^= 1
        with pytest.raises(RefusedArtifact, match="bad checksum"):
            names_in(write_tar(tmp_path / "a", bytes(tar)))

    def test_a_header_overwritten_with_zeros_is_refused(self, tmp_path: Path) -> None:
        tar = tar_of(("a", b"x" * 512), ("b", b"x" * 512))
        holed = tar[:1024] + b"\0" * 512 + tar[1536:]
        with pytest.raises(RefusedArtifact, match="data follows its end mark"):
            names_in(write_tar(tmp_path / "a", holed))

    @pytest.mark.parametrize(("compression", "place"), [("gzip", -8), ("zstd", -1)])
    def test_a_wrong_checksum_is_refused(
        self, tmp_path: Path, compression: str, place: int
    ) -> None:
        whole = bytearray(compress(tar_of(("a", b"x" * 512)), compression))
        whole[place] ^= 1
        with pytest.raises(RefusedArtifact):
            names_in(write_tar(tmp_path / "a", bytes(whole)))

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + b"x" * 600, b"\x1f\x8bnothing"])
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(RefusedArtifact):
            names_in(write_tar(tmp_path / "a.tar", content))

    def test_a_header_that_would_fill_the_memory_is_refused(self, tmp_path: Path) -> None:
        member = tarfile.TarInfo("././@LongLink")
        member.type = tarfile.GNUTYPE_LONGNAME
        member.size = MAX_METADATA + 1
        header = member.tobuf(tarfile.GNU_FORMAT)
        with pytest.raises(RefusedArtifact, match=f"a header of {member.size} bytes"):
            names_in(write_tar(tmp_path / "a", header))

    def test_headers_that_announce_headers_without_end_are_refused(self, tmp_path: Path) -> None:
        member = tarfile.TarInfo("././@LongLink")
        member.type = tarfile.GNUTYPE_LONGNAME
        member.size = 1
        block = member.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
        with pytest.raises(RefusedArtifact):
            names_in(write_tar(tmp_path / "a", block * 2000))

    @pytest.mark.parametrize("size", ["-1024", "-1", "9" * 30])
    def test_an_absurd_size_is_refused(self, tmp_path: Path, size: str) -> None:
        member = tarfile.TarInfo("a")
        member.pax_headers = {"size": size}
        tar = member.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024
        with pytest.raises(RefusedArtifact):
            names_in(write_tar(tmp_path / "a", tar))

    def test_more_members_than_a_model_has_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archive_module, "MAX_MEMBERS", 3)
        tar = tar_of(*((str(n), of_type(tarfile.DIRTYPE)) for n in range(4)))
        with pytest.raises(RefusedArtifact, match="more than 3 members"):
            names_in(write_tar(tmp_path / "a", tar))


class TestReading:
    @each_compression
    def test_the_content_shows_the_compression_not_the_name(
        self, tmp_path: Path, compression: str
    ) -> None:
        tar = compress(tar_of(("./a/", of_type(tarfile.DIRTYPE)), ("./a//b", b"")), compression)
        assert names_in(write_tar(tmp_path / "a.tar.bz2", tar)) == [("a",), ("a", "b")]

    def test_a_parallel_zstd_archive_is_read(self, tmp_path: Path) -> None:
        skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"\0" * 4
        tar = tar_of(("a", b"x" * 2000))
        frames = compress(tar[:1000], "zstd") + compress(tar[1000:], "zstd")
        assert names_in(write_tar(tmp_path / "a", skippable + frames)) == [("a",)]

    @each_compression
    def test_progress_is_in_bytes_of_the_archive(self, tmp_path: Path, compression: str) -> None:
        import random

        noise = random.Random(1).randbytes(3_000_000)
        tar = tar_of(("a.bin", noise))
        parts = [tar[place : place + 500_000] for place in range(0, len(tar), 500_000)]
        content = b"".join(compress(part, compression) for part in parts)
        path = write_tar(tmp_path / "a", content)
        reports: list[Progress] = []
        with open_archive(path, reports.append) as archive:
            for _, member in archive.members():
                assert archive.content(member).read() == noise
            archive.finish()
        total = path.stat().st_size
        assert reports[-1] == Progress(total, total)
        assert reports == sorted(reports, key=lambda report: report.done)
        assert len(reports) > 3

    @pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "a/.."])
    def test_a_name_that_leads_out_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(RefusedArtifact, match="leads out of the archive"):
            names_in(write_tar(tmp_path / "a", tar_of((name, b"x"))))
