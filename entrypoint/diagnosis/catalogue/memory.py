"""Memory of devices and of the machine that was not enough."""

from entrypoint.diagnosis.catalogue.failure import SPAN, ExitCode, Failure, Sign

LESS_OF_THE_DEVICE = (
    "Have it take less: ARG=--max-model-len for a shorter context, ARG=--max-num-seqs for fewer "
    "requests at a time, DTYPE=bfloat16 or a quantized model for smaller weights, "
    "ARG=--gpu-memory-utilization (0.9 unless set) lower for what vLLM does not count; or spread "
    "the model over more devices with NUM_SHARD."
)
MORE_FOR_THE_CACHE = (
    "Leave more memory for the cache: ARG=--gpu-memory-utilization nearer to 1 on a device "
    "(VLLM_CPU_KVCACHE_SPACE in GiB on CPU), a smaller ARG=--max-num-seqs, a quantized model, or "
    "more devices with NUM_SHARD."
)
MORE_MEMORY = (
    "Give it more (docker: --memory; Kubernetes: resources.limits.memory), or have it take less: "
    "VLLM_CPU_KVCACHE_SPACE for the key-value cache in main memory, ARG=--max-model-len for the "
    "context, DTYPE=bfloat16 or a quantized model for the weights."
)
_SHORTER = "Set ARG='--max-model-len {fits}' or less. Or: " + MORE_FOR_THE_CACHE

