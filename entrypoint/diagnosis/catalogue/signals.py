"""Processes that a signal killed, and what each signal usually means."""

import signal
from collections.abc import Mapping

from entrypoint.diagnosis.catalogue.failure import ExitCode, Failure, Role, Rule

_REPORT = "Report it to vLLM with the log and with the core dump, if there is one."

KILLED = Failure(
    kind="killed",
    exit_code=ExitCode.ENGINE,
    summary="One of the engine's processes was killed by SIGKILL, or exited without a message.",
    cause="something sent SIGKILL, and the container's memory counters do not show an "
    "out-of-memory kill",
    hint="Find out what sent it: the machine's out-of-memory killer (dmesg), the kubelet (kubectl "
    "describe pod), or an operator.",
)
SILENT_EXIT = (
    "one of its processes exited without a message, as after SIGKILL, and the container's memory "
    "counters do not show an out-of-memory kill"
)
"""The cause of an exit without a message, if the signal is unknown."""

SEGMENTATION = Failure(
    kind="segmentation-fault",
    exit_code=ExitCode.ENGINE,
    summary="One of the engine's processes crashed with a segmentation fault (SIGSEGV).",
    cause="native code crashed with a segmentation fault (SIGSEGV)",
    hint="This is a bug in a library. Use the image unchanged (no LD_LIBRARY_PATH, no LD_PRELOAD), "
    "and try ARG=--enforce-eager. " + _REPORT,
    rules=(
        Rule(r"Fatal Python error: Segmentation fault|Segmentation fault \(core dumped\)"),
        Rule(r"^Segmentation fault|Segfault encountered|SIGSEGV"),
    ),
    role=Role.SYMPTOM,
)
BUS = Failure(
    kind="bus-error",
    exit_code=ExitCode.MACHINE,
    summary="One of the engine's processes could not access mapped memory (SIGBUS).",
    cause="mapped memory could not be accessed (SIGBUS): /dev/shm is full, or a file was "
    "truncated while the engine read it, or its disk failed",
    hint="Make /dev/shm larger (docker: --shm-size=8g; Kubernetes: mount an emptyDir with medium: "
    "Memory on /dev/shm), and make sure that nothing changes the model's files while the engine "
    "reads them.",
    rules=(
        Rule(r"Fatal Python error: Bus error|Bus error \(core dumped\)|^Bus error|SIGBUS"),
        Rule(r"Nonexistent physical address"),
    ),
    role=Role.SYMPTOM,
)
ILLEGAL = Failure(
    kind="illegal-instruction",
    exit_code=ExitCode.MACHINE,
    summary="The processor does not support an instruction that vLLM uses (SIGILL).",
    cause="the processor does not support an instruction that the code uses (SIGILL)",
    hint="vLLM's CPU build requires AVX2, and AVX512 for some kernels (lscpu shows the flags). "
    "Use a newer machine type, or pass the host's processor flags to the virtual machine.",
    rules=(
        Rule(r"Fatal Python error: Illegal instruction|Illegal instruction \(core dumped\)"),
        Rule(r"^Illegal instruction|SIGILL"),
        Rule(r"(?:CPU|processor)[^\n]{0,80}(?:does not support|lacks|requires)[^\n]{0,40}AVX"),
    ),
    role=Role.SYMPTOM,
)
ABORTED = Failure(
    kind="aborted",
    exit_code=ExitCode.ENGINE,
    summary="Native code aborted (SIGABRT), because of an assertion or an uncaught exception.",
    cause="native code aborted (SIGABRT)",
    hint=_REPORT,
    rules=(
        Rule(
            r"terminate called after throwing an instance of '(?P<what>[^'\n]{1,200})'",
            cause="native code aborted because of an uncaught exception ({what})",
        ),
        Rule(r"Fatal Python error: Aborted|terminate called without an active exception"),
        Rule(r"^Aborted|SIGABRT|free\(\): invalid|double free|malloc\(\): |corrupted size"),
    ),
    role=Role.SYMPTOM,
)
OTHER_SIGNAL = Failure(
    kind="killed-by-signal",
    exit_code=ExitCode.ENGINE,
    summary="Another signal killed one of the engine's processes.",
    cause="it was killed by {name}",
    hint="Find out what sent the signal: an operator, or a program in the container.",
)

_BY_NUMBER: Mapping[int, Failure] = {
    signal.SIGKILL: KILLED,
    signal.SIGSEGV: SEGMENTATION,
    signal.SIGBUS: BUS,
    signal.SIGILL: ILLEGAL,
    signal.SIGABRT: ABORTED,
}
FAILURES = (ILLEGAL, BUS, SEGMENTATION, ABORTED, KILLED, OTHER_SIGNAL)


def failure_of_signal(number: int) -> Failure:
    """Return the kind of failure that a signal usually shows."""
    return _BY_NUMBER.get(number, OTHER_SIGNAL)
