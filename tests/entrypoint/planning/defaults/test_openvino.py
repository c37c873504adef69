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
    def test_the_cpu_is_the_default_device(self) -> None:
        assert environment(machine())["VLLM_OPENVINO_DEVICE"] == "CPU"

    def test_a_visible_gpu_is_used(self) -> None:
        made = environment(machine(Device(0, "Intel GPU")), VLLM_OPENVINO_DEVICE="gpu.1")
        assert made["VLLM_OPENVINO_DEVICE"] == "GPU.1"
        assert made["VLLM_OPENVINO_KVCACHE_SPACE"] == "0"

    def test_a_missing_gpu_is_refused(self) -> None:
        with pytest.raises(MachineError, match="VLLM_OPENVINO_DEVICE=GPU") as raised:
            environment(machine(), VLLM_OPENVINO_DEVICE="GPU")
        assert "/dev/dri" in (raised.value.hint or "")

    @pytest.mark.parametrize("device", ["TPU", "GPU.x", "CPU.1"])
    def test_an_unknown_device_is_refused(self, device: str) -> None:
        with pytest.raises(SettingError, match=device):
            asked(VLLM_OPENVINO_DEVICE=device)


class TestCache:
    def test_the_cache_gets_half_of_the_free_memory(self) -> None:
        assert environment(machine())["VLLM_OPENVINO_KVCACHE_SPACE"] == "13"

    def test_the_cache_holds_a_limited_number_of_sequences(self) -> None:
        made = environment(machine(gib=1000))
        assert made["VLLM_OPENVINO_KVCACHE_SPACE"] == str(CACHED_SEQUENCES)

    def test_the_cache_is_at_least_one_gib(self) -> None:
        assert environment(machine(gib=4))["VLLM_OPENVINO_KVCACHE_SPACE"] == "1"

    def test_the_cache_grows_if_the_memory_is_unknown(self) -> None:
        assert environment(machine(gib=None))["VLLM_OPENVINO_KVCACHE_SPACE"] == "0"

    def test_the_users_size_wins(self) -> None:
        made = environment(machine(), VLLM_OPENVINO_KVCACHE_SPACE="5")
        assert made["VLLM_OPENVINO_KVCACHE_SPACE"] == "5"

    @pytest.mark.parametrize("space", ["-1", "much", "1.5"])
    def test_a_negative_size_is_refused(self, space: str) -> None:
        with pytest.raises(SettingError, match="VLLM_OPENVINO_KVCACHE_SPACE"):
            asked(VLLM_OPENVINO_KVCACHE_SPACE=space)

    @pytest.mark.parametrize(
        "name", ["VLLM_OPENVINO_KV_CACHE_PRECISION", "VLLM_OPENVINO_CPU_KV_CACHE_PRECISION"]
    )
    def test_the_precision_has_two_names(self, name: str) -> None:
        made = openvino_defaults(asked(**{name: "U8"}), a_model(), machine(), 1)
        assert made.environment["VLLM_OPENVINO_KV_CACHE_PRECISION"] == "u8"

    def test_openvino_chooses_the_precision_by_default(self) -> None:
        assert "VLLM_OPENVINO_KV_CACHE_PRECISION" not in environment(machine())

    def test_an_unknown_precision_is_refused(self) -> None:
        with pytest.raises(SettingError, match="VLLM_OPENVINO_CPU_KV_CACHE_PRECISION='u7'"):
            asked(VLLM_OPENVINO_CPU_KV_CACHE_PRECISION="u7")


def test_an_option_without_effect_is_noted() -> None:
    made = openvino_defaults(asked(ARG="--enforce-eager"), a_model(), machine(), 1)
    assert "--enforce-eager" in made.notes[0].message
