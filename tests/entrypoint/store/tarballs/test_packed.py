"""A model whose weights stay in the tarball: what is unpacked, what is not, and the index."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from entrypoint.errors import IncompleteModel, RefusedArtifact
from entrypoint.shared.handover import TARBALL_INDEX
from entrypoint.shared.tarball_index import Index
from entrypoint.store.disk.integrity import check_model
from entrypoint.store.fetch import fetch_model
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import ignore_progress
from entrypoint.store.search.find import find_model
from tests.support.models import (
    COMMIT,
    FALCON,
    OTHER_COMMIT,
    a_request,
    model_files,
    pack,
    pack_with_gnu_tar,
    pickled,
    safetensors,
    tar_of,
    write_files,
    write_snapshot,
)

BIG = 300_000


def request_of(tmp_path: Path, archive: Path) -> Request:
    return a_request(tmp_path, tarball=archive, in_place=True)


def fetched(tmp_path: Path, files: Mapping[str, bytes]) -> tuple[Model, Path]:
    """A snapshot of these files packed, found and fetched; and its folder."""
    write_snapshot(tmp_path / "source", files=files)
    request = request_of(tmp_path, pack(tmp_path / "source", tmp_path / "falcon.tar"))
    model = fetch_model(find_model(request), request, ignore_progress)
    assert model.path is not None
    return model, model.path


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


class TestLayout:
    def test_no_weights_are_written(self, tmp_path: Path) -> None:
        """The small files are complete, and of the weights only the headers are written."""
        files = model_files(shards=2, size=BIG)
        model, path = fetched(tmp_path, files)
        assert model.source == "tarball"
        assert (model.repository, model.revision) == (FALCON, COMMIT)
        assert (model.bytes, model.weight_bytes) == (
            sum(map(len, files.values())),
            sum(len(content) for name, content in files.items() if name.endswith(".safetensors")),
        )
        for name, content in files.items():
            there = (path / name).read_bytes()
            if name.endswith(".safetensors"):
                assert content.startswith(there)
                assert len(content) - len(there) == BIG
            else:
                assert there == content
        assert bytes_below(tmp_path / "scratch") < BIG

    def test_the_index_gives_the_positions_of_the_weights(self, tmp_path: Path) -> None:
        files = model_files(shards=2, size=BIG)
        _, path = fetched(tmp_path, files)
        index = Index.load(path.parent / TARBALL_INDEX)
        assert (path.parent / index.model) == path
        archive = Path(index.archive).read_bytes()
        assert (len(archive), os.stat(index.archive).st_mtime_ns) == (index.size, index.mtime_ns)
        assert {
            name: archive[offset : offset + size] for name, (offset, size) in index.files.items()
        } == {name: content for name, content in files.items() if "0000" in name}

    def test_an_unpacked_folder_does_not_pass_as_a_complete_model(self, tmp_path: Path) -> None:
        _, path = fetched(tmp_path, model_files())
        with pytest.raises(IncompleteModel, match="truncated"):
            check_model(path)

    def test_other_formats_of_the_weights_are_not_unpacked(self, tmp_path: Path) -> None:
        others = {"pytorch_model.bin": b"x" * BIG, "original/consolidated.00.pth": b"x" * BIG}
        _, path = fetched(tmp_path, {**model_files(), **others, "1_Pooling/config.json": b"{}"})
        there = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
        assert there == {*model_files(), "1_Pooling/config.json"}

    def test_the_second_start_unpacks_nothing(self, tmp_path: Path) -> None:
        model, _ = fetched(tmp_path, model_files())
        again = find_model(request_of(tmp_path, tmp_path / "falcon.tar"))
        assert again.on_disk
        assert (again.path, again.packed) == (model.path, model.packed)

    def test_each_revision_has_a_folder(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source")
        other = {**model_files(), "tokenizer.json": b'{"other": 1}'}
        write_snapshot(tmp_path / "source", commit=OTHER_COMMIT, files=other, ref="new")
        archive = pack(tmp_path / "source", tmp_path / "a.tar")
        for revision, tokenizer in ((None, b"{}"), ("new", b'{"other": 1}')):
            request = a_request(tmp_path, tarball=archive, in_place=True, revision=revision)
            path = fetch_model(find_model(request), request, ignore_progress).path
            assert path is not None
            assert (path / "tokenizer.json").read_bytes() == tokenizer

    @pytest.mark.parametrize("top", [".", "checkpoint"])
    def test_a_plain_model_is_read_in_place(self, tmp_path: Path, top: str) -> None:
        write_files(tmp_path / "source" / top, model_files())
        archive = pack_with_gnu_tar(tmp_path / "source", tmp_path / "falcon.tar")
        request = request_of(tmp_path, archive)
        model = fetch_model(find_model(request), request, ignore_progress)
        assert model.path is not None
        assert model.path.name == ("falcon" if top == "." else top)
        assert {path.name for path in model.path.iterdir()} == set(model_files())


class TestUnpackedWhole:
    @pytest.mark.parametrize(
        "files",
        [
            {"config.json": b"{}", "pytorch_model.bin": pickled()},
            {
                "config.json": json.dumps(
                    {"quantization_config": {"quant_method": "bitsandbytes"}}
                ).encode(),
                "model.safetensors": safetensors(),
            },
        ],
        ids=["pickles", "bitsandbytes"],
    )
    def test_a_model_with_other_weights_is_unpacked(
        self, tmp_path: Path, files: dict[str, bytes]
    ) -> None:
        model, path = fetched(tmp_path, files)
        assert model.packed is None
        assert check_model(path) == sum(map(len, files.values()))

    def test_a_model_is_unpacked_for_another_engine(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source")
        request = a_request(tmp_path, tarball=pack(tmp_path / "source", tmp_path / "a.tar"))
        assert find_model(request).packed is None

    def test_a_compressed_tarball_is_unpacked(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "a.tar.gz", "gzip")
        assert find_model(request_of(tmp_path, archive)).packed is None

    def test_weights_with_holes_are_unpacked(self, tmp_path: Path) -> None:
        write_files(tmp_path / "source", model_files())
        content = safetensors(BIG, 0)
        with (tmp_path / "source" / "model.safetensors").open("wb") as file:
            file.write(content[:-BIG])
            file.truncate(len(content))
        archive = tmp_path / "falcon.tar"
        command = ["tar", "-S", "-cf", str(archive), "-C", str(tmp_path / "source"), "."]
        subprocess.run(command, check=True)
        request = request_of(tmp_path, archive)
        model = fetch_model(find_model(request), request, ignore_progress)
        assert model.packed is None
        assert model.path is not None
        assert (model.path / "model.safetensors").read_bytes() == content


class TestRefusedBeforeAnythingIsWritten:
    def test_a_missing_shard_is_reported(self, tmp_path: Path) -> None:
        files = model_files(shards=2)
        del files["model-00002-of-00002.safetensors"]
        write_snapshot(tmp_path / "source", files=files)
        archive = pack(tmp_path / "source", tmp_path / "a.tar")
        for in_place in (True, False):
            request = a_request(tmp_path, tarball=archive, in_place=in_place)
            with pytest.raises(IncompleteModel, match="model-00002-of-00002"):
                find_model(request)
        assert not (tmp_path / "scratch").exists()

    def test_a_member_that_leads_out_is_refused(self, tmp_path: Path) -> None:
        files = [*model_files().items(), ("../outside", b"x")]
        (tmp_path / "a.tar").write_bytes(tar_of(*files))
        with pytest.raises(RefusedArtifact, match="outside"):
            find_model(request_of(tmp_path, tmp_path / "a.tar"))
