"""Resources of the machine or pod: shared memory, disks, ports, processes, compilers, time."""

from entrypoint.diagnosis.catalogue.failure import (
    SPAN,
    ExitCode,
    Failure,
    Role,
    Rule,
    innermost,
)

_CACHES = r"vllm|inductor|torch_?compile|triton|flashinfer|deep_gemm|cache|\.config|outlines|numba"

FAILURES = (
    Failure(
        kind="shm-too-small",
        exit_code=ExitCode.MACHINE,
        summary="/dev/shm is too small for the shared memory of NCCL or vLLM.",
        cause="/dev/shm is too small",
        hint="Make it larger, at least 1 GiB per device. docker: --shm-size=8g (or --ipc=host). "
        "Kubernetes: mount an emptyDir with medium: Memory on /dev/shm.",
        rules=(
            Rule(
                r"Insufficient space in /dev/shm" + SPAN + r": (?P<needed>[\d.]+ \w+) required, "
                r"(?P<free>[\d.]+ \w+) free",
                cause="/dev/shm is too small: the engine needs {needed}, and {free} is free",
            ),
            Rule(r"/dev/shm" + SPAN + r"(?:No space left|\(28\)|too small|resize)"),
            Rule(r"No space left on device" + SPAN + r"(?:/dev/shm|/psm_|/nccl|torch_\d)"),
            Rule(
                r"No space left on device",
                within=r"shared_memory|shm_broadcast|posix_fallocate|psm_",
            ),
            Rule(
                r"unable to (?:allocate|open|resize|write to) shared memory(?![^\n]{0,300}"
                r"(?:Permission denied|Too many open files))|shared memory \(shm\)"
            ),
            Rule(r"Error while creating shared memory segment|failed to extend /dev/shm"),
            Rule(r"shmutils\.cc:\d+ NCCL WARN"),
            Rule(r"insufficient (?:shared memory|space in /dev/shm)|out of shared memory"),
        ),
    ),
    Failure(
        kind="disk-full",
        exit_code=ExitCode.STORAGE,
        summary="A file system is full.",
        cause="a file system is full",
        hint="Free space, or make the file system larger (Kubernetes: ephemeral-storage, or the "
        "emptyDir's sizeLimit). To use another file system, set VLLM_CACHE_ROOT (compiled code) "
        "and TMPDIR (temporary files).",
        rules=(
            Rule(
                r"No space left on device: (?:'[^'\n]{1,300}' -> )?'(?P<file>[^'\n]{1,300})'",
                cause="the file system of {file} is full",
            ),
            Rule(r"Errno 28|No space left on device|ENOSPC|os error 28"),
            Rule(r"Disk quota exceeded|Errno 122"),
            Rule(r"Not enough free disk space"),
            Rule(
                r"Errno 27\b|File too large|os error 27\b",
                cause="the limit on the size of a file is reached",
                hint="Raise it: ulimit -f unlimited.",
            ),
        ),
    ),
    Failure(
        kind="read-only-filesystem",
        exit_code=ExitCode.MACHINE,
        summary="The engine has to write a file, and the file system is read-only.",
        cause="a file system that the engine writes to is read-only",
        hint="Mount a writable volume there, or set the variable to a writable folder: "
        "VLLM_CACHE_ROOT for compiled code, TMPDIR for temporary files, HOME for other files.",
        rules=(
            Rule(
                r"(?:Errno 30\] )?Read-only file system: '(?P<file>[^'\n]{1,300})'",
                cause="{file} cannot be written, because its file system is read-only",
            ),
            Rule(r"Read-only file system|Errno 30|EROFS"),
        ),
    ),
    Failure(
        kind="noexec",
        exit_code=ExitCode.MACHINE,
        summary="Compiled code is on a file system that is mounted noexec.",
        cause="compiled code is on a file system that is mounted noexec",
        hint="Mount the volume without noexec, or set VLLM_CACHE_ROOT, TORCHINDUCTOR_CACHE_DIR, "
        "TRITON_CACHE_DIR and TMPDIR to folders on a volume without noexec.",
        rules=(
            Rule(
                r"(?<![^\s:])(?P<file>/[^\s:]{1,300}): failed to map segment from shared object",
                cause="{file} is on a file system that is mounted noexec",
            ),
            Rule(r"failed to map segment from shared object"),
            Rule(
                r"(?:Errno 13\] )?Permission denied: '\S{1,300}(?:/cuda_utils\.so|ptxas|"
                r"launcher\S*\.so)"
            ),
        ),
    ),
    Failure(
        kind="port-taken",
        exit_code=ExitCode.MACHINE,
        summary="A port is already in use, or this user is not allowed to listen on it.",
        cause="a port that the engine listens on is already in use",
        hint="Stop the program that listens on the port (ss -ltnp shows it), or set another PORT. "
        "For the ports between the engine's processes, set VLLM_PORT, MASTER_PORT and "
        "ARG=--data-parallel-rpc-port.",
        rules=(
            Rule(
                r"error while attempting to bind on address \('(?P<host>[^']{0,60})', "
                r"(?P<port>\d+)",
                cause="the engine cannot listen on {host}, port {port}",
            ),
            Rule(
                r"Address already in use \(addr='(?P<address>[^'\n]{1,100})'\)",
                cause="{address} is already in use",
            ),
            Rule(
                r"port: (?P<port>\d+),[^\n]{0,120}EADDRINUSE", cause="port {port} is already in use"
            ),
            Rule(r"EADDRINUSE|Address already in use|Errno 98|address in use"),
            Rule(
                r"Cannot assign requested address|EADDRNOTAVAIL|Errno 99",
                cause="this machine does not have the address to listen on",
                hint="Set HOST=0.0.0.0, or set VLLM_HOST_IP to an address of this machine.",
            ),
            Rule(
                r"failed to (?:listen|bind)" + SPAN + r"Permission denied",
                cause="only a privileged user can listen on the port",
                hint="Set MASTER_PORT and VLLM_PORT to ports above 1023.",
            ),
            Rule(
                r"Errno 13\] Permission denied",
                within=r"\.bind\(|create_server_socket",
                cause="only a privileged user can listen on the port",
                hint="Set PORT to a port above 1023.",
            ),
        ),
    ),
    Failure(
        kind="too-many-files",
        exit_code=ExitCode.MACHINE,
        summary="The limit on open files is reached.",
        cause="the limit on open files is reached",
        hint="Raise it: ulimit -n 65536 (docker: --ulimit nofile=65536:65536).",
        rules=(Rule(r"Too many open files|Errno 24\b|EMFILE|ENFILE|Errno 23\b"),),
    ),
    Failure(
        kind="too-many-processes",
        exit_code=ExitCode.MACHINE,
        summary="The limit on processes or threads is reached.",
        cause="the limit on processes or threads is reached",
        hint="Raise the limit (docker: --pids-limit; Kubernetes: the kubelet's podPidsLimit; "
        "ulimit -u), or lower OMP_NUM_THREADS.",
        rules=(
            Rule(
                r"can't start new thread|cannot start new thread|can't create (?:a )?(?:new "
                r")?thread"
            ),
            Rule(r"Thread creation failed|pthread_create|failed to (?:create|spawn|start) thread"),
            Rule(r"(?:Errno 11\] )?Resource temporarily unavailable"),
            Rule(r"BlockingIOError: \[Errno 11\]"),
            Rule(r"std::system_error"),
        ),
    ),
    Failure(
        kind="permission-denied",
        exit_code=ExitCode.MACHINE,
        summary="This user is not allowed to read or write a file or folder.",
        cause="this user is not allowed to read or write a file or folder",
        hint="Give this user access (chmod, chown; Kubernetes: securityContext.fsGroup), or set "
        "the variable to another folder: VLLM_CACHE_ROOT, TORCHINDUCTOR_CACHE_DIR and "
        "TRITON_CACHE_DIR for compiled code, TMPDIR for temporary files, HOME for other files.",
        rules=(
            Rule(
                r"Permission denied: '(?P<file>[^'\n]{0,300}(?:" + _CACHES + r")[^'\n]{0,200})'",
                cause="this user is not allowed to write to the cache {file}",
            ),
            Rule(
                r"Permission denied: '(?P<file>[^'\n]{1,300})'",
                cause="this user is not allowed to read or write {file}",
            ),
            Rule(r"PermissionError|Errno 13\b|Permission denied|Errno 1\] Operation not permitted"),
            Rule(r"no writable cache|cannot cache function|no locator available"),
        ),
    ),
    Failure(
        kind="user-unknown",
        exit_code=ExitCode.MACHINE,
        summary="The container's user ID has no entry in /etc/passwd, and a library requires one.",
        cause="the user ID has no entry in /etc/passwd",
        hint="Set USER, LOGNAME and HOME, or VLLM_CACHE_ROOT and TORCHINDUCTOR_CACHE_DIR.",
        rules=(
            Rule(
                r"getpwuid\(\): uid not found: (?P<uid>\d+)",
                cause="the user ID {uid} has no entry in /etc/passwd",
            ),
            Rule(r"getpwuid|No username set in the environment"),
        ),
    ),
    Failure(
        kind="no-compiler",
        exit_code=ExitCode.MACHINE,
        summary="torch.compile or Triton needs a C compiler or Python's headers, which are "
        "missing.",
        cause="the C compiler or its headers are missing, and the engine has to compile code",
        hint="Use an image with a C++ compiler, set CC and CXX to the path of one, or set "
        "ARG=--enforce-eager to run without compiled code.",
        rules=(
            Rule(r"InvalidCxxCompiler|No working C\+\+ compiler|Failed to find C compiler"),
            Rule(r"\b\w{1,60}\.h(?:pp)?: No such file|cannot find -l\w|cannot find crt\d"),
            Rule(r"No such file or directory: '(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|ninja|nvcc)'"),
            Rule(
                r"(?:gcc|g\+\+|nvcc|ninja)[^\n]{0,40}(?:not found|is required|could not be found)"
            ),
            Rule(
                r"Could not find (?:nvcc|CUDA installation)|"
                r"CUDA_HOME (?:environment variable )?is not set|Ninja is required"
            ),
            Rule(r"(?:Please )?specify (?:via )?CC environment|set CC\b"),
            # Triton's own code, which fails to compile only if the compiler is missing
            Rule(r"CalledProcessError: Command[^\n]{0,400}?(?:cuda|hip)_utils\."),
        ),
    ),
    Failure(
        kind="compile-failed",
        exit_code=ExitCode.ENGINE,
        summary="torch.compile, Triton, FlashInfer or DeepGEMM failed to compile code for the "
        "model.",
        cause="compiling code for the model failed",
        hint="Empty the compile cache (VLLM_CACHE_ROOT, TORCHINDUCTOR_CACHE_DIR) and start again. "
        "If it fails again, set ARG=--enforce-eager to run without torch.compile, or another "
        "ARG=--attention-backend to avoid FlashInfer, and report it to vLLM with the log.",
        rules=(
            Rule(r"InductorError|BackendCompilerFailed|CppCompileError|torch\._dynamo\.exc\.\w+"),
            Rule(
                r"(?:triton\.(?:compiler|runtime)\.[\w.]{0,60}(?:Error|OutOfResources)|PTXASError|"
                # an unsupported type is another kind
                r"CompilationError)\b(?![\s\S]{0,2000}not supported in this architecture)"
            ),
            Rule(r"Ninja build failed|Error building extension|ninja: build stopped"),
            Rule(r"(?:PTX|ptxas)[^\n]{0,60}(?:fatal|failed|error)|NVCC (?:compilation )?failed"),
            Rule(r"CalledProcessError[^\n]{0,200}(?:gcc|g\+\+|nvcc|ninja|clang)"),
            Rule(r"out of resource: (?:shared memory|threads|registers)"),
            Rule(
                r"No such file or directory:? '(?P<file>[^'\n]{0,300}(?:\.triton/|triton/cache|"
                r"inductor|torch_compile_cache|flashinfer|deep_gemm)[^'\n]{0,300})'",
                cause="another process removed {file} from the compile cache",
                hint="Give each engine a separate cache on a local disk: set TRITON_CACHE_DIR, "
                "TORCHINDUCTOR_CACHE_DIR and VLLM_CACHE_ROOT.",
            ),
            Rule(
                r"hash of the compiled graph|failed to (?:load|save) the compiled|"
                r"torch_compile_cache"
            ),
            Rule(
                r"^(?:\w+\.)*(?:RuntimeError|AssertionError|KeyError|TypeError|AttributeError|"
                r"IndexError|ValueError|NotImplementedError)\b"
                r"(?![\s\S]{0,2000}not supported in this architecture)",
                within=innermost(
                    r"vllm/compilation/|torch/_(?:inductor|dynamo|functorch)/|triton/"
                ),
            ),
            Rule(r"Assertion error \(\S{0,200}/jit/"),
            Rule(r"PassManager::run failed|LLVM ERROR: |nvcc fatal|hipcc[^\n]{0,60}failed"),
            Rule(
                r"(?:subprocess\.CalledProcessError|RuntimeError)",
                within=r"flashinfer/jit|deep_gemm",
            ),
        ),
    ),
    Failure(
        kind="read-failed",
        exit_code=ExitCode.STORAGE,
        summary="Reading or writing a file failed, because of its volume or the network.",
        cause="reading or writing a file failed",
        hint="Check the model's volume: its disk or its network failed. The kernel log (dmesg) "
        "shows more.",
        rules=(
            Rule(r"Errno 5\b|Input/output error|\bEIO\b|os error 5\b"),
            Rule(r"Stale file handle|Errno 116|Transport endpoint is not connected|Errno 107\]"),
            Rule(r"Remote I/O error|Errno 121|Errno 70\] Communication error"),
        ),
    ),
    Failure(
        kind="start-too-slow",
        exit_code=ExitCode.ENGINE,
        summary="vLLM timed out while it waited for its processes to start.",
        cause="vLLM timed out while it waited for one of its processes to start",
        hint="Raise VLLM_ENGINE_READY_TIMEOUT_S (default: 600), or speed up the start: put the "
        "model on a faster disk, and the compile cache on a persistent volume.",
        rules=(
            Rule(
                r"Timed out waiting for engine|did not respond within|Timed out waiting for "
                r".{0,60}start"
            ),
            Rule(r"failed to report ZMQ addresses within|response from front-end process within"),
            Rule(r"VLLM_ENGINE_READY_TIMEOUT_S|VLLM_ENGINE_ITERATION_TIMEOUT_S"),
            Rule(
                r"(?:engine|core)[^\n]{0,80}(?:startup|start-up|ready)[^\n]{0,60}time(?:d out|out)"
            ),
        ),
        role=Role.SYMPTOM,
    ),
    Failure(
        kind="step-too-slow",
        exit_code=ExitCode.ENGINE,
        summary="A worker did not answer in time: it hangs, or its device does.",
        cause="a worker did not answer in time",
        hint="Check whether the device hangs (nvidia-smi; dmesg: Xid). If it is only slow, raise "
        "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS.",
        rules=(
            Rule(r"RPC call to \w+ timed out|execute_model[^\n]{0,60}timed out"),
            Rule(r"Engine iteration timed out"),
            Rule(r"No available shared memory broadcast block found in (?:60|\d+) second"),
        ),
        role=Role.SYMPTOM,
    ),
)
