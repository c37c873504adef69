"""How many ranks a model can be cut into, and how many this machine has room for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Hardware
from entrypoint.hardware.kinds import counted
from entrypoint.planning.sizing import text_config


class Cut(NamedTuple):
    """What was asked for.

    Attributes:
        shards: The tensor-parallel size.
        ranks: All ranks on this machine, those of other parallel sizes included.
        variable: The variable that gave the size.
        spelled: As the user wrote it: ``NUM_SHARD=3``.
    """

    shards: int
    ranks: int
    variable: str
    spelled: str


def check_cut(cut: Cut, config: Mapping[str, Any], hardware: Hardware) -> None:
    """Check that the model divides, and that there is a place for each rank.

    Raises:
        SettingError: Not so; it names the sizes that do fit.
    """
    room = rank_limit(hardware)
    others = cut.ranks // cut.shards
    fit = fitting_sizes(config, room // others)
    option = "NUM_SHARD" if cut.variable == "NUM_SHARD" else "--tensor-parallel-size"
    advice = f"Set {option} to {_either(fit)}" if fit else "Lower the parallel sizes in ARG"
    if cut.ranks > room:
        what = f"{cut.ranks} ranks in all" if cut.ranks != cut.shards else f"{cut.shards} ranks"
        have = counted(hardware.kind, hardware.count)
        if hardware.kind == "cpu":
            have = f"{room} processor{'' if room == 1 else 's'} that this process may run on"
        raise SettingError(
            f"{cut.spelled} makes {what}, and there {'is' if room == 1 else 'are'} {have}.",
            variable=cut.variable,
            hint=f"{advice}, or give the container more.",
        )
    if cut.shards not in fitting_sizes(config, cut.shards):
        heads, cached = attention_heads(config) or (0, 0)
        of_cache = f" ({cached} of them for keys and values)" if cached != heads else ""
        raise SettingError(
            f"{cut.spelled} is a tensor-parallel size of {cut.shards}, which does not divide the "
            f"model's {heads} attention heads{of_cache}.",
            variable=cut.variable,
            hint=f"{advice}.",
        )


def rank_limit(hardware: Hardware) -> int:
    """Return the most ranks: devices; on the CPU, processors that this process may run on."""
    return len(hardware.cpus) if hardware.kind == "cpu" else hardware.count


def attention_heads(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return a model's attention heads and its key-value heads, None where it does not say."""
    text = text_config(config)
    try:
        heads = int(text["num_attention_heads"])
        return heads, int(text.get("num_key_value_heads") or heads)
    except (KeyError, TypeError, ValueError):
        return None


def fitting_sizes(config: Mapping[str, Any], most: int) -> tuple[int, ...]:
    """Return the tensor-parallel sizes up to ``most`` that a model can be cut into.

    Each rank gets as many attention heads as the others. Key-value heads are dealt out likewise,
    or, where there are fewer of them than ranks, each is copied as often as the others: the rule
    of vLLM's models (``LlamaAttention`` in vllm/model_executor/models/llama.py).
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
