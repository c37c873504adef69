"""Chooses the defaults of the accelerator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from entrypoint.hardware.hardware import Hardware, Kind
from entrypoint.planning.asked import Asked
from entrypoint.planning.defaults.cpu import cpu_defaults
from entrypoint.planning.defaults.cuda import cuda_defaults
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.planning.defaults.hpu import hpu_defaults
from entrypoint.planning.defaults.openvino import openvino_defaults
from entrypoint.planning.defaults.rocm import rocm_defaults
from entrypoint.store.model import Model

DEFAULTS: Mapping[Kind, Callable[[Asked, Model, Hardware, int], Defaults]] = {
    "cpu": cpu_defaults,
    "cuda": cuda_defaults,
    "hpu": hpu_defaults,
    "openvino": openvino_defaults,
    "rocm": rocm_defaults,
}


def accelerator_defaults(asked: Asked, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the defaults of the hardware's kind.

    Args:
        asked: The variables and ARG.
        model: The model to serve.
        hardware: The hardware to run on.
        ranks: Worker processes on this machine.
    """
    return DEFAULTS[hardware.kind](asked, model, hardware, ranks)
