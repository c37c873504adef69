"""The inventory: each model that a node holds, and why one cannot be served."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.store.progress import Progress
from entrypoint.store.search.inventory import Item, take_inventory
from entrypoint.store.tarballs.catalogue import Catalogue
from tests.support.models import (
    COMMIT,
    COMPRESSIONS,
    FALCON,
    OTHER_COMMIT,
    model_files,
    pack,
    safetensors,
    write_files,
    write_snapshot,
)

BYTES = sum(map(len, model_files().values()))


def inventory(
    tmp_path: Path, *roots: Path, tarball: Path | None = None, whole: bool = False
) -> list[Item]:
    def check(path: Path, progress: Progress) -> None:
        assert 0 <= progress.done <= progress.total

    return take_inventory(roots, tarball, Catalogue(tmp_path / "none"), whole, check)


def test_a_cache(tmp_path: Path) -> None:
    first = write_snapshot(tmp_path, files=model_files())
    second = write_snapshot(tmp_path, commit=OTHER_COMMIT, ref="refs/pr/1")
    main, other = inventory(tmp_path, tmp_path)
    assert main == Item(FALCON, COMMIT, ("main",), BYTES, ("safetensors",), "cache", first, None)
    assert (other.revision, other.refs, other.path) == (OTHER_COMMIT, ("refs/pr/1",), second)
    assert main.settings() == {"MODEL_ID": FALCON}
    assert other.settings() == {"MODEL_ID": FALCON, "REVISION": OTHER_COMMIT}


def test_a_plain_directory(tmp_path: Path) -> None:
    path = write_files(tmp_path / "falcon", {"config.json": b"{}", "a.bin": b"x", "b.pt": b"x"})
    (item,) = inventory(tmp_path, tmp_path)
    assert item == Item(str(path), None, (), 4, ("bin", "pt"), "directory", path, None)
    assert item.settings() == {"MODEL_ID": str(path)}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_tarballs(tmp_path: Path, compression: str, whole: bool) -> None:
    write_snapshot(tmp_path / "source", "a/b")
    write_snapshot(tmp_path / "source", "c/d")
    archive = pack(tmp_path / "source", tmp_path / f"many{COMPRESSIONS[compression]}", compression)
    for tarball, roots in ((archive, ()), (tmp_path, ()), (None, (tmp_path,))):
        items = [i for i in inventory(tmp_path, *roots, tarball=tarball, whole=whole)
                 if i.source == "tarball"]  # fmt: skip
        assert all(item.path == archive for item in items)
        if compression == "plain":
            assert [(i.model, i.revision, i.refs, i.bytes, i.formats) for i in items] == [
                (name, COMMIT, ("main",), BYTES, ("safetensors",)) for name in ("a/b", "c/d")
            ]
        elif whole:
            assert [(i.model, i.revision, i.formats, i.problem) for i in items] == [
                (name, COMMIT, ("safetensors",), None) for name in ("a/b", "c/d")
            ]
        else:
            assert [(i.model, i.revision, i.bytes) for i in items] == [("a/b", None, None)]
            assert "--full" in (items[0].problem or "")
        assert items[0].settings() == {"MODEL_ID": "a/b", "MODEL_TARBALL": str(archive)}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_plain_model_in_a_tarball_is_called_as_that_is(tmp_path: Path, compression: str) -> None:
    write_files(tmp_path / "source" / "top", model_files())
    archive = tmp_path / f"tiiuae--falcon{COMPRESSIONS[compression]}"
    pack(tmp_path / "source", archive, compression)
    (item,) = inventory(tmp_path, tarball=archive, whole=True)
    assert (item.model, item.revision, item.bytes) == ("tiiuae/falcon", None, BYTES)
    assert item.formats == ("safetensors",)


class TestProblems:
    def test_a_model_that_is_not_whole(self, tmp_path: Path) -> None:
        """In a cache and in a tarball, with the same words."""
        files = model_files(shards=3) | {"model-00002-of-00003.safetensors": safetensors()[:-1]}
        del files["model-00001-of-00003.safetensors"]
        write_snapshot(tmp_path / "cache", files=files)
        pack(tmp_path / "cache", tmp_path / "a.tar")
        unpacked, packed = inventory(tmp_path, tmp_path / "cache", tarball=tmp_path / "a.tar")
        assert unpacked.problem == packed.problem
        assert (packed.problem or "").startswith("not whole: model-00001-of-00003.safetensors (")
        assert (packed.problem or "").endswith(", and 1 more")

    def test_what_is_no_model(self, tmp_path: Path) -> None:
        (tmp_path / "models--a--b").mkdir()
        (tmp_path / "z.tar").write_bytes(b"nonsense" * 100)
        write_files(tmp_path / "notes", {"README": b"x"})
        pack(tmp_path / "notes", tmp_path / "y.tar")
        items = {item.path.name: item for item in inventory(tmp_path, tmp_path)}
        assert (items["models--a--b"].model, items["models--a--b"].problem) == (
            "a/b", "has no snapshot",
        )  # fmt: skip
        assert items["y.tar"].problem == "holds no model"
        assert "not a tar archive" in (items["z.tar"].problem or "")
        assert items["z.tar"].settings() == {}

    def test_a_root_that_is_not_there_is_passed_over(self, tmp_path: Path) -> None:
        assert inventory(tmp_path, tmp_path / "none") == []
