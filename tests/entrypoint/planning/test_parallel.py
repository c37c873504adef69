"""How many ranks a model divides into, and how many a machine has room for."""

from typing import Any

import pytest

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Hardware
from entrypoint.planning.parallel import (
    ParallelSizes,
    attention_heads,
    check_parallel,
    fitting_sizes,
)
from tests.support.samples import CPU as FOUR_CORES
from tests.support.samples import MODEL, plan, plan_of

LLAMA_8B = {"num_attention_heads": 32, "num_key_value_heads": 8}
GPUS = Hardware("cuda", 8, None, (0, 1), "0.32.0")
CPU = Hardware("cpu", 1, None, (0, 1, 2, 3), "0.32.0")


def sizes(shards: int, ranks: int | None = None) -> ParallelSizes:
    return ParallelSizes(shards, ranks or shards, "NUM_SHARD", f"NUM_SHARD={shards}")


@pytest.mark.parametrize(
    ("config", "fitting"),
    [
        (LLAMA_8B, (1, 2, 4, 8, 16)),
        ({"num_attention_heads": 9, "num_key_value_heads": 3}, (1, 3, 9)),
        # 14 ranks would copy each of the two heads seven times, which vLLM's models do not support
        ({"num_attention_heads": 14, "num_key_value_heads": 2}, (1, 2, 14)),
        ({"num_attention_heads": 12}, (1, 2, 3, 4, 6, 12)),
        ({"text_config": {"num_attention_heads": 6}, "num_attention_heads": 16}, (1, 2, 3, 6)),
        ({}, tuple(range(1, 17))),
    ],
)
def test_fitting_sizes_divide_the_heads(config: dict[str, Any], fitting: tuple[int, ...]) -> None:
    assert fitting_sizes(config, 16) == fitting


def test_heads_that_are_not_numbers_are_ignored() -> None:
    assert attention_heads({"num_attention_heads": [1, 2]}) is None


class TestSizes:
    @pytest.mark.parametrize(
        "arg", ["-dp 2", "--pipeline-parallel-size 2", "-tp 2", "--data-parallel-size=2"]
    )
    def test_ranks_of_every_kind_count(self, arg: str) -> None:
        env = plan_of(MODEL, FOUR_CORES, ARG=arg).env
        assert env["VLLM_CPU_OMP_THREADS_BIND"] == "0,1|2,3"

    def test_sizes_multiply(self) -> None:
        env = plan_of(MODEL, FOUR_CORES, NUM_SHARD="2", ARG="-dp 2").env
        assert env["VLLM_CPU_OMP_THREADS_BIND"] == "0|1|2|3"

    @pytest.mark.parametrize("option", ["--data-parallel-size", "--tensor-parallel-size"])
    def test_a_size_below_one_is_refused(self, option: str) -> None:
        with pytest.raises(SettingError, match=f"ARG: {option} 0 must be at least 1"):
            plan(ARG=f"{option} 0")

    @pytest.mark.parametrize(
        ("variables", "variable", "message"),
        [
            ({"NUM_SHARD": "8"}, "NUM_SHARD", "NUM_SHARD=8 needs 8 ranks"),
            ({"ARG": "-tp 8"}, "ARG", "ARG's --tensor-parallel-size 8 needs 8 ranks"),
            ({"ARG": "-dp 8"}, "ARG", "ARG's --data-parallel-size 8 needs 8 ranks in total"),
            (
                {"NUM_SHARD": "max", "ARG": "-pp 2"},
                "NUM_SHARD",
                "NUM_SHARD=max with ARG's --pipeline-parallel-size 2 needs 8 ranks in total",
            ),
        ],
    )
    def test_the_error_names_what_the_user_wrote(
        self, variables: dict[str, str], variable: str, message: str
    ) -> None:
        with pytest.raises(SettingError) as raised:
            plan(**variables)
        assert raised.value.variable == variable
        assert raised.value.message == f"{message}, but this machine has 4 NVIDIA GPUs."
        assert ("NUM_SHARD" in str(raised.value.hint)) == (variable == "NUM_SHARD")


class TestCheck:
    @pytest.mark.parametrize("shards", [1, 2, 4, 8])
    def test_sizes_that_fit_pass(self, shards: int) -> None:
        check_parallel(sizes(shards), LLAMA_8B, GPUS)

    def test_more_ranks_than_devices_are_refused(self) -> None:
        with pytest.raises(SettingError) as raised:
            check_parallel(sizes(16), LLAMA_8B, GPUS)
        assert raised.value.message == (
            "NUM_SHARD=16 needs 16 ranks, but this machine has 8 NVIDIA GPUs."
        )
        assert "1, 2, 4 or 8" in str(raised.value.hint)

    def test_a_size_that_does_not_divide_the_heads_is_refused(self) -> None:
        with pytest.raises(SettingError) as raised:
            check_parallel(sizes(6), LLAMA_8B, GPUS)
        assert raised.value.variable == "NUM_SHARD"
        assert "32 attention heads and 8 key-value heads" in raised.value.message
        assert raised.value.hint == "Set NUM_SHARD to 1, 2, 4 or 8."

    def test_max_is_refused_if_all_devices_do_not_divide_the_heads(self) -> None:
        six = Hardware("cuda", 6, None, (0,), "0.32.0")
        with pytest.raises(SettingError, match="NUM_SHARD=max is a tensor-parallel size of 6") as e:
            check_parallel(ParallelSizes(6, 6, "NUM_SHARD", "NUM_SHARD=max"), LLAMA_8B, six)
        assert e.value.hint == "Set NUM_SHARD to 1, 2 or 4."

    def test_ranks_of_other_kinds_need_devices_too(self) -> None:
        check_parallel(sizes(4, ranks=8), LLAMA_8B, GPUS)
        with pytest.raises(SettingError, match="16 ranks in total") as raised:
            check_parallel(sizes(8, ranks=16), LLAMA_8B, GPUS)
        assert "1, 2 or 4" in str(raised.value.hint)

    def test_too_many_other_ranks_are_to_be_lowered(self) -> None:
        many = ParallelSizes(1, 16, "ARG", "ARG's --data-parallel-size 16")
        with pytest.raises(SettingError) as raised:
            check_parallel(many, LLAMA_8B, GPUS)
        assert str(raised.value.hint).startswith("Lower the parallel sizes in ARG")

    def test_a_cpu_has_room_for_one_rank_per_processor(self) -> None:
        check_parallel(sizes(4), LLAMA_8B, CPU)
        with pytest.raises(SettingError, match="4 processors for this process"):
            check_parallel(sizes(8), LLAMA_8B, CPU)

    def test_a_model_that_is_not_fetched_yet_passes(self) -> None:
        check_parallel(sizes(7), {}, GPUS)
