"""What a tarball says of itself, for its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.errors import RefusedArtifact, UsageError
from entrypoint.store.objects.convention import Described, describe
from entrypoint.store.progress import Progress
from tests.support.models import (
    COMMIT,
    COMPRESSIONS,
    FALCON,
    OTHER_COMMIT,
    model_files,
    pack,
    pack_with_gnu_tar,
    write_files,
    write_snapshot,
)

FILES = model_files() | {"config.json": b'{"model_type": "falcon"}'}
OTHER = FILES | {"config.json": b'{"model_type": "other"}'}


@pytest.mark.parametrize("packer", [pack, pack_with_gnu_tar])
@pytest.mark.parametrize(("compression", "suffix"), COMPRESSIONS.items())
@pytest.mark.parametrize("top", [".", "folder"])
def test_describe(
    tmp_path: Path, packer: Callable[..., Path], compression: str, suffix: str, top: str
) -> None:
    write_snapshot(tmp_path / "source" / top, commit=OTHER_COMMIT, files=OTHER, ref="v2")
    write_snapshot(tmp_path / "source" / top, files=FILES)
    archive = packer(tmp_path / "source", tmp_path / "any-name", compression)
    reports: list[Progress] = []
    described = describe(archive, reports.append)
    assert described == Described(FALCON, COMMIT, "falcon", suffix)
    size = archive.stat().st_size
    assert {report.total for report in reports} == {size}
    assert max(report.done for report in reports) == size


def test_a_configuration_that_is_no_link(tmp_path: Path) -> None:
    folder = tmp_path / "source" / "models--a--b" / "snapshots" / COMMIT
    write_files(folder, FILES)
    described = describe(pack(tmp_path / "source", tmp_path / "a.tar"))
    assert (described.repository, described.model_type) == ("a/b", "falcon")


@pytest.mark.parametrize("config", [b"{}", b"[]", b"{", b'{"model_type": 1}'])
def test_no_family(tmp_path: Path, config: bytes) -> None:
    write_snapshot(tmp_path / "source", files=FILES | {"config.json": config})
    described = describe(pack(tmp_path / "source", tmp_path / "a.tar"))
    assert described.family("falcon") == "falcon"
    with pytest.raises(UsageError, match=FALCON) as caught:
        described.family(None)
    assert "--family" in (caught.value.hint or "")


def test_a_family_that_cannot_be_in_a_key() -> None:
    with pytest.raises(UsageError, match="--family"):
        Described(FALCON, COMMIT, "falcon", ".tar").family("a/b")
    assert Described(FALCON, COMMIT, "RefinedWeb", ".tar").family(None) == "refinedweb"


class TestRefused:
    def test_several_models(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source", files=FILES)
        write_snapshot(tmp_path / "source", "a/b", files=FILES)
        with pytest.raises(UsageError, match=f"holds a/b, {FALCON}"):
            describe(pack(tmp_path / "source", tmp_path / "a.tar"))

    def test_several_revisions(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source", files=FILES, ref=None)
        write_snapshot(tmp_path / "source", commit=OTHER_COMMIT, files=FILES, ref=None)
        with pytest.raises(UsageError, match=COMMIT) as caught:
            describe(pack(tmp_path / "source", tmp_path / "a.tar"))
        assert "whole key" in (caught.value.hint or "")

    def test_a_plain_model(self, tmp_path: Path) -> None:
        write_files(tmp_path / "source", FILES)
        with pytest.raises(UsageError, match="does not say what it holds"):
            describe(pack(tmp_path / "source", tmp_path / "a.tar"))

    def test_no_tarball(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(b"no tarball" * 100)
        with pytest.raises(RefusedArtifact):
            describe(tmp_path / "a.tar")
