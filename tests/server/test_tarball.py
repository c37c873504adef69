"""The load format ``tarball``: the same tensors as vLLM's own loader gives, without a copy."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from vllm.config.load import LoadConfig
from vllm.model_executor.model_loader import get_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from entrypoint.shared.handover import TARBALL_FORMAT, TARBALL_INDEX, TARBALL_VARIABLE
from entrypoint.store.tarballs.packed import packed_model, unpack_small
from entrypoint.store.tarballs.tree import read_tree
from server import plugin
from server.tarball import DTYPES, TarballLoader, tensors

SAMPLES = {
    name: (torch.arange(24) % 2).to(getattr(torch, dtype)).reshape(2, 3, 4)
    for name, dtype in DTYPES.items()
    if hasattr(torch, dtype)
}


def write_model(folder: Path, *shards: dict[str, torch.Tensor]) -> Path:
    """Write a model of these shards."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    names = [f"model-{n + 1:05d}-of-{len(shards):05d}.safetensors" for n in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, folder / name)
    weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def pack(folder: Path) -> Path:
    archive = folder.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, folder.name)
    return archive


@pytest.fixture
def laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of two shards in a tarball; the folder of its small files."""
    folder = write_model(
        tmp_path / "model",
        {"a.weight": torch.randn(4, 5), "b.weight": torch.randn(3).bfloat16()},
        {"c.weight": torch.arange(7), "d.empty": torch.empty(0, 4)},
    )
    files = read_tree(pack(folder), "a/b").files(("model",))
    packed = packed_model(files, {})
    assert packed is not None
    (tmp_path / "out").mkdir()
    unpack_small(packed, tmp_path / "out", "laid-out", lambda progress: None)
    index = tmp_path / "out" / TARBALL_INDEX
    monkeypatch.setattr(TarballLoader, "index_path", index, raising=False)
    return tmp_path / "out" / "laid-out"


def weights(loader: DefaultModelLoader, folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights that a loader reads."""
    config = SimpleNamespace(model=str(folder), revision=None)
    return dict(loader.get_all_weights(config, torch.nn.Module()))


def test_weights_are_the_same_as_from_the_folder(laid_out: Path, tmp_path: Path) -> None:
    expected = weights(DefaultModelLoader(LoadConfig()), tmp_path / "model")
    given = weights(TarballLoader(LoadConfig(load_format=TARBALL_FORMAT)), laid_out)
    assert given.keys() == expected.keys()
    for name, value in expected.items():
        assert given[name].dtype == value.dtype
        assert torch.equal(given[name], value)


def test_another_model_is_loaded_by_vllms_own_loader(laid_out: Path, tmp_path: Path) -> None:
    """A draft model has its own folder, and the same load format."""
    loader = TarballLoader(LoadConfig(load_format=TARBALL_FORMAT))
    assert weights(loader, tmp_path / "model").keys() == weights(loader, laid_out).keys()


def test_vllms_own_loader_refuses_the_headers_alone(laid_out: Path) -> None:
    with pytest.raises(Exception, match=r"incomplete metadata|fully covered"):
        weights(DefaultModelLoader(LoadConfig()), laid_out)


def test_vllm_reads_the_number_of_parameters_from_the_headers(laid_out: Path) -> None:
    from vllm.transformers_utils.config import get_safetensors_params_metadata

    assert {"a.weight", "c.weight"} < get_safetensors_params_metadata(str(laid_out)).keys()


def test_a_tarball_that_has_changed_is_not_loaded(laid_out: Path, tmp_path: Path) -> None:
    with (tmp_path / "model.tar").open("ab") as file:
        file.write(b"\0" * 512)
    with pytest.raises(RuntimeError, match="has changed"):
        weights(TarballLoader(LoadConfig(load_format=TARBALL_FORMAT)), laid_out)


def test_the_plugin_registers_the_format(laid_out: Path) -> None:
    plugin.load({TARBALL_VARIABLE: str(TarballLoader.index_path)})
    loader = get_model_loader(LoadConfig(load_format=TARBALL_FORMAT))
    assert isinstance(loader, TarballLoader)


class TestTensors:
    @pytest.mark.parametrize("before", [0, 512, 4096, 4608, 3])
    def test_tensors_of_every_type_are_read_at_any_offset(
        self, tmp_path: Path, before: int
    ) -> None:
        """At 3 bytes nothing is aligned: such tensors are copied."""
        save_file(SAMPLES, tmp_path / "a")
        content = (tmp_path / "a").read_bytes()
        (tmp_path / "b").write_bytes(b"x" * before + content + b"after")
        with (tmp_path / "b").open("rb") as file:
            given = dict(tensors(file, before, len(content)))
        assert given.keys() == SAMPLES.keys()
        for name, value in SAMPLES.items():
            assert given[name].dtype == value.dtype
            assert torch.equal(given[name].view(torch.uint8), value.view(torch.uint8))

    def test_a_scalar_has_no_dimensions(self, tmp_path: Path) -> None:
        save_file({"one": torch.tensor(1.5)}, tmp_path / "a")
        with (tmp_path / "a").open("rb") as file:
            given = dict(tensors(file, 0, (tmp_path / "a").stat().st_size))
        assert given["one"].shape == ()
        assert given["one"].item() == 1.5

    def test_tensors_are_views_of_the_page_cache(self, tmp_path: Path) -> None:
        """All tensors of a file are views of one mapping."""
        save_file({"a": torch.zeros(5000), "b": torch.zeros(5000)}, tmp_path / "a")
        with (tmp_path / "a").open("rb") as file:
            given = dict(tensors(file, 0, (tmp_path / "a").stat().st_size))
        apart = given["b"].data_ptr() - given["a"].data_ptr()
        assert abs(apart) == 5000 * 4

    def test_writing_to_a_tensor_does_not_change_the_file(self, tmp_path: Path) -> None:
        save_file({"a": torch.zeros(10)}, tmp_path / "a")
        before = (tmp_path / "a").read_bytes()
        with (tmp_path / "a").open("rb") as file:
            next(tensors(file, 0, len(before)))[1].fill_(1)
        assert (tmp_path / "a").read_bytes() == before

    def test_a_type_without_a_torch_type_is_an_error(self, tmp_path: Path) -> None:
        tensor = {"dtype": "X9", "shape": [1], "data_offsets": [0, 1]}
        header = json.dumps({"a": tensor}).encode()
        (tmp_path / "a").write_bytes(len(header).to_bytes(8, "little") + header + b"x")
        with (tmp_path / "a").open("rb") as file, pytest.raises(ValueError, match="X9"):
            list(tensors(file, 0, (tmp_path / "a").stat().st_size))
