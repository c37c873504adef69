"""The defaults with which vLLM's CPU engine starts on any machine."""

from __future__ import annotations

from entrypoint.defaults.defaults import Defaults
from entrypoint.hardware.hardware import Hardware
from entrypoint.settings import Settings
from entrypoint.sizing import sequence_bytes
from entrypoint.store.model import Model

GIB = 1 << 30
CACHED_SEQUENCES = 16
"""Sequences of full length that the CPU engine's key-value cache holds, memory permitting."""


def cpu_defaults(settings: Settings, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the size of the key-value cache, and the cores of each rank."""
    environment = {}
    if hardware.memory_bytes is not None:
        # the weights count twice, as they are read and then repacked; half of the rest is the most
        space = (hardware.memory_bytes - 2 * model.bytes) // 2
        # vLLM fills the whole cache at its start, which takes seconds a gigabyte
        sequence = sequence_bytes(model.config)
        if sequence is not None:
            space = min(space, CACHED_SEQUENCES * sequence)
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, -(-space // (ranks * GIB))))
    if ranks > hardware.count:
        # with more ranks than NUMA nodes vLLM refuses to choose their cores by itself
        environment["VLLM_CPU_OMP_THREADS_BIND"] = thread_binding(hardware.cpus, ranks)
    return Defaults(environment=environment)


def thread_binding(cpus: tuple[int, ...], ranks: int) -> str:
    """Return VLLM_CPU_OMP_THREADS_BIND: an equal share of cores a rank, ``0,1|2,3``."""
    share = len(cpus) // ranks
    if share == 0:
        return "nobind"
    parts = (cpus[rank * share : (rank + 1) * share] for rank in range(ranks))
    return "|".join(",".join(map(str, part)) for part in parts)
