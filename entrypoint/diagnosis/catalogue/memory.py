"""Too little device memory or main memory."""

from entrypoint.diagnosis.catalogue.failure import SPAN, ExitCode, Failure, Rule

_LESS_DEVICE_MEMORY = (
    "Use less memory: a shorter context (ARG=--max-model-len), fewer concurrent requests "
    "(ARG=--max-num-seqs), or smaller weights (DTYPE=bfloat16 or a quantized model). Lower "
    "ARG=--gpu-memory-utilization (default: 0.9) to leave room for what vLLM does not count, or "
    "split the model over more devices with NUM_SHARD."
)
_MORE_CACHE = (
    "leave more memory for the cache: raise ARG=--gpu-memory-utilization (on CPU, "
    "VLLM_CPU_KVCACHE_SPACE in GiB), lower ARG=--max-num-seqs, use a quantized model, or split the "
    "model over more devices with NUM_SHARD."
)
_MORE_MEMORY = (
    "Give the container more memory (docker: --memory; Kubernetes: resources.limits.memory), or "
    "use less: a smaller KV cache in main memory (VLLM_CPU_KVCACHE_SPACE), a shorter "
    "context (ARG=--max-model-len), or smaller weights (DTYPE=bfloat16 or a quantized model)."
)
_SHORTER = "Set ARG='--max-model-len {fits}' or less, or " + _MORE_CACHE

