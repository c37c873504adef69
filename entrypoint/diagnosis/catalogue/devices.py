"""Accelerators: drivers, missing devices, unsupported features, hardware failures."""

from entrypoint.diagnosis.catalogue.failure import SPAN, ExitCode, Failure, Role, Rule, innermost

FAILURES = (
    Failure(
        kind="driver-too-old",
        exit_code=ExitCode.MACHINE,
        summary="The machine's driver is too old for this image's CUDA or ROCm.",
        cause="the machine's accelerator driver is too old for this image",
        hint="Update the driver on the machine (nvidia-smi shows its version and the newest CUDA "
        "version that it supports), or use an image that is built for an older CUDA.",
        rules=(
            Rule(
                r"driver on your system is too old \(found version (?P<found>\d+)\)",
                cause="the machine's NVIDIA driver is too old for this image: it supports CUDA up "
                "to version {found} (12040 means 12.4)",
            ),
            Rule(r"driver version is insufficient for CUDA runtime version"),
            Rule(r"cudaErrorInsufficientDriver|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
            Rule(r"the provided PTX was compiled with an unsupported toolchain"),
            Rule(r"forward compatibility was attempted on non supported HW"),
            Rule(r"Driver/library version mismatch"),
            Rule(
                r"unsupported display driver / cuda driver combination|"
                r"cudaErrorSystemDriverMismatch",
                cause="the machine's driver and the container's CUDA libraries have different "
                "versions (CUDA error 803)",
                hint="Update the driver on the machine, or use an image that is built for an "
                "older CUDA. If the driver is newer than the image's CUDA, the image's libcuda "
                "hides the driver's: set LD_LIBRARY_PATH to the folder in which the container "
                "runtime mounts the driver's (usually /usr/local/nvidia/lib64).",
            ),
            Rule(r"unsatisfied condition: cuda>=(?P<requested>[\d.]+)"),
        ),
    ),
    Failure(
        kind="no-device",
        exit_code=ExitCode.MACHINE,
        summary="No accelerator is available in this container.",
        cause="no accelerator is available in this container",
        hint="Pass the devices to the container (docker: --gpus all, or --device; Kubernetes: "
        "resources.limits). `inference-server plan` shows which ones it has.",
        rules=(
            Rule(r"No CUDA GPUs are available|No HIP GPUs are available"),
            Rule(r"Device string must not be empty|XPU device count is zero|No XPU devices? "),
            Rule(r"CUDA unknown error - this may be due to an incorrectly set up environment"),
            Rule(r"NVML returned no GPU|amdsmi did not return"),
            Rule(
                r"system not yet initialized|cudaErrorSystemNotReady",
                cause="the devices are not ready, because the fabric manager is not running (CUDA "
                "error 802)",
                hint="Start nvidia-fabricmanager on the machine (check: systemctl status "
                "nvidia-fabricmanager). Its version must be the driver's.",
            ),
            Rule(
                r"TPU (?:initialization failed|is already in use)|libtpu[^\n]{0,80}lockfile|"
                r"Unable to initialize backend 'tpu'"
            ),
            Rule(
                r"\bnrt_init|NRT_(?:INVALID|UNINITIALIZED)|NeuronCores?[^\n]{0,60}(?:in use|avail)"
            ),
            Rule(r"(?:aclInit|(?:acl)?rtSetDevice)\w*[^\n]{0,40}(?:failed|error)|drvRet="),
            Rule(r"no CUDA-capable device is detected|cudaErrorNoDevice|hipErrorNoDevice"),
            Rule(r"Found no NVIDIA driver on your system"),
            Rule(r"Failed to infer device type"),
            Rule(r"NVMLError_\w*(?:NotFound|DriverNotLoaded|LibraryNotFound|Uninitialized)"),
            Rule(
                r"(?:synDevice|synStatus|hpu|habana)"
                + SPAN
                + r"(?:acquire failed|no device|device not found)"
            ),
            Rule(r"libcuda\.so\.1: cannot open shared object file"),
        ),
    ),
    Failure(
        kind="too-few-devices",
        exit_code=ExitCode.MACHINE,
        summary="The launch requires more devices than this machine or pod has.",
        cause="the launch requires more devices than are available",
        hint="Set NUM_SHARD to the number of available devices (NUM_SHARD=max uses all), or give "
        "the container more devices.",
        rules=(
            Rule(
                r"World size \((?P<requested>\d+)\) is larger than the number of\s+available GPUs "
                r"\((?P<here>\d+)\)",
                cause="the launch requires {requested} devices, and {here} are available",
                hint="Set NUM_SHARD={here} or less, or give the container more devices.",
            ),
            Rule(
                r"world_size \((?P<requested>\d+)\) is less than (?:than )?max local gpu count "
                r"\((?P<here>\d+)\)",
                cause="the launch requires {requested} devices, and {here} are available",
                hint="Set NUM_SHARD={here} or less, or give the container more devices.",
            ),
            Rule(r"invalid device ordinal"),
            Rule(r"AssertionError: Invalid device id|Insufficient devices for"),
            Rule(
                r"invalid device=(?P<device>\d+), input visible devices: ?(?P<here>[\d,]*)",
                cause="the launch requires device {device}, and the visible devices are {here}",
            ),
            Rule(r"visible device ordinal \d+ is out of range|is not visible in \w+_VISIBLE"),
            Rule(r"local_rank|local_world_size", within=r"is out of bounds|device_count"),
            Rule(r"(?:DP adjusted )?local rank \d+ is out of bounds"),
            Rule(
                r"tensor parallel size \((?P<requested>\d+)\)"
                + SPAN
                + r"(?:exceeds|greater than|less than)"
                + SPAN
                + r"\((?P<here>\d+)\)",
                cause="the launch requires {requested} devices, and {here} are available",
            ),
            Rule(r"Duplicate GPU detected"),
            Rule(r"number of required (?:GPUs|\w+s) exceeds the total number of available"),
            Rule(r"Current node has no \w+ available|You don't have enough GPUs available"),
            Rule(r"Not enough CPUs? (?:cores )?for|only \d+ (?:NUMA|memory) nodes?"),
            Rule(
                r"(?:Not enough|not have enough|insufficient)" + SPAN + r"(?:allowed )?NUMA nodes",
                cause="on CPU, vLLM binds each shard to a separate NUMA node, and there are fewer "
                "NUMA nodes than shards",
                hint="Set NUM_SHARD=1, or bind the shards yourself, such as "
                "VLLM_CPU_OMP_THREADS_BIND='0-3|4-7'.",
            ),
        ),
    ),
    Failure(
        kind="attention-unsupported",
        exit_code=ExitCode.SETTING,
        summary="No attention backend, or not the selected one, supports this configuration.",
        cause="no attention backend supports this combination of settings, model and device",
        hint="Remove ARG=--attention-backend (VLLM_ATTENTION_BACKEND) and ARG=--kv-cache-dtype, "
        "so that vLLM chooses.",
        rules=(
            Rule(r"No valid (?:\w+ )*(?:attention|prefill) backend"),
            Rule(r"Selected backend \S{1,100} is not valid|(?:Unknown|Invalid) attention backend"),
            Rule(r"attention backend[^\n]{0,120}(?:not supported|unsupported|invalid|not valid)"),
            Rule(
                r"(?P<what>(?:FlashInfer|Flash ?Attention|FlashMLA|FlexAttention|Triton ?MLA|"
                r"Cutlass ?MLA|XFormers|AITER)\b[^\n]{0,120}(?:not support|only supports?|not "
                r"implemented|not available)[^\n]{0,120})",
                cause="the attention backend does not support this configuration: {what}",
            ),
            Rule(r"Head size \d+ is not supported by|does not support head size"),
            Rule(r"(?:\bMLA|attention|attn)\b[^\n]{0,40} only supports? [^\n]{0,60}\bheads?\b"),
            Rule(r"Cannot use [^\n]{0,80}attention|AttentionBackend\w*[^\n]{0,60}not support"),
            Rule(r"kv[-_]cache[-_]dtype \S{1,40} requires the "),
            Rule(
                r"^(?:ValueError|NotImplementedError): (?P<what>[^\n]{1,300})",
                within=innermost(r"vllm/(?:v1/)?attention/"),
                cause="the attention backend does not support this configuration: {what}",
            ),
        ),
    ),
    Failure(
        kind="dtype-unsupported",
        exit_code=ExitCode.SETTING,
        summary="The device does not support the data type.",
        cause="the device does not support the model's data type",
        hint="Set DTYPE=float16 (or float32), or use a newer device.",
        rules=(
            Rule(
                r"Bfloat16 is only supported on GPUs with compute capability of at least "
                r"(?P<needed>[\d.]+)\. Your (?P<device>.{1,80}?) GPU has compute capability "
                r"(?P<has>\d\.\d)",
                cause="bfloat16 requires compute capability {needed}, and {device} has {has}",
                hint="Set DTYPE=half (float16), or use a newer device.",
            ),
            Rule(r"bfloat16 is (?:only|not) supported"),
            Rule(
                r"data type[^\n]{0,40}? not (?:supported|available) (?:on|for) (?:the )?(?:this "
                r")?device"
            ),
            Rule(r"torch\.(?:float16|bfloat16) is not supported for"),
            Rule(r"kv[_-]cache[_-]dtype" + SPAN + r"(?:not|only) supported on"),
            Rule(r"dtype \S{1,40} (?:is )?not supported"),
            Rule(
                r"(?P<what>[^\n]{0,100}does not support (?:torch\.)?(?:b?float16|float32|half)\b"
                r"[^\n]{0,150})",
                cause="the model or the device does not support the data type: {what}",
                hint="Set DTYPE to another type, such as bfloat16 or float32, or remove it.",
            ),
            Rule(
                r"not implemented for '(?P<dtype>Half|BFloat16|Float8\w{0,20})'",
                cause="the device does not support {dtype}",
            ),
            Rule(r"have bfloat16 accuracy known issue"),
            Rule(
                r"(?:kv[-_ ]?cache|fp8[^\n]{0,20}cache)[^\n]{0,80}not support(?:ed)?\b"
                r"(?! with [^\n]{0,40}checkpoint)"
            ),
        ),
    ),
    Failure(
        kind="kernel-missing",
        exit_code=ExitCode.MACHINE,
        summary="vLLM or PyTorch was built without code for this device.",
        cause="vLLM or PyTorch was built without code for this device",
        hint="Use an image that is built for this device (see docs/accelerators.md). vLLM does "
        "not support some older devices.",
        rules=(
            Rule(r"no kernel image is available for execution on the device"),
            Rule(r"cudaErrorNoKernelImageForDevice|hipErrorNoBinaryForGpu|invalid device function"),
            Rule(r"not compatible with the current PyTorch installation"),
            Rule(
                r"compute capability (?:of )?\S{1,10} is not supported|Unsupported gpu architecture"
            ),
            Rule(r"ptxas fatal\s*: Value 'sm_\w+' is not defined"),
            Rule(r"TensileLibrary|Illegal seek for GPU arch"),
            Rule(r"device kernel image is invalid|No supported CUDA architectures found"),
            Rule(r"Torch not compiled with \w+ enabled|not linked with support for \w+ devices"),
            Rule(
                r"Could not run '(?P<operator>[^'\n]{1,100})' with arguments from the "
                r"'(?P<device>\w+)' backend",
                cause="the operator {operator} is not available for {device}",
            ),
            Rule(r"requires GPUs with sm_?\d+|requires (?:SM|compute capability) ?\d+"),
            Rule(
                r"No module named 'vllm\."
                r"(?P<module>_\w{0,40}C\w{0,40}|vllm_flash_attn[\w.]{0,80})'",
                cause="vLLM was built without its module {module}",
            ),
            # operators that a build for CPU or ROCm lacks; if the basic operators are missing too,
            # the complete library is
            Rule(
                r"'_OpNamespace' '\S{1,60}' object has no attribute "
                r"'(?P<operator>\w{0,80}(?:onednn|scaled_mm|cutlass|marlin|gptq|awq|fp8|int8|fp4|moe|mla|quant)\w{0,80})'",
                cause="vLLM was built without the operator {operator} for this device",
            ),
            Rule(
                r"requires the (?:CUDA|ROCm|HIP|XPU) (?P<what>[^\n]{1,60}?) extensions?\b",
                cause="vLLM was built without the {what} extensions for this device",
            ),
        ),
    ),
    Failure(
        kind="device-hardware",
        exit_code=ExitCode.MACHINE,
        summary="The device reports a memory error, or it fell off the bus.",
        cause="the device has a hardware failure",
        hint="Take the machine out of service. Read its kernel log (dmesg: Xid) and the output of "
        "nvidia-smi -q -d ECC. Reset the device or restart the machine; if the error returns, "
        "replace the device.",
        rules=(
            Rule(r"uncorrectable (?:ECC|NVLink) error"),
            Rule(
                r"cudaErrorECCUncorrectable|cudaErrorHardwareStackError|hipErrorECCNotCorrectable"
            ),
            Rule(r"GPU (?:has )?fallen off the bus|Unable to determine the device handle"),
            Rule(
                r"GPU is lost|NVMLError_GpuIsLost|CUDA-capable device\(s\) is/are busy or unavail"
            ),
        ),
    ),
    Failure(
        kind="device-code",
        exit_code=ExitCode.ENGINE,
        summary="A kernel failed on the device (illegal access, assertion, launch failure).",
        cause="a kernel failed on the device",
        hint="This is usually a bug in vLLM or in the model. Try ARG=--enforce-eager or another "
        "ARG=--attention-backend. With CUDA_LAUNCH_BLOCKING=1 the traceback shows the kernel. If "
        "it fails again, report it to vLLM with the log.",
        rules=(
            Rule(
                r"CUDA error: (?P<what>an illegal memory access|device-side assert|unspecified "
                r"launch failure|misaligned address|an illegal instruction)",
                cause="a kernel failed on the device: {what}",
            ),
            Rule(r"cudaErrorIllegalAddress|cudaErrorAssert|cudaErrorLaunchFailure"),
            Rule(r"an illegal memory access was encountered|device-side assert triggered"),
            Rule(r"unspecified launch failure|HIP error: \w"),
            Rule(
                r"(?P<what>Memory access fault by GPU|HW Exception by GPU|"
                r"HSA_STATUS_ERROR_\w{1,60})",
                cause="a kernel failed on the device ({what})",
            ),
            Rule(r"Triton Error \[\w{2,6}\]: |UR_RESULT_ERROR_(?:DEVICE_LOST|UNKNOWN)"),
            Rule(
                r"(?P<what>\b(?:ACL|NPU|aclnn\w*|rt(?:Kernel|Stream|Memcpy|Model|Event)\w*)\b"
                r"[^\n]{0,160}?(?:code(?: is)?|failed):? ?\d{6})\b",
                cause="a kernel failed on the device ({what})",
            ),
            Rule(r"(?:CUBLAS|CUDNN|HIPBLAS|rocblas|miopen)_?Status_?\w|cutlass cannot \w"),
            Rule(r"XlaRuntimeError: (?:INTERNAL|UNAVAILABLE|ABORTED|UNKNOWN)"),
            Rule(
                r"CUDA (?:driver )?error:(?! peer access)|Failed to initialize the TMA descriptor"
            ),
            Rule(r"Graph compile failed|synStatus"),
            # raised by an operator in compiled code
            Rule(
                r"^RuntimeError: (?P<what>(?![^\n]{0,200}support)[^\n]{1,300})",
                within=innermost(r"(?:torch/_ops|vllm/_custom_ops)\.py"),
                cause="a kernel failed: {what}",
            ),
        ),
    ),
    Failure(
        kind="collective-failed",
        exit_code=ExitCode.ENGINE,
        summary="The communication between the engine's processes failed (NCCL, RCCL, HCCL, Gloo).",
        cause="the communication between the engine's processes failed",
        hint="Check first whether another process failed. NCCL_DEBUG=INFO logs what NCCL tried. "
        "NCCL_P2P_DISABLE=1 and ARG=--disable-custom-all-reduce avoid broken links between "
        "devices. NCCL_SOCKET_IFNAME (GLOO_SOCKET_IFNAME) selects the network interface. Make "
        "sure that /dev/shm is large enough (docker: --shm-size).",
        role=Role.SYMPTOM,
        rules=(
            Rule(r"N?R?H?CCL (?:error|failure)|DistBackendError|ncclSystemError|ncclInternalError"),
            Rule(r"ncclUnhandledCudaError|ncclRemoteError|NCCL communicator"),
            Rule(r"ProcessGroup(?:NCCL|Gloo)\S* ?.{0,80}(?:timeout|timed out|watchdog)"),
            Rule(
                r"\[?gloo/|Gloo connectFullMesh failed|makeDeviceForHostname|makeDeviceForInterface"
            ),
            Rule(r"Watchdog caught collective operation timeout"),
            Rule(r"DistNetworkError|TCPStore|client socket has timed out"),
            Rule(r"DistStoreError"),
            Rule(
                r"^(?:\w+\.)*(?:Runtime|Value|Connection|Assertion)Error\b",
                within=innermost(
                    r"(?:torch/distributed|vllm/distributed/device_communicators)/(?!shm_)"
                ),
            ),
            Rule(
                r"peer access is not supported|cudaErrorPeerAccessUnsupported|"
                r"Failed: Cuda error \S{0,200}custom_all_reduce"
            ),
            Rule(r"\b(?:hccl|nvshmem|oneCCL|xccl)\w*\b[^\n]{0,120}(?:fail|error)|\bEI\d{4}: "),
            Rule(r"(?:fail|error)[^\n]{0,80}\b(?:hccl|nvshmem|oneCCL|xccl)"),
            Rule(r"NCCL WARN (?:Error while|Call to \w+ [^\n]{0,80}failed)"),
        ),
    ),
)
