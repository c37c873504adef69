"""How many ranks a model divides into, and how many a machine has room for."""

from typing import Any

import pytest

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Hardware
from entrypoint.planning.shards import Cut, attention_heads, check_cut, fitting_sizes

LLAMA_8B = {"num_attention_heads": 32, "num_key_value_heads": 8}
GPUS = Hardware("cuda", 8, None, (0, 1), "0.32.0")
CPU = Hardware("cpu", 1, None, (0, 1, 2, 3), "0.32.0")


def cut(shards: int, ranks: int | None = None) -> Cut:
    return Cut(shards, ranks or shards, "NUM_SHARD", f"NUM_SHARD={shards}")


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (LLAMA_8B, (1, 2, 4, 8, 16)),
        ({"num_attention_heads": 9, "num_key_value_heads": 3}, (1, 3, 9)),
        # 14 ranks would have to copy two heads seven times, which vLLM's models do not
        ({"num_attention_heads": 14, "num_key_value_heads": 2}, (1, 2, 14)),
        ({"num_attention_heads": 12}, (1, 2, 3, 4, 6, 12)),
        ({"text_config": {"num_attention_heads": 6}, "num_attention_heads": 16}, (1, 2, 3, 6)),
        ({}, tuple(range(1, 17))),
    ],
)
def test_sizes(config: dict[str, Any], sizes: tuple[int, ...]) -> None:
    assert fitting_sizes(config, 16) == sizes


def test_heads_that_are_not_numbers() -> None:
    assert attention_heads({"num_attention_heads": [1, 2]}) is None


class TestCheck:
    @pytest.mark.parametrize("shards", [1, 2, 4, 8])
    def test_what_fits(self, shards: int) -> None:
        check_cut(cut(shards), LLAMA_8B, GPUS)

    def test_more_than_the_devices(self) -> None:
        with pytest.raises(SettingError) as raised:
            check_cut(cut(16), LLAMA_8B, GPUS)
        assert raised.value.message == "NUM_SHARD=16 makes 16 ranks, and there are 8 NVIDIA GPUs."
        assert "1, 2, 4 or 8" in str(raised.value.hint)

    def test_one_that_does_not_divide(self) -> None:
        with pytest.raises(SettingError) as raised:
            check_cut(cut(6), LLAMA_8B, GPUS)
        assert raised.value.variable == "NUM_SHARD"
        assert "32 attention heads (8 of them for keys and values)" in raised.value.message
        assert raised.value.hint == "Set NUM_SHARD to 1, 2, 4 or 8."

    def test_all_devices_where_they_do_not_divide(self) -> None:
        six = Hardware("cuda", 6, None, (0,), "0.32.0")
        with pytest.raises(SettingError, match="NUM_SHARD=max is a tensor-parallel size of 6") as e:
            check_cut(Cut(6, 6, "NUM_SHARD", "NUM_SHARD=max"), LLAMA_8B, six)
        assert e.value.hint == "Set NUM_SHARD to 1, 2 or 4."

    def test_other_ranks_take_their_room(self) -> None:
        check_cut(cut(4, ranks=8), LLAMA_8B, GPUS)
        with pytest.raises(SettingError, match="16 ranks in all") as raised:
            check_cut(cut(8, ranks=16), LLAMA_8B, GPUS)
        assert "1, 2 or 4" in str(raised.value.hint)

    def test_where_the_others_alone_are_too_many(self) -> None:
        with pytest.raises(SettingError) as raised:
            check_cut(Cut(1, 16, "ARG", "ARG's --data-parallel-size 16"), LLAMA_8B, GPUS)
        assert str(raised.value.hint).startswith("Lower the parallel sizes in ARG")

    def test_a_cpu_has_room_for_a_rank_a_processor(self) -> None:
        check_cut(cut(4), LLAMA_8B, CPU)
        with pytest.raises(SettingError, match="4 processors that this process may run on"):
            check_cut(cut(8), LLAMA_8B, CPU)

    def test_a_model_that_is_not_there_yet(self) -> None:
        check_cut(cut(7), {}, GPUS)
