"""What the machine or the pod refuses: shared memory, caches, ports, processes, compilers."""

from entrypoint.diagnosis.catalogue.failure import (
    SPAN,
    ExitCode,
    Failure,
    Sign,
    Weight,
    innermost,
)

_CACHES = r"vllm|inductor|torch_?compile|triton|flashinfer|deep_gemm|cache|\.config|outlines|numba"

FAILURES = (
    Failure(
        kind="shm-too-small",
        exit_code=ExitCode.MACHINE,
        shown="/dev/shm is full: NCCL or vLLM cannot make a segment in it.",
        cause="/dev/shm is too small",
        repair="Make it larger, 1 GiB for each device at least: docker: --shm-size=8g (or "
        "--ipc=host); Kubernetes: an emptyDir with medium: Memory mounted on /dev/shm.",
        signs=(
            Sign(
                r"Insufficient space in /dev/shm" + SPAN + r": (?P<needed>[\d.]+ \w+) required, "
                r"(?P<free>[\d.]+ \w+) free",
                cause="/dev/shm is too small: {needed} are needed, {free} are free",
            ),
            Sign(r"/dev/shm" + SPAN + r"(?:No space left|\(28\)|too small|resize)"),
            Sign(r"No space left on device" + SPAN + r"(?:/dev/shm|/psm_|/nccl|torch_\d)"),
            Sign(
                r"No space left on device",
                within=r"shared_memory|shm_broadcast|posix_fallocate|psm_",
            ),
            Sign(
                r"unable to (?:allocate|open|resize|write to) shared memory(?![^\n]{0,300}"
                r"(?:Permission denied|Too many open files))|shared memory \(shm\)"
            ),
            Sign(r"Error while creating shared memory segment|failed to extend /dev/shm"),
            Sign(r"shmutils\.cc:\d+ NCCL WARN"),
            Sign(r"insufficient (?:shared memory|space in /dev/shm)|out of shared memory"),
        ),
    ),
    Failure(
        kind="disk-full",
        exit_code=ExitCode.STORAGE,
        shown="A file system is full.",
        cause="a file system is full",
        repair="Free space on it or make it larger (Kubernetes: ephemeral-storage, or the "
        "emptyDir's "
        "sizeLimit). VLLM_CACHE_ROOT and TMPDIR put the compiled code and the scratch files "
        "elsewhere.",
        signs=(
            Sign(
                r"No space left on device: '(?P<file>[^'\n]{1,300})'",
                cause="the file system of {file} is full",
            ),
            Sign(r"Errno 28|No space left on device|ENOSPC|os error 28"),
            Sign(r"Disk quota exceeded|Errno 122"),
            Sign(r"Not enough free disk space"),
        ),
    ),
    Failure(
        kind="read-only-filesystem",
        exit_code=ExitCode.MACHINE,
        shown="A file has to be written, and its file system is read-only.",
        cause="a file system on which something has to be written is read-only",
        repair="Mount a writable volume there, or point at one: VLLM_CACHE_ROOT for compiled code, "
        "TMPDIR for scratch files, HOME for the rest.",
        signs=(
            Sign(
                r"(?:Errno 30\] )?Read-only file system: '(?P<file>[^'\n]{1,300})'",
                cause="{file} has to be written, and its file system is read-only",
            ),
            Sign(r"Read-only file system|Errno 30|EROFS"),
        ),
    ),
    Failure(
        kind="noexec",
        exit_code=ExitCode.MACHINE,
        shown="Compiled code lies on a file system that is mounted noexec.",
        cause="compiled code lies on a file system from which nothing may be run (noexec)",
        repair="Mount the volume without noexec, or point VLLM_CACHE_ROOT, "
        "TORCHINDUCTOR_CACHE_DIR, "
        "TRITON_CACHE_DIR and TMPDIR at one that is.",
        signs=(
            Sign(
                r"(?<![^\s:])(?P<file>/[^\s:]{1,300}): failed to map segment from shared object",
                cause="{file} lies on a file system from which nothing may be run (noexec)",
            ),
            Sign(r"failed to map segment from shared object"),
            Sign(
                r"(?:Errno 13\] )?Permission denied: '\S{1,300}(?:/cuda_utils\.so|ptxas|"
                r"launcher\S*\.so)"
            ),
        ),
    ),
    Failure(
        kind="port-taken",
        exit_code=ExitCode.MACHINE,
        shown="A port that has to be listened on is taken, or may not be taken.",
        cause="a port that has to be listened on is taken",
        repair="End what listens there (ss -ltnp shows it), or set another PORT; for the ports "
        "between the engine's processes VLLM_PORT, MASTER_PORT and ARG=--data-parallel-rpc-port.",
        signs=(
            Sign(
                r"error while attempting to bind on address \('(?P<host>[^']{0,60})', "
                r"(?P<port>\d+)",
                cause="{host}, port {port}, cannot be listened on",
            ),
            Sign(
                r"Address already in use \(addr='(?P<address>[^'\n]{1,100})'\)",
                cause="{address} is taken",
            ),
            Sign(r"port: (?P<port>\d+),[^\n]{0,120}EADDRINUSE", cause="port {port} is taken"),
            Sign(r"EADDRINUSE|Address already in use|Errno 98|address in use"),
            Sign(
                r"Cannot assign requested address|EADDRNOTAVAIL|Errno 99",
                cause="the address to listen on is not one of this machine's",
                repair="Set HOST=0.0.0.0, or VLLM_HOST_IP to an address of this machine.",
            ),
            Sign(
                r"failed to (?:listen|bind)" + SPAN + r"Permission denied",
                cause="the port may not be listened on without privileges",
                repair="Set MASTER_PORT and VLLM_PORT to ports above 1023.",
            ),
            Sign(
                r"Errno 13\] Permission denied",
                within=r"\.bind\(|create_server_socket",
                cause="the port may not be listened on without privileges",
                repair="Set PORT to one above 1023.",
            ),
        ),
    ),
    Failure(
        kind="too-many-files",
        exit_code=ExitCode.MACHINE,
        shown="The limit of open files is reached.",
        cause="the limit of open files is reached",
        repair="Raise it: ulimit -n 65536 (docker: --ulimit nofile=65536:65536).",
        signs=(Sign(r"Too many open files|Errno 24\b|EMFILE|ENFILE|Errno 23\b"),),
    ),
    Failure(
        kind="too-many-processes",
        exit_code=ExitCode.MACHINE,
        shown="No further thread or process may be started: the limit of processes is reached.",
        cause="no further thread or process may be started",
        repair="Raise the limit of processes (docker: --pids-limit; Kubernetes: the kubelet's "
        "podPidsLimit; ulimit -u), or set OMP_NUM_THREADS lower.",
        signs=(
            Sign(
                r"can't start new thread|cannot start new thread|can't create (?:a )?(?:new "
                r")?thread"
            ),
            Sign(r"Thread creation failed|pthread_create|failed to (?:create|spawn|start) thread"),
            Sign(r"(?:Errno 11\] )?Resource temporarily unavailable"),
            Sign(r"BlockingIOError: \[Errno 11\]"),
            Sign(r"std::system_error"),
        ),
    ),
    Failure(
        kind="permission-denied",
        exit_code=ExitCode.MACHINE,
        shown="A file or folder may not be read or written by this user.",
        cause="a file or folder may not be used by this user",
        repair="Let this user use it (chmod, chown, securityContext.fsGroup), or point at another: "
        "VLLM_CACHE_ROOT, TORCHINDUCTOR_CACHE_DIR and TRITON_CACHE_DIR for compiled code, TMPDIR "
        "for "
        "scratch files, HOME for the rest.",
        signs=(
            Sign(
                r"Permission denied: '(?P<file>[^'\n]{0,300}(?:" + _CACHES + r")[^'\n]{0,200})'",
                cause="the cache {file} may not be written by this user",
            ),
            Sign(
                r"Permission denied: '(?P<file>[^'\n]{1,300})'",
                cause="{file} may not be read or written by this user",
            ),
            Sign(r"PermissionError|Errno 13\b|Permission denied|Errno 1\] Operation not permitted"),
            Sign(r"no writable cache|cannot cache function|no locator available"),
        ),
    ),
    Failure(
        kind="user-unknown",
        exit_code=ExitCode.MACHINE,
        shown="The container's user id has no entry in /etc/passwd, and a library asks for one.",
        cause="the user id has no entry in /etc/passwd",
        repair="Set USER, LOGNAME and HOME, or VLLM_CACHE_ROOT and TORCHINDUCTOR_CACHE_DIR.",
        signs=(
            Sign(
                r"getpwuid\(\): uid not found: (?P<uid>\d+)",
                cause="the user id {uid} has no entry in /etc/passwd",
            ),
            Sign(r"getpwuid|No username set in the environment"),
        ),
    ),
    Failure(
        kind="no-compiler",
        exit_code=ExitCode.MACHINE,
        shown="torch.compile or Triton needs a C compiler, or Python's headers, and there is none.",
        cause="code has to be compiled, and a compiler or its headers are missing",
        repair="Use an image that has a C++ compiler, point CC and CXX at one, or set "
        "ARG=--enforce-eager to do without compiled code.",
        signs=(
            Sign(r"InvalidCxxCompiler|No working C\+\+ compiler|Failed to find C compiler"),
            Sign(r"\b\w{1,60}\.h(?:pp)?: No such file|cannot find -l\w|cannot find crt\d"),
            Sign(r"No such file or directory: '(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|ninja|nvcc)'"),
            Sign(
                r"(?:gcc|g\+\+|nvcc|ninja)[^\n]{0,40}(?:not found|is required|could not be found)"
            ),
            Sign(
                r"Could not find (?:nvcc|CUDA installation)|"
                r"CUDA_HOME (?:environment variable )?is not set|Ninja is required"
            ),
            Sign(r"(?:Please )?specify (?:via )?CC environment|set CC\b"),
            # what Triton compiles of itself, the same on each machine
            Sign(r"CalledProcessError: Command[^\n]{0,400}?(?:cuda|hip)_utils\."),
        ),
    ),
    Failure(
        kind="compile-failed",
        exit_code=ExitCode.ENGINE,
        shown="torch.compile, Triton, FlashInfer or DeepGEMM could not compile code for the model.",
        cause="code for the model could not be compiled",
        repair="Empty the compile cache (VLLM_CACHE_ROOT, TORCHINDUCTOR_CACHE_DIR) once; if it "
        "fails "
        "again, ARG=--enforce-eager does without torch.compile, and ARG=--attention-backend avoids "
        "FlashInfer. Report it to vLLM with the log.",
        signs=(
            Sign(r"InductorError|BackendCompilerFailed|CppCompileError|torch\._dynamo\.exc\.\w+"),
            Sign(
                r"(?:triton\.(?:compiler|runtime)\.[\w.]{0,60}(?:Error|OutOfResources)|PTXASError|"
                # that is of a type, which another kind names
                r"CompilationError)\b(?![\s\S]{0,2000}not supported in this architecture)"
            ),
            Sign(r"Ninja build failed|Error building extension|ninja: build stopped"),
            Sign(r"(?:PTX|ptxas)[^\n]{0,60}(?:fatal|failed|error)|NVCC (?:compilation )?failed"),
            Sign(r"CalledProcessError[^\n]{0,200}(?:gcc|g\+\+|nvcc|ninja|clang)"),
            Sign(r"out of resource: (?:shared memory|threads|registers)"),
            Sign(
                r"No such file or directory:? '(?P<file>[^'\n]{0,300}(?:\.triton/|triton/cache|"
                r"inductor|torch_compile_cache|flashinfer|deep_gemm)[^'\n]{0,300})'",
                cause="{file}, of the cache of compiled code, was removed by another process",
                repair="Give each engine a cache of its own, on a local disk: TRITON_CACHE_DIR, "
                "TORCHINDUCTOR_CACHE_DIR and VLLM_CACHE_ROOT.",
            ),
            Sign(
                r"hash of the compiled graph|failed to (?:load|save) the compiled|"
                r"torch_compile_cache"
            ),
            Sign(
                r"^(?:\w+\.)*(?:RuntimeError|AssertionError|KeyError|TypeError|AttributeError|"
                r"IndexError|ValueError|NotImplementedError)\b"
                r"(?![\s\S]{0,2000}not supported in this architecture)",
                within=innermost(
                    r"vllm/compilation/|torch/_(?:inductor|dynamo|functorch)/|triton/"
                ),
            ),
            Sign(r"Assertion error \(\S{0,200}/jit/"),
            Sign(r"PassManager::run failed|LLVM ERROR: |nvcc fatal|hipcc[^\n]{0,60}failed"),
            Sign(
                r"(?:subprocess\.CalledProcessError|RuntimeError)",
                within=r"flashinfer/jit|deep_gemm",
            ),
        ),
    ),
    Failure(
        kind="read-failed",
        exit_code=ExitCode.STORAGE,
        shown="A file cannot be read: the volume or its network failed.",
        cause="a read or a write failed",
        repair="Look at the volume that the model is on, and at the kernel's log (dmesg): the disk "
        "or the network behind it failed.",
        signs=(
            Sign(r"Errno 5\b|Input/output error|\bEIO\b|os error 5\b"),
            Sign(r"Stale file handle|Errno 116|Transport endpoint is not connected|Errno 107\]"),
            Sign(r"Remote I/O error|Errno 121|Errno 70\] Communication error"),
        ),
    ),
    Failure(
        kind="start-too-slow",
        exit_code=ExitCode.ENGINE,
        shown="vLLM gave up waiting for its own processes to start.",
        cause="vLLM gave up waiting for one of its processes to start",
        repair="Raise VLLM_ENGINE_READY_TIMEOUT_S (600 s unless set), or make the start quicker: "
        "the "
        "model on a faster disk, a cache of compiled code that outlives the container.",
        signs=(
            Sign(
                r"Timed out waiting for engine|did not respond within|Timed out waiting for "
                r".{0,60}start"
            ),
            Sign(r"failed to report ZMQ addresses within|response from front-end process within"),
            Sign(r"VLLM_ENGINE_READY_TIMEOUT_S|VLLM_ENGINE_ITERATION_TIMEOUT_S"),
            Sign(
                r"(?:engine|core)[^\n]{0,80}(?:startup|start-up|ready)[^\n]{0,60}time(?:d out|out)"
            ),
        ),
        weight=Weight.SYMPTOM,
    ),
    Failure(
        kind="step-too-slow",
        exit_code=ExitCode.ENGINE,
        shown="A worker did not answer in time while it computed: it hangs, or the device does.",
        cause="a worker did not answer in time",
        repair="Look whether the device hangs (nvidia-smi; dmesg for Xid). If it only is slow, "
        "raise "
        "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS.",
        signs=(
            Sign(r"RPC call to \w+ timed out|execute_model[^\n]{0,60}timed out"),
            Sign(r"Engine iteration timed out"),
            Sign(r"No available shared memory broadcast block found in (?:60|\d+) second"),
        ),
        weight=Weight.SYMPTOM,
    ),
)
