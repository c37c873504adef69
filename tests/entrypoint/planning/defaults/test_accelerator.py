"""Each kind of accelerator has its defaults."""

import pytest

from entrypoint.hardware.hardware import Device, Hardware, Kind
from entrypoint.planning.defaults.accelerator import accelerator_defaults
from entrypoint.planning.defaults.defaults import Defaults
from tests.support.defaults import GIB, a_model
from tests.support.samples import asked


@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        ("cpu", "VLLM_CPU_KVCACHE_SPACE"),
        ("cuda", "CUDA_DEVICE_ORDER"),
        ("rocm", "VLLM_ROCM_USE_AITER"),
        ("hpu", "VLLM_BUCKETING_STRATEGY"),
    ],
)
def test_each_accelerator_has_its_defaults(kind: Kind, variable: str) -> None:
    devices = (Device(0, "a", architecture="gfx942"), Device(1, "b", architecture="gfx942"))
    hardware = Hardware(kind, 2, 24 * GIB, (0, 1), "0.32.0", devices=devices)
    assert variable in accelerator_defaults(asked(), a_model(), hardware, 1).environment


def test_a_single_gpu_has_no_defaults() -> None:
    hardware = Hardware("cuda", 1, None, (0,), "0.32.0")
    assert accelerator_defaults(asked(), a_model(), hardware, 1) == Defaults()
