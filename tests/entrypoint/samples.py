"""Small models to find: real directories with whole files, and no weights to speak of."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from entrypoint.hardware import Hardware
from entrypoint.listener import Listen
from entrypoint.plan import LaunchPlan
from entrypoint.store.model import Model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def safetensors() -> bytes:
    """Return a whole safetensors file with one tensor of four bytes."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0\0\0\0"


def make_model(directory: Path) -> Path:
    """Make a model directory in Hugging Face format."""
    directory.mkdir(parents=True)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(safetensors())
    return directory


def make_cache(root: Path, repository: str = "Org/Model") -> Path:
    """Make a cache root that holds one snapshot, which ``main`` names."""
    folder = root / f"models--{repository.replace('/', '--')}"
    make_model(folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return root


def a_plan(listen: Listen, shutdown_timeout: int = 5) -> LaunchPlan:
    """Return a plan with nothing special about it."""
    return LaunchPlan(
        argv=("/m",),
        env={},
        served_model_names=("m",),
        model=Model("directory", Path("/m"), None, None, None, 1000, ()),
        accelerator=Hardware("cpu", 1, None, (0,), "0"),
        options=(),
        notes=(),
        listen=listen,
        shutdown_timeout=shutdown_timeout,
        engine_binds=False,
    )
