"""The defaults with which vLLM's CPU engine starts on any machine, and runs well on this one."""

from __future__ import annotations

from entrypoint.errors import MachineError
from entrypoint.hardware.hardware import Hardware, Processor
from entrypoint.note import Note
from entrypoint.planning.asked import Asked
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.planning.sizing import element_bytes, sequence_bytes, stored_dtype
from entrypoint.store.model import Model
from entrypoint.units import human_bytes

GIB = 1 << 30
CACHED_SEQUENCES = 16
"""Sequences of full length that the CPU engine's KV cache holds, memory permitting."""

BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
"""CPU flags of x86 processors that compute in bfloat16 without converting each number."""

SPIN_MILLISECONDS = "5"
"""How long an idle thread spins before it sleeps. vLLM's own value when it binds threads; under a
quota, longer spinning only wastes the quota."""

PRIMITIVES = "256"
"""Compiled matrix products that oneDNN caches, one per number of tokens in a step and weight shape.
With its default of 1024, at a quarter of a megabyte each, an engine grew for hours; 256 cover
fifty different steps."""

FEW_CORES = 4
"""Up to this number of cores, the engine uses all of them. vLLM reserves one for its scheduler,
which mostly sleeps: on two cores, an engine that used both was half as fast again
(benchmarks/cpu.py, ``threads``)."""


def cpu_defaults(asked: Asked, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the dtype, the KV cache's size, the threads, and the libraries to preload.

    Raises:
        MachineError: The weights are larger than the memory limit.
    """
    processor = hardware.processor
    _check_memory(asked, model, processor)
    notes: list[Note] = []
    options: dict[str, str | None] = {}
    dtype = asked.dtype or "auto"
    if asked.dtype is None and _computes_faster_in_float32(model, processor):
        if _fits(model, "float32", hardware.memory_bytes, ranks):
            options["--dtype"] = dtype = "float32"
        else:
            notes.append(_no_room_for_float32(model, hardware))
    environment = _preload(asked, hardware) | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": PRIMITIVES}
    if hardware.memory_bytes is not None:
        space = _cache_bytes(model, dtype, hardware.memory_bytes)
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, -(-space // (ranks * GIB))))
    environment |= _threads(hardware, ranks)
    return Defaults(options, environment, tuple(notes))


def loaded_bytes(model: Model, dtype: str) -> int:
    """Return the bytes of a model's weights in memory.

    Args:
        model: The model.
        dtype: The dtype in memory. ``auto`` is the stored dtype, or 16 bits if that is float32,
            as in vLLM. Quantized weights keep their size.
    """
    stored = model.weight_bytes or model.bytes
    if "quantization_config" in model.config:
        return stored
    size = element_bytes(stored_dtype(model.config))
    wanted = 2 if dtype == "auto" else element_bytes(dtype)
    return stored * wanted // size


def thread_binding(cpus: tuple[int, ...], ranks: int) -> str:
    """Return VLLM_CPU_OMP_THREADS_BIND: an equal share of processors per rank, ``0,1|2,3``."""
    share = len(cpus) // ranks
    parts = (cpus[rank * share : (rank + 1) * share] for rank in range(ranks))
    return "|".join(",".join(map(str, part)) for part in parts)


def _computes_faster_in_float32(model: Model, processor: Processor) -> bool:
    x86 = "sse2" in processor.flags
    return x86 and not BFLOAT16 & processor.flags and "quantization_config" not in model.config


def _fits(model: Model, dtype: str, memory: int | None, ranks: int) -> bool:
    # the weights count twice: they are read, then repacked
    return memory is None or 2 * loaded_bytes(model, dtype) + ranks * GIB <= memory


def _cache_bytes(model: Model, dtype: str, memory: int) -> int:
    """Return the size of the KV cache of all ranks, in bytes."""
    # at most half of the memory that the weights leave
    space = (memory - 2 * loaded_bytes(model, dtype)) // 2
    # vLLM fills the cache when it starts, which takes seconds per gigabyte
    sequence = sequence_bytes(model.config, None if dtype == "auto" else dtype)
    return space if sequence is None else min(space, CACHED_SEQUENCES * sequence)


def _threads(hardware: Hardware, ranks: int) -> dict[str, str]:
    """Return the number of threads and the processors that they run on.

    vLLM binds a thread to each processor that the process may run on. Under a CPU quota these are
    all processors of the machine: the threads would use up the quota together and then stall, and
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
        # with more ranks than NUMA nodes, vLLM does not choose their processors itself
        return {"VLLM_CPU_OMP_THREADS_BIND": thread_binding(hardware.cpus, ranks)}
    cores = hardware.processor.cores
    if 1 < len(cores) <= FEW_CORES and hardware.count == 1:
        return {"VLLM_CPU_OMP_THREADS_BIND": thread_binding(cores, 1)}
    return {}


def _preload(asked: Asked, hardware: Hardware) -> dict[str, str]:
    """Return LD_PRELOAD: the user's libraries, then those of ours that are not among them."""
    users = asked.settings.library_environment.get("LD_PRELOAD", "")
    ours = [path for path in hardware.preload.values() if path.rpartition("/")[2] not in users]
    if "omp" in users:  # a second OpenMP crashes the process
        ours = [path for path in ours if "omp" not in path.rpartition("/")[2]]
    return {"LD_PRELOAD": ":".join([*filter(None, [users]), *ours])} if ours else {}


def _check_memory(asked: Asked, model: Model, processor: Processor) -> None:
    limit = processor.memory_limit
    # the smallest size that they can have in memory
    needed = loaded_bytes(model, asked.dtype or "auto")
    if limit is None or not model.weight_bytes or needed <= limit:
        return
    whose = "this container's limit is" if processor.memory_limited else "this machine has"
    raise MachineError(
        f"The model's weights need {human_bytes(needed)} of memory, but {whose} "
        f"{human_bytes(limit)}.",
        hint="Raise the limit (docker: --memory; Kubernetes: resources.limits.memory), or serve a "
        "smaller or quantized model.",
    )


def _no_room_for_float32(model: Model, hardware: Hardware) -> Note:
    needed, memory = loaded_bytes(model, "float32"), hardware.memory_bytes or 0
    return Note(
        "warning",
        "DTYPE",
        "The model runs in bfloat16, which is slow on this processor, because float32 does not "
        f"fit: loading the weights needs twice {human_bytes(needed)}, and {human_bytes(memory)} "
        "are available. Give it more memory: docker: --memory; Kubernetes: "
        "resources.limits.memory.",
    )
