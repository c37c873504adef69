"""The defaults with which vLLM's CPU engine starts on any machine, and runs well on this one."""

from __future__ import annotations

from entrypoint.errors import MachineError
from entrypoint.hardware.hardware import Hardware, Processor
from entrypoint.note import Note
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.planning.sizing import element_bytes, sequence_bytes, stored_dtype
from entrypoint.settings import Settings
from entrypoint.store.model import Model
from entrypoint.units import human_bytes

GIB = 1 << 30
CACHED_SEQUENCES = 16
"""Sequences of full length that the CPU engine's key-value cache holds, memory permitting."""

BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
"""What an x86 processor needs to compute in bfloat16 without converting each number."""

SPIN_MILLISECONDS = "5"
"""How long a thread that has nothing to do spins before it sleeps; vLLM's own choice where it
binds threads, and wasted time of a quota beyond that."""

PRIMITIVES = "256"
"""Compiled matrix products that oneDNN keeps, one for each number of tokens in a step and shape of
weights. Of its own 1024 each takes a quarter of a megabyte, so that an engine grew for hours; 256
are those of fifty different steps."""

FEW_CORES = 4
"""Up to so many, the core that vLLM leaves to its scheduler, which mostly sleeps, is missed: with
two, an engine that may use both was half as fast again (benchmarks/cpu.py, ``threads``)."""


def cpu_defaults(settings: Settings, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the type to compute in, the key-value cache's size, threads, and what to preload.

    Raises:
        MachineError: The weights are larger than all the memory that there can be.
    """
    processor = hardware.processor
    _check_memory(settings, model, processor)
    notes: list[Note] = []
    options: dict[str, str | None] = {}
    dtype = settings.dtype or "auto"
    if settings.dtype is None and _computes_faster_in_float32(model, processor):
        if _fits(model, "float32", hardware.memory_bytes, ranks):
            options["--dtype"] = dtype = "float32"
        else:
            notes.append(_no_room_for_float32(model, hardware))
    environment = _preload(settings, hardware) | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": PRIMITIVES}
    if hardware.memory_bytes is not None:
        space = _cache_bytes(model, dtype, hardware.memory_bytes)
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, -(-space // (ranks * GIB))))
    environment |= _threads(hardware, ranks)
    return Defaults(options, environment, tuple(notes))


def loaded_bytes(model: Model, dtype: str) -> int:
    """Return the bytes of a model's weights in memory.

    Args:
        model: The model.
        dtype: What it is loaded as. ``auto`` is the stored type, and a half of it where that is
            float32, as vLLM does. Quantized weights stay what they are.
    """
    stored = model.weight_bytes or model.bytes
    if "quantization_config" in model.config:
        return stored
    size = element_bytes(stored_dtype(model.config))
    wanted = 2 if dtype == "auto" else element_bytes(dtype)
    return stored * wanted // size


def thread_binding(cpus: tuple[int, ...], ranks: int) -> str:
    """Return VLLM_CPU_OMP_THREADS_BIND: an equal share of processors a rank, ``0,1|2,3``."""
    share = len(cpus) // ranks
    parts = (cpus[rank * share : (rank + 1) * share] for rank in range(ranks))
    return "|".join(",".join(map(str, part)) for part in parts)


def _computes_faster_in_float32(model: Model, processor: Processor) -> bool:
    x86 = "sse2" in processor.flags
    return x86 and not BFLOAT16 & processor.flags and "quantization_config" not in model.config


def _fits(model: Model, dtype: str, memory: int | None, ranks: int) -> bool:
    # the weights count twice, as they are read and then repacked
    return memory is None or 2 * loaded_bytes(model, dtype) + ranks * GIB <= memory


def _cache_bytes(model: Model, dtype: str, memory: int) -> int:
    """Return the bytes for the keys and values of all ranks."""
    # half of what the weights leave is the most
    space = (memory - 2 * loaded_bytes(model, dtype)) // 2
    # vLLM fills the whole cache at its start, which takes seconds a gigabyte
    sequence = sequence_bytes(model.config, None if dtype == "auto" else dtype)
    return space if sequence is None else min(space, CACHED_SEQUENCES * sequence)


def _threads(hardware: Hardware, ranks: int) -> dict[str, str]:
    """Return how many threads there are and what they run on.

    vLLM binds a thread to each processor that the process may run on. Under a quota those are the
    whole machine's: the threads would use up a period's time together and then stand still, and
    every such container would bind its threads to the same processors.
    """
    quota = hardware.processor.quota
    if quota is not None and quota < len(hardware.cpus):
        threads = {
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(max(1, int(quota) // ranks)),
        }
        if "openmp" in hardware.preload:
            threads["KMP_BLOCKTIME"] = SPIN_MILLISECONDS
        return threads
    if ranks > hardware.count:
        # with more ranks than NUMA nodes vLLM refuses to choose their processors by itself
        return {"VLLM_CPU_OMP_THREADS_BIND": thread_binding(hardware.cpus, ranks)}
    cores = hardware.processor.cores
    if 1 < len(cores) <= FEW_CORES and hardware.count == 1:
        return {"VLLM_CPU_OMP_THREADS_BIND": thread_binding(cores, 1)}
    return {}


def _preload(settings: Settings, hardware: Hardware) -> dict[str, str]:
    """Return LD_PRELOAD: the user's libraries first, then ours that are not among them."""
    mine = settings.library_environment.get("LD_PRELOAD", "")
    theirs = [path for path in hardware.preload.values() if path.rpartition("/")[2] not in mine]
    if "omp" in mine:  # a second OpenMP in one process ends it
        theirs = [path for path in theirs if "omp" not in path.rpartition("/")[2]]
    return {"LD_PRELOAD": ":".join([*filter(None, [mine]), *theirs])} if theirs else {}


def _check_memory(settings: Settings, model: Model, processor: Processor) -> None:
    limit = processor.memory_limit
    # in whatever type they end up: the least that they can take
    needed = loaded_bytes(model, settings.dtype or "auto")
    if limit is None or not model.weight_bytes or needed <= limit:
        return
    whose = "this container may use" if processor.memory_limited else "this machine has"
    raise MachineError(
        f"The model's weights take {human_bytes(needed)} of memory, and {whose} "
        f"{human_bytes(limit)}.",
        hint="Raise it (docker: --memory; Kubernetes: resources.limits.memory), or serve a smaller "
        "or quantized model.",
    )


def _no_room_for_float32(model: Model, hardware: Hardware) -> Note:
    needed, memory = loaded_bytes(model, "float32"), hardware.memory_bytes or 0
    return Note(
        "warning",
        "DTYPE",
        "This processor computes bfloat16 slowly, and float32, otherwise the default on it, would "
        f"not fit: the weights take twice {human_bytes(needed)} while they are loaded, and there "
        f"is {human_bytes(memory)}. More memory: docker: --memory; Kubernetes: "
        "resources.limits.memory.",
    )
