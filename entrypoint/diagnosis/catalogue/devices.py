"""Accelerators: their driver, their number, what they can do, what broke."""

from entrypoint.diagnosis.catalogue.failure import SPAN, ExitCode, Failure, Sign, Weight, innermost

FAILURES = (
    Failure(
        kind="driver-too-old",
        exit_code=ExitCode.MACHINE,
        shown="The machine's driver is older than what this image's CUDA or ROCm asks for.",
        cause="the machine's accelerator driver is older than this image asks for",
        repair="Update the driver on the machine (nvidia-smi shows its version and the newest CUDA "
        "that it can run), or use an image that is built for an older CUDA.",
        signs=(
            Sign(
                r"driver on your system is too old \(found version (?P<found>\d+)\)",
                cause="the machine's NVIDIA driver is too old for this image: it runs CUDA up to "
                "version {found} (12040 means 12.4)",
            ),
            Sign(r"driver version is insufficient for CUDA runtime version"),
            Sign(r"cudaErrorInsufficientDriver|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
            Sign(r"the provided PTX was compiled with an unsupported toolchain"),
            Sign(r"forward compatibility was attempted on non supported HW"),
            Sign(r"Driver/library version mismatch"),
            Sign(
                r"unsupported display driver / cuda driver combination|"
                r"cudaErrorSystemDriverMismatch",
                cause="the machine's accelerator driver and this container's CUDA libraries do not "
                "belong together (CUDA's error 803)",
                repair="Update the driver on the machine, or use an image that is built for an "
                "older CUDA. If the driver is newer than the image's CUDA, the image's own libcuda "
                "hides the machine's: set LD_LIBRARY_PATH=/usr/local/nvidia/lib64, or where the "
                "container's runtime mounts it.",
            ),
            Sign(r"unsatisfied condition: cuda>=(?P<wanted>[\d.]+)"),
        ),
    ),
    Failure(
        kind="no-device",
        exit_code=ExitCode.MACHINE,
        shown="No accelerator can be used in this container.",
        cause="no accelerator can be used here",
        repair="Pass the devices to the container (docker: --gpus all, or --device; Kubernetes: "
        "resources.limits), and compare with: inference-server plan",
        signs=(
            Sign(r"No CUDA GPUs are available|No HIP GPUs are available"),
            Sign(r"Device string must not be empty|XPU device count is zero|No XPU devices? "),
            Sign(r"CUDA unknown error - this may be due to an incorrectly set up environment"),
            Sign(r"NVML returned no GPU|amdsmi did not return"),
            Sign(
                r"system not yet initialized|cudaErrorSystemNotReady",
                cause="the devices are not ready: their fabric manager does not run (CUDA's error "
                "802)",
                repair="Start nvidia-fabricmanager on the machine, of the driver's own version "
                "(systemctl status nvidia-fabricmanager).",
            ),
            Sign(
                r"TPU (?:initialization failed|is already in use)|libtpu[^\n]{0,80}lockfile|"
                r"Unable to initialize backend 'tpu'"
            ),
            Sign(
                r"\bnrt_init|NRT_(?:INVALID|UNINITIALIZED)|NeuronCores?[^\n]{0,60}(?:in use|avail)"
            ),
            Sign(r"(?:aclInit|(?:acl)?rtSetDevice)\w*[^\n]{0,40}(?:failed|error)|drvRet="),
            Sign(r"no CUDA-capable device is detected|cudaErrorNoDevice|hipErrorNoDevice"),
            Sign(r"Found no NVIDIA driver on your system"),
            Sign(r"Failed to infer device type"),
            Sign(r"NVMLError_\w*(?:NotFound|DriverNotLoaded|LibraryNotFound|Uninitialized)"),
            Sign(
                r"(?:synDevice|synStatus|hpu|habana)"
                + SPAN
                + r"(?:acquire failed|no device|device not found)"
            ),
            Sign(r"libcuda\.so\.1: cannot open shared object file"),
        ),
    ),
    Failure(
        kind="too-few-devices",
        exit_code=ExitCode.MACHINE,
        shown="More devices are asked for than this machine or pod has.",
        cause="more devices are asked for than are here",
        repair="Set NUM_SHARD to the number of devices that are here (NUM_SHARD=max takes them "
        "all), or give the container more of them.",
        signs=(
            Sign(
                r"World size \((?P<wanted>\d+)\) is larger than the number of\s+available GPUs "
                r"\((?P<here>\d+)\)",
                cause="{wanted} devices are asked for and {here} are here",
                repair="Set NUM_SHARD={here} (or less), or give the container more devices.",
            ),
            Sign(
                r"world_size \((?P<wanted>\d+)\) is less than (?:than )?max local gpu count "
                r"\((?P<here>\d+)\)",
                cause="{wanted} devices are asked for and {here} are here",
                repair="Set NUM_SHARD={here} (or less), or give the container more devices.",
            ),
            Sign(r"invalid device ordinal"),
            Sign(r"AssertionError: Invalid device id|Insufficient devices for"),
            Sign(
                r"invalid device=(?P<device>\d+), input visible devices: ?(?P<here>[\d,]*)",
                cause="device {device} is asked for, and the devices that may be seen are {here}",
            ),
            Sign(r"visible device ordinal \d+ is out of range|is not visible in \w+_VISIBLE"),
            Sign(r"local_rank|local_world_size", within=r"is out of bounds|device_count"),
            Sign(r"(?:DP adjusted )?local rank \d+ is out of bounds"),
            Sign(
                r"tensor parallel size \((?P<wanted>\d+)\)"
                + SPAN
                + r"(?:exceeds|greater than|less than)"
                + SPAN
                + r"\((?P<here>\d+)\)",
                cause="{wanted} devices are asked for and {here} are here",
            ),
            Sign(r"Duplicate GPU detected"),
            Sign(r"number of required (?:GPUs|\w+s) exceeds the total number of available"),
            Sign(r"Current node has no \w+ available|You don't have enough GPUs available"),
            Sign(r"Not enough CPUs? (?:cores )?for|only \d+ (?:NUMA|memory) nodes?"),
            Sign(
                r"(?:Not enough|not have enough|insufficient)" + SPAN + r"(?:allowed )?NUMA nodes",
                cause="each shard on CPU is bound to a memory node of its own, and there are fewer "
                "of these than shards",
                repair="Set NUM_SHARD=1, or bind each shard by hand with VLLM_CPU_OMP_THREADS_BIND "
                "(such as 0-3|4-7).",
            ),
        ),
    ),
    Failure(
        kind="attention-unsupported",
        exit_code=ExitCode.SETTING,
        shown="The attention backend asked for does not run here, or none does.",
        cause="no attention backend fits the settings, the model and the device",
        repair="Leave ARG=--attention-backend (VLLM_ATTENTION_BACKEND) and ARG=--kv-cache-dtype "
        "out, "
        "and let vLLM choose.",
        signs=(
            Sign(r"No valid (?:\w+ )*(?:attention|prefill) backend"),
            Sign(r"Selected backend \S{1,100} is not valid|(?:Unknown|Invalid) attention backend"),
            Sign(r"attention backend[^\n]{0,120}(?:not supported|unsupported|invalid|not valid)"),
            Sign(
                r"(?P<what>(?:FlashInfer|Flash ?Attention|FlashMLA|FlexAttention|Triton ?MLA|"
                r"Cutlass ?MLA|XFormers|AITER)\b[^\n]{0,120}(?:not support|only supports?|not "
                r"implemented|not available)[^\n]{0,120})",
                cause="the attention backend does not do what is asked of it: {what}",
            ),
            Sign(r"Head size \d+ is not supported by|does not support head size"),
            Sign(r"(?:\bMLA|attention|attn)\b[^\n]{0,40} only supports? [^\n]{0,60}\bheads?\b"),
            Sign(r"Cannot use [^\n]{0,80}attention|AttentionBackend\w*[^\n]{0,60}not support"),
            Sign(r"kv[-_]cache[-_]dtype \S{1,40} requires the "),
            Sign(
                r"^(?:ValueError|NotImplementedError): (?P<what>[^\n]{1,300})",
                within=innermost(r"vllm/(?:v1/)?attention/"),
                cause="the attention backend does not do what is asked of it: {what}",
            ),
        ),
    ),
    Failure(
        kind="dtype-unsupported",
        exit_code=ExitCode.SETTING,
        shown="The device cannot compute in this data type.",
        cause="the device cannot compute in the model's data type",
        repair="Set DTYPE=float16 (or float32), or use a newer device.",
        signs=(
            Sign(
                r"Bfloat16 is only supported on GPUs with compute capability of at least "
                r"(?P<needed>[\d.]+)\. Your (?P<device>.{1,80}?) GPU has compute capability "
                r"(?P<has>\d\.\d)",
                cause="the device, {device} of compute capability {has}, cannot compute in "
                "bfloat16, which takes {needed}",
                repair="Set DTYPE=half (float16), or use a newer device.",
            ),
            Sign(r"bfloat16 is (?:only|not) supported"),
            Sign(
                r"data type[^\n]{0,40}? not (?:supported|available) (?:on|for) (?:the )?(?:this "
                r")?device"
            ),
            Sign(r"torch\.(?:float16|bfloat16) is not supported for"),
            Sign(r"kv[_-]cache[_-]dtype" + SPAN + r"(?:not|only) supported on"),
            Sign(r"dtype \S{1,40} (?:is )?not supported"),
            Sign(
                r"not implemented for '(?P<dtype>Half|BFloat16|Float8\w{0,20})'",
                cause="the device cannot compute in {dtype}",
            ),
            Sign(r"have bfloat16 accuracy known issue"),
            Sign(
                r"(?:kv[-_ ]?cache|fp8[^\n]{0,20}cache)[^\n]{0,80}not support(?:ed)?\b"
                r"(?! with [^\n]{0,40}checkpoint)"
            ),
        ),
    ),
    Failure(
        kind="kernel-missing",
        exit_code=ExitCode.MACHINE,
        shown="vLLM or PyTorch was built without code for this device.",
        cause="vLLM or PyTorch was built without code for this device",
        repair="Use an image that is built for this device; docs/accelerators.md tells which. "
        "Devices older than vLLM supports cannot be used at all.",
        signs=(
            Sign(r"no kernel image is available for execution on the device"),
            Sign(r"cudaErrorNoKernelImageForDevice|hipErrorNoBinaryForGpu|invalid device function"),
            Sign(r"not compatible with the current PyTorch installation"),
            Sign(
                r"compute capability (?:of )?\S{1,10} is not supported|Unsupported gpu architecture"
            ),
            Sign(r"ptxas fatal\s*: Value 'sm_\w+' is not defined"),
            Sign(r"TensileLibrary|Illegal seek for GPU arch"),
            Sign(r"device kernel image is invalid|No supported CUDA architectures found"),
            Sign(r"Torch not compiled with \w+ enabled|not linked with support for \w+ devices"),
            Sign(
                r"Could not run '(?P<operator>[^'\n]{1,100})' with arguments from the "
                r"'(?P<device>\w+)' backend",
                cause="the operator {operator} is not there for {device}",
            ),
            Sign(r"requires GPUs with sm_?\d+|requires (?:SM|compute capability) ?\d+"),
            Sign(
                r"No module named 'vllm\."
                r"(?P<module>_\w{0,40}C\w{0,40}|vllm_flash_attn[\w.]{0,80})'",
                cause="vLLM was built without its module {module}",
            ),
            # what each build for CPU or ROCm leaves out; without its basic operators the whole
            # library is not there
            Sign(
                r"'_OpNamespace' '\S{1,60}' object has no attribute "
                r"'(?P<operator>\w{0,80}(?:onednn|scaled_mm|cutlass|marlin|gptq|awq|fp8|int8|fp4|moe|mla|quant)\w{0,80})'",
                cause="vLLM was built without the operator {operator} for this device",
            ),
            Sign(
                r"requires the (?:CUDA|ROCm|HIP|XPU) (?P<what>[^\n]{1,60}?) extensions?\b",
                cause="vLLM was built without the {what} extensions for this device",
            ),
        ),
    ),
    Failure(
        kind="device-hardware",
        exit_code=ExitCode.MACHINE,
        shown="The device reports broken memory, or fell off the bus.",
        cause="the device itself failed",
        repair="Take the machine out of service and look at its kernel log (dmesg: Xid) and at "
        "nvidia-smi -q -d ECC; a reset or a restart may bring the device back, else it has to be "
        "replaced.",
        signs=(
            Sign(r"uncorrectable (?:ECC|NVLink) error"),
            Sign(
                r"cudaErrorECCUncorrectable|cudaErrorHardwareStackError|hipErrorECCNotCorrectable"
            ),
            Sign(r"GPU (?:has )?fallen off the bus|Unable to determine the device handle"),
            Sign(
                r"GPU is lost|NVMLError_GpuIsLost|CUDA-capable device\(s\) is/are busy or unavail"
            ),
        ),
    ),
    Failure(
        kind="device-code",
        exit_code=ExitCode.ENGINE,
        shown="A kernel on the device failed: an illegal access, an assertion, a launch failure.",
        cause="a kernel failed on the device",
        repair="It is an error of vLLM or of the model rather than of a setting. Try "
        "ARG=--enforce-eager, or another ARG=--attention-backend; with CUDA_LAUNCH_BLOCKING=1 the "
        "traceback shows the kernel. If it comes again, report it to vLLM with the log.",
        signs=(
            Sign(
                r"CUDA error: (?P<what>an illegal memory access|device-side assert|unspecified "
                r"launch failure|misaligned address|an illegal instruction)",
                cause="a kernel failed on the device: {what}",
            ),
            Sign(r"cudaErrorIllegalAddress|cudaErrorAssert|cudaErrorLaunchFailure"),
            Sign(r"an illegal memory access was encountered|device-side assert triggered"),
            Sign(r"unspecified launch failure|HIP error: \w"),
            Sign(
                r"(?P<what>Memory access fault by GPU|HW Exception by GPU|"
                r"HSA_STATUS_ERROR_\w{1,60})",
                cause="a kernel failed on the device ({what})",
            ),
            Sign(r"Triton Error \[\w{2,6}\]: |UR_RESULT_ERROR_(?:DEVICE_LOST|UNKNOWN)"),
            Sign(
                r"(?P<what>\b(?:ACL|NPU|aclnn\w*|rt(?:Kernel|Stream|Memcpy|Model|Event)\w*)\b"
                r"[^\n]{0,160}?(?:code(?: is)?|failed):? ?\d{6})\b",
                cause="a kernel failed on the device ({what})",
            ),
            Sign(r"(?:CUBLAS|CUDNN|HIPBLAS|rocblas|miopen)_?Status_?\w|cutlass cannot \w"),
            Sign(r"XlaRuntimeError: (?:INTERNAL|UNAVAILABLE|ABORTED|UNKNOWN)"),
            Sign(
                r"CUDA (?:driver )?error:(?! peer access)|Failed to initialize the TMA descriptor"
            ),
            Sign(r"Graph compile failed|synStatus"),
            # what an operator of compiled code says of itself
            Sign(
                r"^RuntimeError: (?P<what>(?![^\n]{0,200}support)[^\n]{1,300})",
                within=innermost(r"(?:torch/_ops|vllm/_custom_ops)\.py"),
                cause="a kernel failed: {what}",
            ),
        ),
    ),
    Failure(
        kind="collective-failed",
        exit_code=ExitCode.ENGINE,
        shown="The processes of the devices lost each other (NCCL, RCCL, HCCL, gloo).",
        cause="the communication between the engine's processes failed",
        repair="If no other process failed first: NCCL_DEBUG=INFO shows what it tried; "
        "NCCL_P2P_DISABLE=1 and ARG=--disable-custom-all-reduce go round broken links between "
        "devices; NCCL_SOCKET_IFNAME (GLOO_SOCKET_IFNAME) names the network interface; /dev/shm "
        "has "
        "to be large enough (docker: --shm-size).",
        weight=Weight.SYMPTOM,
        signs=(
            Sign(r"N?R?H?CCL (?:error|failure)|DistBackendError|ncclSystemError|ncclInternalError"),
            Sign(r"ncclUnhandledCudaError|ncclRemoteError|NCCL communicator"),
            Sign(r"ProcessGroup(?:NCCL|Gloo)\S* ?.{0,80}(?:timeout|timed out|watchdog)"),
            Sign(
                r"\[?gloo/|Gloo connectFullMesh failed|makeDeviceForHostname|makeDeviceForInterface"
            ),
            Sign(r"Watchdog caught collective operation timeout"),
            Sign(r"DistNetworkError|TCPStore|client socket has timed out"),
            Sign(r"DistStoreError"),
            Sign(
                r"^(?:\w+\.)*(?:Runtime|Value|Connection|Assertion)Error\b",
                within=innermost(
                    r"(?:torch/distributed|vllm/distributed/device_communicators)/(?!shm_)"
                ),
            ),
            Sign(
                r"peer access is not supported|cudaErrorPeerAccessUnsupported|"
                r"Failed: Cuda error \S{0,200}custom_all_reduce"
            ),
            Sign(r"\b(?:hccl|nvshmem|oneCCL|xccl)\w*\b[^\n]{0,120}(?:fail|error)|\bEI\d{4}: "),
            Sign(r"(?:fail|error)[^\n]{0,80}\b(?:hccl|nvshmem|oneCCL|xccl)"),
            Sign(r"NCCL WARN (?:Error while|Call to \w+ [^\n]{0,80}failed)"),
        ),
    ),
)
