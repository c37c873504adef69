"""The defaults for Gaudi."""

import pytest

from entrypoint.hardware.hardware import Device, Hardware
from entrypoint.planning.defaults.hpu import hpu_defaults
from tests.support.defaults import a_model
from tests.support.samples import asked

CARDS = (Device(0, "HL-225", identity="3"), Device(1, "HL-225", identity="7"))


def machine(*devices: Device) -> Hardware:
    return Hardware("hpu", len(devices), None, (0,), "0.26.0", devices=devices)


def test_block_size_and_sequences_are_set() -> None:
    made = hpu_defaults(asked(), a_model(), machine(*CARDS), 1)
    assert made.options == {"--block-size": "128", "--max-num-seqs": "256"}


def test_the_containers_modules_are_set() -> None:
    environment = hpu_defaults(asked(), a_model(), machine(*CARDS), 1).environment
    assert environment["HABANA_VISIBLE_MODULES"] == "3,7"


def test_unknown_modules_are_not_set() -> None:
    environment = hpu_defaults(asked(), a_model(), machine(Device(0, "Gaudi")), 1).environment
    assert "HABANA_VISIBLE_MODULES" not in environment


def test_several_ranks_enable_collectives() -> None:
    for ranks in (1, 2):
        made = hpu_defaults(asked(), a_model(), machine(*CARDS), ranks)
        assert ("PT_HPU_ENABLE_LAZY_COLLECTIVES" in made.environment) == (ranks == 2)


@pytest.mark.parametrize(
    ("variables", "strategy"),
    [
        ({}, "exp"),
        # the prefill's batch size counts under every strategy
        ({"VLLM_PROMPT_BS_BUCKET_MAX": "4"}, "exp"),
        ({"VLLM_PROMPT_QUERY_BUCKET_MAX": "1024"}, "lin"),
        ({"VLLM_PROMPT_SEQ_BUCKET_MAX": "1024"}, "lin"),
        ({"VLLM_DECODE_BLOCK_BUCKET_STEP": "64", "VLLM_DECODE_BS_BUCKET_PAD_MAX": "8"}, "pad"),
        ({"VLLM_DECODE_BLOCK_BUCKET_MIN": "64", "VLLM_BUCKETING_STRATEGY": "pad"}, None),
        ({"VLLM_DECODE_BLOCK_BUCKET_MIN": "64", "VLLM_EXPONENTIAL_BUCKETING": "false"}, None),
    ],
)
def test_the_users_ranges_choose_the_strategy(
    variables: dict[str, str], strategy: str | None
) -> None:
    made = hpu_defaults(asked(**variables), a_model(), machine(*CARDS), 1)
    assert made.environment.get("VLLM_BUCKETING_STRATEGY") == strategy
    assert bool(made.notes) == (strategy in ("lin", "pad"))
