"""The defaults for NVIDIA's GPUs."""

import pytest

from entrypoint.hardware.hardware import Device, Hardware
from entrypoint.planning.defaults.cuda import cuda_defaults
from tests.support.defaults import a_model
from tests.support.samples import asked


@pytest.mark.parametrize(
    ("names", "environment"),
    [
        (("H100", "H100"), {}),
        (("H100", "A100"), {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ((), {}),
    ],
)
def test_different_devices_are_ordered_by_bus(
    names: tuple[str, ...], environment: dict[str, str]
) -> None:
    devices = tuple(Device(n, name) for n, name in enumerate(names))
    hardware = Hardware("cuda", 2, None, (0,), "0.32.0", devices=devices)
    made = cuda_defaults(asked(), a_model(), hardware, 1)
    assert (made.options, made.environment) == ({}, environment)
