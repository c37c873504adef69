"""Variables hide devices and set their order."""

import pytest

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Device, Kind
from entrypoint.hardware.visible import visible_devices

GPUS = tuple(Device(n, "GPU", identity=f"GPU-{n}aaaa") for n in range(4))
CARDS = tuple(Device(n, "HL-225", identity=str(module)) for n, module in enumerate((3, 7, 5, 1)))


@pytest.mark.parametrize(
    ("kind", "environ", "left"),
    [
        ("cuda", {}, (0, 1, 2, 3)),
        ("cuda", {"CUDA_VISIBLE_DEVICES": ""}, (0, 1, 2, 3)),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "2,0"}, (2, 0)),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "GPU-1aa,GPU-3"}, (1, 3)),
        ("cuda", {"HIP_VISIBLE_DEVICES": "1"}, (0, 1, 2, 3)),
        ("rocm", {"HIP_VISIBLE_DEVICES": "1,2"}, (1, 2)),
        ("rocm", {"CUDA_VISIBLE_DEVICES": "1,2"}, (1, 2)),
        ("rocm", {"CUDA_VISIBLE_DEVICES": "3", "HIP_VISIBLE_DEVICES": "3"}, (3,)),
        # what ROCR leaves is counted from 0 again
        ("rocm", {"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, (3,)),
        ("hpu", {"HABANA_VISIBLE_DEVICES": "all"}, (0, 1, 2, 3)),
        ("hpu", {"HABANA_VISIBLE_DEVICES": "6,7"}, (0, 1)),
        ("hpu", {"HABANA_VISIBLE_MODULES": "5,1"}, (2, 3)),
    ],
)
def test_the_variables_select_devices(
    kind: Kind, environ: dict[str, str], left: tuple[int, ...]
) -> None:
    devices = CARDS if kind == "hpu" else GPUS
    assert tuple(d.index for d in visible_devices(kind, devices, environ)) == left


def test_a_mig_slice_is_one_device() -> None:
    (device,) = visible_devices("cuda", GPUS, {"CUDA_VISIBLE_DEVICES": "MIG-5c1a"})
    assert device.name == "MIG-5c1a"


@pytest.mark.parametrize(
    ("kind", "variable", "value"),
    [
        ("cuda", "CUDA_VISIBLE_DEVICES", "0,4"),
        ("cuda", "CUDA_VISIBLE_DEVICES", "-1"),
        ("cuda", "CUDA_VISIBLE_DEVICES", "none"),
        ("rocm", "HIP_VISIBLE_DEVICES", "9"),
        ("hpu", "HABANA_VISIBLE_MODULES", "2"),
    ],
)
def test_a_device_that_does_not_exist_is_an_error(kind: Kind, variable: str, value: str) -> None:
    with pytest.raises(SettingError) as raised:
        visible_devices(kind, CARDS if kind == "hpu" else GPUS, {variable: value})
    assert raised.value.variable == variable
    assert f"{variable}={value}" in raised.value.message
    assert "4 " in raised.value.message


def test_modules_are_numbers_if_the_tool_did_not_report_them() -> None:
    cards = tuple(Device(n, "Gaudi") for n in range(4))
    left = visible_devices("hpu", cards, {"HABANA_VISIBLE_MODULES": "0,1"})
    assert [device.index for device in left] == [0, 1]


def test_two_names_of_one_variable_must_not_differ() -> None:
    environ = {"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "1"}
    with pytest.raises(SettingError, match="HIP_VISIBLE_DEVICES=0 and CUDA_VISIBLE_DEVICES=1"):
        visible_devices("rocm", GPUS, environ)
