"""The defaults for OpenVINO."""

import pytest

from entrypoint.errors import MachineError, SettingError
from entrypoint.hardware.hardware import Device, Hardware
from entrypoint.planning.defaults.openvino import CACHED_SEQUENCES, openvino_defaults
from tests.support.defaults import GIB, a_model
from tests.support.samples import asked

SHAPE = {
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "max_position_embeddings": 8192,
}
"""A sequence of full length takes 1 GiB."""


def machine(*devices: Device, gib: int | None = 32) -> Hardware:
    memory = None if gib is None else gib * GIB
    return Hardware("openvino", 1, memory, (0,), "0.32.0", devices=devices)


def environment(machine: Hardware, gib: float = 6, **variables: str) -> dict[str, str]:
    made = openvino_defaults(asked(**variables), a_model(gib, **SHAPE), machine, 1)
    return dict(made.environment)


class TestDevice:
    def test_the_processor(self) -> None:
        assert environment(machine())["VLLM_OPENVINO_DEVICE"] == "CPU"

    def test_a_gpu(self) -> None:
        made = environment(machine(Device(0, "Intel GPU")), VLLM_OPENVINO_DEVICE="gpu.1")
        assert made["VLLM_OPENVINO_DEVICE"] == "GPU.1"
        assert made["VLLM_OPENVINO_KVCACHE_SPACE"] == "0"

    def test_a_gpu_that_is_not_there(self) -> None:
        with pytest.raises(MachineError, match="VLLM_OPENVINO_DEVICE=GPU") as raised:
            environment(machine(), VLLM_OPENVINO_DEVICE="GPU")
        assert "/dev/dri" in (raised.value.hint or "")

    @pytest.mark.parametrize("device", ["TPU", "GPU.x", "CPU.1"])
    def test_no_device(self, device: str) -> None:
        with pytest.raises(SettingError, match=device):
            asked(VLLM_OPENVINO_DEVICE=device)


class TestCache:
    def test_half_of_what_the_weights_leave(self) -> None:
        assert environment(machine())["VLLM_OPENVINO_KVCACHE_SPACE"] == "13"

    def test_not_more_than_many_long_requests_fill(self) -> None:
        made = environment(machine(gib=1000))
        assert made["VLLM_OPENVINO_KVCACHE_SPACE"] == str(CACHED_SEQUENCES)

    def test_never_nothing(self) -> None:
        assert environment(machine(gib=4))["VLLM_OPENVINO_KVCACHE_SPACE"] == "1"

    def test_growing_where_the_memory_is_unknown(self) -> None:
        assert environment(machine(gib=None))["VLLM_OPENVINO_KVCACHE_SPACE"] == "0"

    def test_as_said(self) -> None:
        made = environment(machine(), VLLM_OPENVINO_KVCACHE_SPACE="5")
        assert made["VLLM_OPENVINO_KVCACHE_SPACE"] == "5"

    @pytest.mark.parametrize("space", ["-1", "much", "1.5"])
    def test_no_size(self, space: str) -> None:
        with pytest.raises(SettingError, match="VLLM_OPENVINO_KVCACHE_SPACE"):
            asked(VLLM_OPENVINO_KVCACHE_SPACE=space)

    @pytest.mark.parametrize(
        "name", ["VLLM_OPENVINO_KV_CACHE_PRECISION", "VLLM_OPENVINO_CPU_KV_CACHE_PRECISION"]
    )
    def test_precision_by_either_name(self, name: str) -> None:
        made = openvino_defaults(asked(**{name: "U8"}), a_model(), machine(), 1)
        assert made.environment["VLLM_OPENVINO_KV_CACHE_PRECISION"] == "u8"

    def test_openvinos_own_precision(self) -> None:
        assert "VLLM_OPENVINO_KV_CACHE_PRECISION" not in environment(machine())

    def test_no_precision(self) -> None:
        with pytest.raises(SettingError, match="VLLM_OPENVINO_CPU_KV_CACHE_PRECISION='u7'"):
            asked(VLLM_OPENVINO_CPU_KV_CACHE_PRECISION="u7")


def test_an_option_without_effect_is_noted() -> None:
    made = openvino_defaults(asked(ARG="--enforce-eager"), a_model(), machine(), 1)
    assert "--enforce-eager" in made.notes[0].message
