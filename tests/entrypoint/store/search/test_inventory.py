"""The inventory: each model on a node, and why it cannot be served."""

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
    pickled,
    safetensors,
    write_files,
    write_snapshot,
)

BYTES = sum(map(len, model_files().values()))


def inventory(
    tmp_path: Path, *roots: Path, tarball: Path | None = None, full: bool = False
) -> list[Item]:
    def check(path: Path, progress: Progress) -> None:
        assert 0 <= progress.done <= progress.total

    return take_inventory(roots, tarball, Catalogue(tmp_path / "none"), full, check)


def test_each_snapshot_of_a_cache_is_listed_with_its_variables(tmp_path: Path) -> None:
    first = write_snapshot(tmp_path, files=model_files())
    second = write_snapshot(tmp_path, commit=OTHER_COMMIT, ref="refs/pr/1")
    main, other = inventory(tmp_path, tmp_path)
    assert main == Item(
        model=FALCON,
        revision=COMMIT,
        refs=("main",),
        bytes=BYTES,
        formats=("safetensors",),
        source="cache",
        path=first,
    )
    assert (other.revision, other.refs, other.path) == (OTHER_COMMIT, ("refs/pr/1",), second)
    assert main.settings() == {"MODEL_ID": FALCON}
    assert other.settings() == {"MODEL_ID": FALCON, "REVISION": OTHER_COMMIT}


def test_a_plain_directory_is_listed_with_its_path(tmp_path: Path) -> None:
    path = write_files(
        tmp_path / "falcon", {"config.json": b"{}", "a.bin": pickled(), "b.pt": b"x"}
    )
    (item,) = inventory(tmp_path, tmp_path)
    assert item == Item(
        model=str(path), bytes=45, formats=("bin", "pt"), source="directory", path=path
    )
    assert item.settings() == {"MODEL_ID": str(path)}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_models_in_tarballs_are_listed_as_far_as_they_are_known(
    tmp_path: Path, compression: str, full: bool
) -> None:
    write_snapshot(tmp_path / "source", "a/b")
    write_snapshot(tmp_path / "source", "c/d")
    archive = pack(tmp_path / "source", tmp_path / f"many{COMPRESSIONS[compression]}", compression)
    for tarball, roots in ((archive, ()), (tmp_path, ()), (None, (tmp_path,))):
        items = [i for i in inventory(tmp_path, *roots, tarball=tarball, full=full)
                 if i.source == "tarball"]  # fmt: skip
        assert all(item.path == archive for item in items)
        if compression == "plain":
            assert [(i.model, i.revision, i.refs, i.bytes, i.formats) for i in items] == [
                (name, COMMIT, ("main",), BYTES, ("safetensors",)) for name in ("a/b", "c/d")
            ]
        elif full:
            assert [(i.model, i.revision, i.formats, i.problem) for i in items] == [
                (name, COMMIT, ("safetensors",), None) for name in ("a/b", "c/d")
            ]
        else:
            assert [(i.model, i.revision, i.bytes) for i in items] == [("a/b", None, None)]
            assert "--full" in (items[0].problem or "")
        assert items[0].settings() == {"MODEL_ID": "a/b", "MODEL_TARBALL": str(archive)}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_plain_model_in_a_tarball_has_the_tarball_s_name(
    tmp_path: Path, compression: str
) -> None:
    write_files(tmp_path / "source" / "top", model_files())
    archive = tmp_path / f"tiiuae--falcon{COMPRESSIONS[compression]}"
    pack(tmp_path / "source", archive, compression)
    (item,) = inventory(tmp_path, tarball=archive, full=True)
    assert (item.model, item.revision, item.bytes) == ("tiiuae/falcon", None, BYTES)
    assert item.formats == ("safetensors",)


class TestProblems:
    def test_an_incomplete_model_has_the_first_problem(self, tmp_path: Path) -> None:
        """The text is the same for a cache and for a tarball."""
        files = model_files(shards=3) | {"model-00002-of-00003.safetensors": safetensors()[:-1]}
        del files["model-00001-of-00003.safetensors"]
        write_snapshot(tmp_path / "cache", files=files)
        pack(tmp_path / "cache", tmp_path / "a.tar")
        unpacked, packed = inventory(tmp_path, tmp_path / "cache", tarball=tmp_path / "a.tar")
        assert unpacked.problem == packed.problem
        assert (packed.problem or "").startswith("incomplete: model-00001-of-00003.safetensors (")
        assert (packed.problem or "").endswith(", and 1 more")

    def test_places_without_a_model_are_listed_with_the_reason(self, tmp_path: Path) -> None:
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

    def test_a_missing_root_is_not_listed(self, tmp_path: Path) -> None:
        assert inventory(tmp_path, tmp_path / "none") == []