CONTEXT = Failure(
    kind="context-longer-than-cache",
    exit_code=ExitCode.SETTING,
    summary="The KV cache is too small for one request of the maximum length.",
    cause="the KV cache is too small for one request of the maximum length",
    hint="Lower ARG=--max-model-len, or " + _MORE_CACHE,
    rules=(
        Rule(
            r"max seq len\s*\((?P<length>\d+)\),?\s*\(?(?P<needed>[\d.]+) GiB KV\s+cache is needed"
            r"[\s\S]{0,120}?memory\s+\((?P<available>[\d.]+) GiB\)"
            r"[\s\S]{0,200}?estimated maximum model length is (?P<fits>\d+)",
            cause="a context of {length} tokens needs {needed} GiB of KV cache, and "
            "{available} GiB is available, enough for {fits} tokens",
            hint=_SHORTER,
        ),
        Rule(
            r"max seq len\s*\((?P<length>\d+)\),?\s*\(?(?P<needed>[\d.]+) GiB KV\s+cache is needed"
            r"[\s\S]{0,120}?memory\s+\((?P<available>[\d.]+) GiB\)",
            cause="a context of {length} tokens needs {needed} GiB of KV cache, and "
            "{available} GiB is available",
        ),
        Rule(
            r"max seq len \((?P<length>\d+)\) is larger than the maximum number of tokens that can "
            r"be stored in (?:the )?KV cache \((?P<fits>\d+)\)",
            cause="the context is {length} tokens long, and the KV cache holds {fits}",
            hint=_SHORTER,
        ),
        Rule(r"larger than the available KV cache memory"),
        Rule(r"To serve at least one request with the models?'s max seq len"),
    ),
)
NO_CACHE = Failure(
    kind="no-memory-for-cache",
    exit_code=ExitCode.MACHINE,
    summary="No memory is left for the KV cache after the weights are loaded.",
    cause="no memory was left for the KV cache after the weights were loaded",
    hint=_MORE_CACHE[0].upper() + _MORE_CACHE[1:],
    rules=(
        Rule(r"No available memory for the cache blocks"),
        Rule(r"requested memory for kv \(-"),  # the weights take more than the share of vLLM
        Rule(r"not enough (?:GPU )?memory available to serve even a single token"),
        Rule(r"(?:num_gpu_blocks|number of GPU blocks)" + SPAN + r"(?:must be|is) (?:> ?0|zero|0)"),
        Rule(r"Initial free memory" + SPAN + r"KV cache" + SPAN + "negative"),
    ),
)
DEVICE_TAKEN = Failure(
    kind="device-memory-taken",
    exit_code=ExitCode.MACHINE,
    summary="Less device memory is free at startup than --gpu-memory-utilization requires.",
    cause="less device memory is free than --gpu-memory-utilization requires",
    hint="Stop the other programs that use the device (nvidia-smi, rocm-smi and hl-smi list "
    "them), or lower ARG=--gpu-memory-utilization.",
    rules=(
        Rule(
            r"Free memory on device (?P<device>\S{0,20} ?)\((?P<free>[\d.]+)/(?P<total>[\d.]+) "
            r"GiB\)"
            r"\s+on\s+startup\s+is\s+less\s+than\s+desired\s+GPU\s+memory\s+utilization\s+"
            r"\((?P<share>[\d.]+), (?P<requested>[\d.]+)",
            cause="the device has {free} GiB of {total} GiB of memory free, and vLLM requires "
            "{requested} GiB (--gpu-memory-utilization {share})",
        ),
        Rule(r"Free memory on device" + SPAN + r"less than (?:desired|the engine's budget)"),
        Rule(
            r"Available memory on node (?P<node>\S+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on "
            r"startup is less than desired CPU memory utilization \((?P<share>[\d.]+), "
            r"(?P<requested>[\d.]+)",
            cause="NUMA node {node} has {free} GiB of {total} GiB of memory free, and vLLM "
            "requires {requested} GiB (--gpu-memory-utilization {share})",
            hint="Set VLLM_CPU_KVCACHE_SPACE to the size of the KV cache in GiB, lower "
            "ARG=--gpu-memory-utilization (on CPU, the share of main memory), or stop other "
            "programs that use the memory.",
        ),
        Rule(
            r"Available memory on node (?P<node>\S+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on "
            r"kv cache allocation is less than (?!requested memory for kv \(-)",
            cause="NUMA node {node} has {free} GiB of {total} GiB of memory free, which is less "
            "than the size of the KV cache",
            hint="Set VLLM_CPU_KVCACHE_SPACE to less than the free memory in GiB, or remove it.",
        ),
        Rule(r"Externally held weights on device" + SPAN + "exceed"),
        Rule(r"Error in memory profiling[\s\S]{0,20}?Initial free memory"),
    ),
)
DEVICE = Failure(
    kind="device-out-of-memory",
    exit_code=ExitCode.MACHINE,
    summary="The accelerator ran out of memory.",
    cause="the accelerator ran out of memory",
    hint=_LESS_DEVICE_MEMORY,
    rules=(
        Rule(
            r"(?:CUDA|HIP|HPU|XPU) out of memory\.? Tried to allocate (?P<requested>[\d.]+ "
            r"[KMGT]iB)\.? "
            r"(?:\(?)GPU (?P<device>\d+)[\s\S]{0,10}? has a total capac\w+ of (?P<total>[\d.]+ \w+)"
            r" of which (?P<free>[\d.]+ \w+) is free",
            cause="device {device} ran out of memory: it has {free} of {total} free, and the "
            "engine tried to allocate {requested}",
        ),
        Rule(
            r"out of memory\.? Tried to allocate (?P<requested>[\d.]+ [KMGT]i?B)",
            cause="the accelerator ran out of memory when the engine tried to allocate {requested}",
        ),
        Rule(r"(?:CUDA|HIP|cudaMalloc|hipMalloc|NCCL)" + SPAN + r"\bout of memory"),
        Rule(r"cudaErrorMemoryAllocation|hipErrorOutOfMemory|CUDA_ERROR_OUT_OF_MEMORY"),
        Rule(r"torch\.(?:cuda\.)?OutOfMemoryError"),
        Rule(r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"),
        Rule(r"synStatus\w*[= ]{1,3}\w*OUT_OF_(?:DEVICE_)?MEMORY|synDeviceOutOfMemory"),
        Rule(
            r"Allocation failed for size\s*::?\s*(?P<requested>\d+)",
            within=r"habana|hpu",
            cause="the accelerator ran out of memory when the engine tried to allocate {requested} "
            "bytes",
        ),
        Rule(r"(?:habana|hpu|synapse|device)" + SPAN + r"(?:allocation failed|failed to allocate)"),
        Rule(r"UR_RESULT_ERROR_OUT_OF_(?:DEVICE|RESOURCES)|ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"),
        Rule(r"CUDA out of memory occurred when warming up sampler"),
        Rule(r"Ran out of memory in memory space (?:hbm|vmem)|RESOURCE_EXHAUSTED: "),
        # Ascend's runtime
        Rule(r"error code(?: is)?:? ?2070(?:01|18)\b"),
    ),
)
HOST = Failure(
    kind="host-out-of-memory",
    exit_code=ExitCode.MACHINE,
    summary="The engine could not allocate main memory: the container's or the process's limit is "
    "reached, or the machine ran out of memory.",
    cause="the engine could not allocate main memory",
    hint=_MORE_MEMORY,
    rules=(
        Rule(
            r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory): you tried to "
            r"allocate (?P<requested>\d+) bytes",
            cause="the engine could not allocate {requested} bytes of main memory",
        ),
        Rule(r"DefaultCPUAllocator: (?:can't allocate|not enough) memory"),
        Rule(r"\[?Errno 12\]? ?:?\(?\s*Cannot allocate memory|error code: 12|ENOMEM"),
        Rule(r"Cannot allocate memory"),
        Rule(r"std::bad_alloc"),
        Rule(r"^MemoryError\b"),
        Rule(
            r"Unable to allocate (?P<requested>[\d.]+ [KMGT]iB) for an array",
            cause="the engine could not allocate {requested} of main memory",
        ),
        Rule(r"unable to mmap \d+ bytes from file" + SPAN + "memory"),
        Rule(r"Too large swap space|swap space" + SPAN + "larger than"),
        Rule(r"cudaErrorHostMemory|hostAlloc" + SPAN + "out of memory"),
        Rule(r"node running low on memory|ray\.exceptions\.OutOfMemoryError"),
        Rule(
            r"(?:Memory|KV cache) space" + SPAN + r"exceeds? " + SPAN + "memory",
            hint="Set VLLM_CPU_KVCACHE_SPACE to less than this machine's free memory in GiB.",
        ),
    ),
)
LIMIT = Failure(
    kind="memory-limit",
    exit_code=ExitCode.MACHINE,
    summary="The kernel killed one of the engine's processes, because the container's memory "
    "limit was reached or the machine ran out of memory.",
    cause="the kernel killed one of its processes, because it ran out of memory",
    hint=_MORE_MEMORY,
)

FAILURES = (CONTEXT, NO_CACHE, DEVICE_TAKEN, DEVICE)
LAST = (HOST, LIMIT)
"""Kinds that count only if no other kind states what needed the memory."""
