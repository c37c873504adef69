"""How many ranks the user asked for, how many the model divides into, how many fit here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Hardware
from entrypoint.hardware.kinds import devices_text
from entrypoint.planning.asked import Asked
from entrypoint.planning.sizing import text_config

TENSOR_PARALLEL = "--tensor-parallel-size"
OTHER_PARALLEL = ("--pipeline-parallel-size", "--data-parallel-size")

OTHER_MACHINES = (
    "--nnodes",
    "--distributed-executor-backend",
    "--data-parallel-backend",
    "--data-parallel-size-local",
    "--data-parallel-address",
)
"""Options that may place some of the ranks on other machines."""


@dataclass(frozen=True, slots=True)
class ParallelSizes:
    """The parallel sizes of a launch.

    Attributes:
        shards: The tensor-parallel size.
        ranks: All ranks: tensor, pipeline and data-parallel sizes multiplied.
        variable: The variable that gave the first size.
        spelled: The sizes as the user wrote them: ``NUM_SHARD=3``.
        elsewhere: Whether ranks may run on other machines.
    """

    shards: int
    ranks: int
    variable: str
    spelled: str
    elsewhere: bool = False


def shard_count(asked: Asked, hardware: Hardware) -> int:
    """Return the tensor-parallel size that NUM_SHARD gives."""
    shards = asked.settings.num_shard
    return hardware.count if shards == "max" else shards


def parallel_sizes(asked: Asked, hardware: Hardware) -> ParallelSizes:
    """Return the parallel sizes: ARG's, else NUM_SHARD's.

    Raises:
        SettingError: ARG gives one of the sizes less than 1.
    """
    given = asked.arguments.given
    sizes: dict[str, int] = {}
    spelled: list[str] = []
    variables: list[str] = []
    if TENSOR_PARALLEL not in given and "num_shard" in asked.settings.model_fields_set:
        sizes[TENSOR_PARALLEL] = shard_count(asked, hardware)
        spelled.append(f"NUM_SHARD={asked.settings.num_shard}")
        variables.append("NUM_SHARD")
    for option in (TENSOR_PARALLEL, *OTHER_PARALLEL):
        value = given[option].value if option in given else None
        if value is None:
            continue
        if int(value) < 1:
            raise given[option].source.error(
                f"{option} {value} must be at least 1.",
                hint="Set NUM_SHARD." if option == TENSOR_PARALLEL else "Remove it for 1.",
            )
        sizes[option] = int(value)
        spelled.append(given[option].source.owned(f"{option} {value}"))
        variables.append(given[option].source.variable)
    return ParallelSizes(
        shards=sizes.get(TENSOR_PARALLEL, 1),
        ranks=math.prod(sizes.values()),
        variable=variables[0] if variables else "NUM_SHARD",
        spelled=" with ".join(spelled),
        elsewhere=any(option in given for option in OTHER_MACHINES),
    )


def check_parallel(sizes: ParallelSizes, config: Mapping[str, Any], hardware: Hardware) -> None:
    """Check that the model divides into the shards, and that each rank has a device.

    Raises:
        SettingError: It does not; the error lists the sizes that fit.
    """
    room = rank_limit(hardware)
    others = sizes.ranks // sizes.shards
    fit = fitting_sizes(config, room // others)
    option = "NUM_SHARD" if sizes.variable == "NUM_SHARD" else TENSOR_PARALLEL
    advice = f"Set {option} to {_either(fit)}" if fit else "Lower the parallel sizes in ARG"
    if sizes.ranks > room:
        ranks = f"{sizes.ranks} rank{'s' if sizes.ranks > 1 else ''}"
        what = f"{ranks} in total" if sizes.ranks != sizes.shards else ranks
        available, more = devices_text(hardware.kind, hardware.count), "devices"
        if hardware.kind == "cpu":
            available = f"{room} processor{'' if room == 1 else 's'} for this process"
            more = "processors"
        raise SettingError(
            f"{sizes.spelled} needs {what}, but this machine has {available}.",
            variable=sizes.variable,
            hint=f"{advice}, or give the container more {more}.",
        )
    if sizes.shards not in fitting_sizes(config, sizes.shards):
        heads, kv_heads = attention_heads(config) or (0, 0)
        of_cache = f" and {kv_heads} key-value heads" if kv_heads != heads else ""
        raise SettingError(
            f"{sizes.spelled} is a tensor-parallel size of {sizes.shards}, which does not divide "
            f"the model's {heads} attention heads{of_cache}.",
            variable=sizes.variable,
            hint=f"{advice}.",
        )


def rank_limit(hardware: Hardware) -> int:
    """Return how many ranks fit: one per device; on a CPU, one per processor of this process."""
    return len(hardware.cpus) if hardware.kind == "cpu" else hardware.count


def attention_heads(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return a model's attention heads and key-value heads, None if the config has neither."""
    text = text_config(config)
    try:
        heads = int(text["num_attention_heads"])
        return heads, int(text.get("num_key_value_heads") or heads)
    except (KeyError, TypeError, ValueError):
        return None


def fitting_sizes(config: Mapping[str, Any], most: int) -> tuple[int, ...]:
    """Return the tensor-parallel sizes up to ``most`` that divide a model.

    Each rank gets the same number of attention heads. Key-value heads are divided in the same way;
    if there are fewer of them than ranks, each is copied to the same number of ranks. This is the
    rule of vLLM's models (``LlamaAttention`` in vllm/model_executor/models/llama.py).
    """
    known = attention_heads(config)
    sizes = range(1, most + 1)
    if known is None:
        return tuple(sizes)
    heads, cached = known
    return tuple(
        size for size in sizes if heads % size == 0 and max(size, cached) % min(size, cached) == 0
    )


def _either(sizes: tuple[int, ...]) -> str:
    words = [str(size) for size in sizes]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
