"""The model in a tarball, and the parts of its key."""

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
def test_a_packed_model_is_described_by_its_tarball(
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


def test_the_family_is_read_from_a_config_that_is_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "source" / "models--a--b" / "snapshots" / COMMIT
    write_files(folder, FILES)
    described = describe(pack(tmp_path / "source", tmp_path / "a.tar"))
    assert (described.repository, described.model_type) == ("a/b", "falcon")


@pytest.mark.parametrize("config", [b"{}", b"[]", b"{", b'{"model_type": 1}'])
def test_a_model_without_a_family_needs_the_option(tmp_path: Path, config: bytes) -> None:
    write_snapshot(tmp_path / "source", files=FILES | {"config.json": config})
    described = describe(pack(tmp_path / "source", tmp_path / "a.tar"))
    assert described.family("falcon") == "falcon"
    with pytest.raises(UsageError, match=FALCON) as caught:
        described.family(None)
    assert "--family" in (caught.value.hint or "")


def test_an_invalid_family_is_refused() -> None:
    with pytest.raises(UsageError, match="--family"):
        Described(FALCON, COMMIT, "falcon", ".tar").family("a/b")
    assert Described(FALCON, COMMIT, "RefinedWeb", ".tar").family(None) == "refinedweb"


class TestRefused:
    def test_a_tarball_of_several_models_has_no_key(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source", files=FILES)
        write_snapshot(tmp_path / "source", "a/b", files=FILES)
        with pytest.raises(UsageError, match=f"holds a/b, {FALCON}"):
            describe(pack(tmp_path / "source", tmp_path / "a.tar"))

    def test_a_tarball_of_several_revisions_has_no_key(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source", files=FILES, ref=None)
        write_snapshot(tmp_path / "source", commit=OTHER_COMMIT, files=FILES, ref=None)
        with pytest.raises(UsageError, match=COMMIT) as caught:
            describe(pack(tmp_path / "source", tmp_path / "a.tar"))
        assert "full key" in (caught.value.hint or "")

    def test_a_plain_models_tarball_has_no_key(self, tmp_path: Path) -> None:
        write_files(tmp_path / "source", FILES)
        with pytest.raises(UsageError, match="holds no models--org--name"):
            describe(pack(tmp_path / "source", tmp_path / "a.tar"))

    def test_a_file_that_is_not_a_tarball_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(b"no tarball" * 100)
        with pytest.raises(RefusedArtifact):
            describe(tmp_path / "a.tar")
