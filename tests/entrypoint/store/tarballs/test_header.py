"""Headers that tarfile would accept or skip are refused if they are damaged or too long."""

from __future__ import annotations

import tarfile

import pytest

from entrypoint.store.tarballs import header
from entrypoint.store.tarballs.header import MAX_METADATA, HeaderReader, StrictHeader
from entrypoint.store.tarballs.streams import DecompressedStream

END = b"\0" * 1024


def first_member(content: bytes) -> tarfile.TarInfo | None:
    reader = HeaderReader(DecompressedStream(iter([content])))
    archive = tarfile.TarFile(fileobj=reader, tarinfo=StrictHeader, encoding="utf-8")  # type: ignore[arg-type]
    return archive.next()


def extended(records: bytes) -> bytes:
    """A member ``a`` with an extended header before its own."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    own = tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT)
    return info.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0") + own + END


def test_an_extended_header_gives_a_member_its_name() -> None:
    member = first_member(extended(b"10 path=b\n"))
    assert member is not None
    assert member.name == "b"


@pytest.mark.parametrize(
    "records",
    [
        b"no record",
        b"99 path=b\n",
        b"8 path=b\n",
        b"10 path=b.",
        b"10 size=x\n",
        b"10 path=b\nmore",
        b"7 path=\n",
    ],
)
def test_a_damaged_extended_header_is_refused(records: bytes) -> None:
    with pytest.raises(tarfile.ReadError, match="a damaged extended header"):
        first_member(extended(records))


def test_an_extended_header_that_is_cut_short_is_refused() -> None:
    with pytest.raises(tarfile.ReadError, match="a damaged extended header"):
        first_member(extended(b"10 path=b\n")[:600])


def test_a_header_that_is_cut_short_is_refused() -> None:
    with pytest.raises(tarfile.ReadError, match="truncated"):
        first_member(tarfile.TarInfo("a").tobuf()[:300])


def test_a_header_with_a_wrong_checksum_is_refused() -> None:
    damaged = bytearray(tarfile.TarInfo("a").tobuf())
    damaged[0] ^= 1
    with pytest.raises(tarfile.ReadError, match="damaged or not a tar archive"):
        first_member(bytes(damaged) + END)


def test_a_long_name_that_would_fill_the_memory_is_refused() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, MAX_METADATA + 1
    with pytest.raises(tarfile.ReadError, match=f"a header of {info.size} bytes"):
        first_member(info.tobuf(tarfile.GNU_FORMAT))


def test_a_gnu_header_with_times_keeps_its_name() -> None:
    """GNU tar may write times where other programs write the first part of a long name."""
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    block[345:357] = b"14371563472\0"
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]  # type: ignore[attr-defined]
    member = first_member(bytes(block) + END)
    assert member is not None
    assert member.name == "a"


def test_all_headers_of_a_member_have_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "MAX_HEADERS", 1000)
    reader = HeaderReader(DecompressedStream(iter([b"x" * 5000])))
    assert reader.read(600) == b"x" * 600
    with pytest.raises(tarfile.ReadError, match="headers have more than 1000 bytes"):
        reader.read(600)


def test_bytes_that_were_looked_at_ahead_are_read_once() -> None:
    reader = HeaderReader(DecompressedStream(iter([b"abcdef"])))
    assert reader.look_ahead(3) == b"abc"
    assert reader.read(3) == b"abc"
    assert reader.read(3) == b"def"
