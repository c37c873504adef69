"""The rules of vLLM's loaders, which ``entrypoint/store/disk/loading.py`` states as a table.

Each folder is loaded into a tiny Llama by vLLM's own loader, and judged by us. If a test fails
after an update of vLLM, a rule has changed: read ``vllm/model_executor/model_loader`` and adapt
the table.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from vllm.config import DeviceConfig, ModelConfig, VllmConfig, set_current_vllm_config
from vllm.config.load import LoadConfig
from vllm.distributed import (
    cleanup_dist_env_and_memory,
    init_distributed_environment,
    initialize_model_parallel,
)
from vllm.model_executor.model_loader import get_model_loader
from vllm.model_executor.model_loader.sharded_state_loader import ShardedStateLoader
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.tokenizers import get_tokenizer
from vllm.transformers_utils.config import get_config
from vllm.utils.torch_utils import set_default_torch_dtype

from entrypoint.errors import InferenceServerError
from entrypoint.planning.notes import UNSUPPORTED_QUANTIZATIONS
from entrypoint.store.disk.loadable import check_directory
from entrypoint.store.disk.loading import RULES, Loading
from tests.support.layouts import ALL, CONFIG, LAYOUTS, SHAPES, Layout, Weights
from tests.support.models import write_files
from tests.support.ports import free_port

ELSEWHERE = {"auto", "dummy", "ipc_cache", "modelexpress", "tensorizer"}
"""Load formats without a rule: ``auto``, and those that read no weights from the folder."""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[torch.nn.Module, VllmConfig]]:
    """A tiny Llama to load weights into, and its configuration."""
    folder = Layout("base", {}).write(tmp_path_factory.mktemp("base"), encode)
    model_config = ModelConfig(
        model=str(folder), skip_tokenizer_init=True, dtype="float32", max_model_len=64
    )
    config = VllmConfig(model_config=model_config, device_config=DeviceConfig("cpu"))
    with set_current_vllm_config(config):
        address = f"tcp://127.0.0.1:{free_port()}"
        init_distributed_environment(1, 0, address, 0, "gloo")
        initialize_model_parallel(1, 1)
        with set_default_torch_dtype(torch.float32):
            model = initialize_model(vllm_config=config, model_config=model_config)
    yield model, config
    cleanup_dist_env_and_memory()


def encode(name: str, weights: Weights) -> bytes:
    """Return a file with real tensors, in the format of its name."""
    tensors = {weights.prefix + key: torch.zeros(SHAPES[key]) for key in weights.tensors}
    if name.lower().endswith(".safetensors"):
        content: bytes = save(tensors)
        return content
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def load(llama: tuple[torch.nn.Module, VllmConfig], folder: Path, load_format: str) -> None:
    """Load the weights in a folder as vLLM does."""
    model, config = llama
    chosen = SimpleNamespace(
        model=str(folder),
        model_weights=None,
        revision=None,
        quantization=None,
        multimodal_config=None,
        is_moe=False,
    )
    with set_current_vllm_config(config):
        loader = get_model_loader(LoadConfig(load_format=load_format, use_tqdm_on_load=False))
        loader.load_weights(model, chosen)


def error_of(call: Any) -> Exception | None:
    """Return what a call raises."""
    try:
        call()
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_folder_is_refused_exactly_if_the_loader_fails(
    layout: Layout, llama: tuple[torch.nn.Module, VllmConfig], tmp_path: Path
) -> None:
    folder = layout.write(tmp_path / "model", encode)
    theirs = error_of(lambda: load(llama, folder, layout.load_format))
    ours = error_of(lambda: check_directory(folder, Loading(layout.load_format)))
    assert (theirs is None) == (layout.expected is None), theirs
    assert (ours is None) == (layout.expected is None), ours
    assert ours is None or isinstance(ours, InferenceServerError)


def test_a_folder_with_brackets_in_its_path_has_no_weights_for_the_loader(
    llama: tuple[torch.nn.Module, VllmConfig], tmp_path: Path
) -> None:
    folder = Layout("", {"model.safetensors": ALL}).write(tmp_path / "model [v2]", encode)
    assert "Cannot find any model weights" in str(error_of(lambda: load(llama, folder, "auto")))
    assert "without brackets" in getattr(
        error_of(lambda: check_directory(folder, Loading())), "hint", ""
    )


def test_files_of_a_rank_need_their_own_load_format(
    llama: tuple[torch.nn.Module, VllmConfig], tmp_path: Path
) -> None:
    folder = Layout("", {}).write(tmp_path / "model", encode)
    with set_current_vllm_config(llama[1]):
        ShardedStateLoader.save_model(llama[0], str(folder))
    for load_format in ("auto", "sharded_state"):  # one rank's weights are those of the model
        load(llama, folder, load_format)
        check_directory(folder, Loading(load_format))
    tensors = load_file(folder / "model-rank-0-part-0.safetensors")
    halves = {n: t[: len(t) // 2].clone() if t.dim() else t for n, t in tensors.items()}
    save_file(halves, folder / "model-rank-1-part-0.safetensors")
    assert error_of(lambda: load(llama, folder, "auto"))
    error = error_of(lambda: check_directory(folder, Loading()))
    assert "--load-format sharded_state" in getattr(error, "hint", "")


def test_each_load_format_of_vllm_has_a_rule_or_needs_none() -> None:
    from vllm.model_executor.model_loader import _LOAD_FORMAT_TO_MODEL_LOADER as known

    own = {"openvino", "tarball"}
    assert set(known) - own - ELSEWHERE == set(RULES) - own


CONFIGS = {
    "complete": (CONFIG, "config.json", True),
    "without architectures": ({**CONFIG, "architectures": None}, "config.json", True),
    "without a type": ({"architectures": CONFIG["architectures"]}, "config.json", False),
    "empty object": ({}, "config.json", False),
    "a list": ([], "config.json", False),
    "only Mistral's, weights in Hugging Face's format": (CONFIG, "params.json", False),
}


@pytest.mark.parametrize(("config", "name", "accepted"), CONFIGS.values(), ids=CONFIGS)
def test_a_configuration_is_refused_exactly_if_vllm_refuses_it(
    config: Any, name: str, accepted: bool, tmp_path: Path
) -> None:
    write_files(tmp_path, {name: json.dumps(config).encode()})
    write_files(tmp_path, {"model.safetensors": encode("model.safetensors", ALL)})
    theirs = error_of(lambda: get_config(tmp_path, trust_remote_code=False))
    ours = error_of(lambda: check_directory(tmp_path, Loading(own_config=True)))
    assert (theirs is None, ours is None) == (accepted, accepted), (theirs, ours)


@pytest.mark.parametrize("method", sorted(UNSUPPORTED_QUANTIZATIONS - {"mlx"}))
def test_vllm_refuses_each_quantization_that_a_plan_warns_about(
    method: str, tmp_path: Path
) -> None:
    config = {**CONFIG, "quantization_config": {"quant_method": method}}
    write_files(tmp_path, {"config.json": json.dumps(config).encode()})
    error = error_of(lambda: ModelConfig(model=str(tmp_path), skip_tokenizer_init=True))
    assert f"Unknown quantization method: {method}" in str(error)


def test_a_model_without_a_tokenizer_is_refused_as_vllm_refuses_it(tmp_path: Path) -> None:
    folder = Layout("", {"model.safetensors": ALL}).write(tmp_path / "model", encode)
    assert error_of(lambda: get_tokenizer(str(folder)))
    error = error_of(lambda: check_directory(folder, Loading(own_tokenizer=True)))
    assert "no file of a tokenizer" in str(error)
