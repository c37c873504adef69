"""Converts the demo model to OpenVINO, by the code and the converter that a launch uses."""

from __future__ import annotations

import os
from pathlib import Path

from demo import files
from demo.artifact import read_snapshot
from entrypoint.openvino.convert import convert, converter_environment, find_converter
from entrypoint.openvino.weights import Format, choose_weights
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.integrity import read_config
from entrypoint.store.model import Model


def demo_model() -> Model:
    """Return the demo model as a launch finds it in its cache."""
    path = read_snapshot(files.CACHE, files.REPOSITORY)
    return Model(
        source="cache",
        path=path,
        repository=files.REPOSITORY,
        revision=path.name,
        requested_revision=None,
        bytes=sum(file.stat().st_size for file in path.iterdir()),
        searched=(),
        config=read_config(directory_files(path)),
    )


def converted(scratch: Path, weight_format: Format) -> Path:
    """Return the directory of the demo model, converted below a scratch directory."""
    model = demo_model()
    weights = choose_weights(model, weight_format == "int8", scratch)
    environment = converter_environment(os.environ, {"HF_HOME": str(scratch)})
    convert(model, weights, find_converter(None), environment, trust_remote_code=False)
    return weights.path