CONTEXT = Failure(
    kind="context-longer-than-cache",
    exit_code=ExitCode.SETTING,
    shown="The key-value cache cannot hold one request of the greatest length.",
    cause="the context is longer than what the key-value cache can hold",
    repair="Set a smaller ARG=--max-model-len. Or: " + MORE_FOR_THE_CACHE,
    signs=(
        Sign(
            r"max seq len\s*\((?P<length>\d+)\),?\s*\(?(?P<needed>[\d.]+) GiB KV\s+cache is needed"
            r"[\s\S]{0,120}?memory\s+\((?P<available>[\d.]+) GiB\)"
            r"[\s\S]{0,200}?estimated maximum model length is (?P<fits>\d+)",
            cause="a context of {length} tokens needs {needed} GiB of key-value cache, and "
            "{available} GiB are there, enough for {fits} tokens",
            repair=_SHORTER,
        ),
        Sign(
            r"max seq len\s*\((?P<length>\d+)\),?\s*\(?(?P<needed>[\d.]+) GiB KV\s+cache is needed"
            r"[\s\S]{0,120}?memory\s+\((?P<available>[\d.]+) GiB\)",
            cause="a context of {length} tokens needs {needed} GiB of key-value cache, and "
            "{available} GiB are there",
        ),
        Sign(
            r"max seq len \((?P<length>\d+)\) is larger than the maximum number of tokens that can "
            r"be stored in (?:the )?KV cache \((?P<fits>\d+)\)",
            cause="the context is {length} tokens long, and the key-value cache holds {fits}",
            repair=_SHORTER,
        ),
        Sign(r"larger than the available KV cache memory"),
        Sign(r"To serve at least one request with the models?'s max seq len"),
    ),
)
NO_CACHE = Failure(
    kind="no-memory-for-cache",
    exit_code=ExitCode.MACHINE,
    shown="Once the weights are loaded, no memory is left for the key-value cache.",
    cause="once the weights were loaded, no memory was left for the key-value cache",
    repair=MORE_FOR_THE_CACHE,
    signs=(
        Sign(r"No available memory for the cache blocks"),
        Sign(r"not enough (?:GPU )?memory available to serve even a single token"),
        Sign(r"(?:num_gpu_blocks|number of GPU blocks)" + SPAN + r"(?:must be|is) (?:> ?0|zero|0)"),
        Sign(r"Initial free memory" + SPAN + r"KV cache" + SPAN + "negative"),
    ),
)
DEVICE_TAKEN = Failure(
    kind="device-memory-taken",
    exit_code=ExitCode.MACHINE,
    shown="Less device memory is free at the start than --gpu-memory-utilization asks for.",
    cause="less memory is free on the device than vLLM is told to use",
    repair="End what else uses the device (nvidia-smi, rocm-smi and hl-smi list it), or set a "
    "smaller ARG=--gpu-memory-utilization.",
    signs=(
        Sign(
            r"Free memory on device (?P<device>\S{0,20} ?)\((?P<free>[\d.]+)/(?P<total>[\d.]+) "
            r"GiB\)"
            r"\s+on\s+startup\s+is\s+less\s+than\s+desired\s+GPU\s+memory\s+utilization\s+"
            r"\((?P<share>[\d.]+), (?P<wanted>[\d.]+)",
            cause="of the device's {total} GiB of memory {free} GiB are free, and vLLM is told to "
            "use {wanted} GiB, a share of {share}",
        ),
        Sign(r"Free memory on device" + SPAN + r"less than (?:desired|the engine's budget)"),
        Sign(
            r"Available memory on node (?P<node>\S+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on "
            r"startup is less than desired CPU memory utilization \((?P<share>[\d.]+), "
            r"(?P<wanted>[\d.]+)",
            cause="of memory node {node}, with {total} GiB, {free} GiB are free, and vLLM is told "
            "to use {wanted} GiB, a share of {share}",
            repair="Set VLLM_CPU_KVCACHE_SPACE to the GiB of main memory that the key-value cache "
            "may take, or a smaller ARG=--gpu-memory-utilization (on CPU it is the share of main "
            "memory), or end what else uses the memory.",
        ),
        Sign(
            r"Available memory on node (?P<node>\S+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on "
            r"kv cache allocation is less than",
            cause="of memory node {node}, with {total} GiB, {free} GiB are free, less than the "
            "key-value cache is told to take",
            repair="Set VLLM_CPU_KVCACHE_SPACE to fewer GiB than are free, or leave it out.",
        ),
        Sign(r"Externally held weights on device" + SPAN + "exceed"),
        Sign(r"Error in memory profiling[\s\S]{0,20}?Initial free memory"),
    ),
)
DEVICE = Failure(
    kind="device-out-of-memory",
    exit_code=ExitCode.MACHINE,
    shown="The accelerator has no memory left: for the weights, while it warms up, or later.",
    cause="the accelerator's memory was used up",
    repair=LESS_OF_THE_DEVICE,
    signs=(
        Sign(
            r"(?:CUDA|HIP|HPU|XPU) out of memory\.? Tried to allocate (?P<wanted>[\d.]+ "
            r"[KMGT]iB)\.? "
            r"(?:\(?)GPU (?P<device>\d+)[\s\S]{0,10}? has a total capac\w+ of (?P<total>[\d.]+ \w+)"
            r" of which (?P<free>[\d.]+ \w+) is free",
            cause="device {device} has {total} of memory, {free} of it free, and {wanted} more "
            "were asked for",
        ),
        Sign(
            r"out of memory\.? Tried to allocate (?P<wanted>[\d.]+ [KMGT]i?B)",
            cause="the accelerator's memory was used up when {wanted} more were asked for",
        ),
        Sign(r"(?:CUDA|HIP|cudaMalloc|hipMalloc|NCCL)" + SPAN + r"\bout of memory"),
        Sign(r"cudaErrorMemoryAllocation|hipErrorOutOfMemory|CUDA_ERROR_OUT_OF_MEMORY"),
        Sign(r"torch\.(?:cuda\.)?OutOfMemoryError"),
        Sign(r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"),
        Sign(r"synStatus\w*[= ]{1,3}\w*OUT_OF_(?:DEVICE_)?MEMORY|synDeviceOutOfMemory"),
        Sign(
            r"Allocation failed for size\s*::?\s*(?P<wanted>\d+)",
            within=r"habana|hpu",
            cause="the accelerator's memory was used up when {wanted} more bytes were asked for",
        ),
        Sign(r"(?:habana|hpu|synapse|device)" + SPAN + r"(?:allocation failed|failed to allocate)"),
        Sign(r"UR_RESULT_ERROR_OUT_OF_(?:DEVICE|RESOURCES)|ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"),
        Sign(r"CUDA out of memory occurred when warming up sampler"),
        Sign(r"Ran out of memory in memory space (?:hbm|vmem)|RESOURCE_EXHAUSTED: "),
        # what Ascend's runtime says of its memory
        Sign(r"error code(?: is)?:? ?2070(?:01|18)\b"),
    ),
)
HOST = Failure(
    kind="host-out-of-memory",
    exit_code=ExitCode.MACHINE,
    shown="Main memory was refused: a limit of the container or of the process, or all is used.",
    cause="main memory was refused",
    repair=MORE_MEMORY,
    signs=(
        Sign(
            r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory): you tried to "
            r"allocate (?P<wanted>\d+) bytes",
            cause="main memory was refused when {wanted} bytes more were asked for",
        ),
        Sign(r"DefaultCPUAllocator: (?:can't allocate|not enough) memory"),
        Sign(r"\[?Errno 12\]? ?:?\(?\s*Cannot allocate memory|error code: 12|ENOMEM"),
        Sign(r"Cannot allocate memory"),
        Sign(r"std::bad_alloc"),
        Sign(r"^MemoryError\b"),
        Sign(
            r"Unable to allocate (?P<wanted>[\d.]+ [KMGT]iB) for an array",
            cause="main memory was refused when {wanted} more were asked for",
        ),
        Sign(r"unable to mmap \d+ bytes from file" + SPAN + "memory"),
        Sign(r"Too large swap space|swap space" + SPAN + "larger than"),
        Sign(r"cudaErrorHostMemory|hostAlloc" + SPAN + "out of memory"),
        Sign(r"node running low on memory|ray\.exceptions\.OutOfMemoryError"),
        Sign(
            r"(?:Memory|KV cache) space" + SPAN + r"exceeds? " + SPAN + "memory",
            repair="Set VLLM_CPU_KVCACHE_SPACE to fewer GiB than this machine has free.",
        ),
    ),
)
LIMIT = Failure(
    kind="memory-limit",
    exit_code=ExitCode.MACHINE,
    shown="The kernel killed a process of the engine for memory: the container's limit, or all of "
    "the machine's memory is used.",
    cause="the kernel killed one of its processes for memory",
    repair=MORE_MEMORY,
)

FAILURES = (CONTEXT, NO_CACHE, DEVICE_TAKEN, DEVICE)
LAST = (HOST, LIMIT)
"""Those that count only if no other kind says what the memory was wanted for."""
