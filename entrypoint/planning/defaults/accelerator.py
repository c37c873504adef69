"""Chooses the defaults of the accelerator that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from entrypoint.hardware.hardware import Hardware, Kind
from entrypoint.planning.defaults.cpu import cpu_defaults
from entrypoint.planning.defaults.cuda import cuda_defaults
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.planning.defaults.hpu import hpu_defaults
from entrypoint.planning.defaults.openvino import openvino_defaults
from entrypoint.planning.defaults.rocm import rocm_defaults
from entrypoint.settings import Settings
from entrypoint.store.model import Model

DEFAULTS: Mapping[Kind, Callable[[Settings, Model, Hardware, int], Defaults]] = {
    "cpu": cpu_defaults,
    "cuda": cuda_defaults,
    "hpu": hpu_defaults,
    "openvino": openvino_defaults,
    "rocm": rocm_defaults,
}


def accelerator_defaults(
    settings: Settings, model: Model, hardware: Hardware, ranks: int
) -> Defaults:
    """Return the defaults of the hardware's kind.

    Args:
        settings: What the environment says.
        model: What is served.
        hardware: What it runs on.
        ranks: Worker processes on this machine.
    """
    make = DEFAULTS.get(hardware.kind)
    return make(settings, model, hardware, ranks) if make else Defaults()
