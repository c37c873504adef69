"""The defaults for AMD's GPUs."""

import pytest

from entrypoint.hardware.hardware import Device, Hardware
from entrypoint.planning.defaults.rocm import rocm_defaults
from tests.support.defaults import a_model
from tests.support.samples import asked


def environment_of(*targets: str, **variables: str) -> dict[str, str]:
    devices = tuple(Device(n, "AMD GPU", None, target) for n, target in enumerate(targets))
    hardware = Hardware("rocm", len(devices), None, (0,), "0.32.0", devices=devices)
    return dict(rocm_defaults(asked(**variables), a_model(), hardware, 1).environment)


@pytest.mark.parametrize(
    ("targets", "on"),
    [
        (("gfx942", "gfx942"), True),
        (("gfx950",), True),
        (("gfx90a",), False),
        (("gfx942", "gfx1100"), False),
    ],
)
def test_amds_kernels_are_used_if_supported(targets: tuple[str, ...], on: bool) -> None:
    assert (environment_of(*targets).get("VLLM_ROCM_USE_AITER") == "1") == on


@pytest.mark.parametrize("variable", ["HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"])
def test_the_visible_devices_are_set_under_both_names(variable: str) -> None:
    assert environment_of("gfx90a", **{variable: "0"}) == {
        "HIP_VISIBLE_DEVICES": "0",
        "CUDA_VISIBLE_DEVICES": "0",
    }


def test_neither_name_is_set_if_all_devices_are_visible() -> None:
    assert environment_of("gfx90a") == {}
