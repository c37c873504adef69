"""Processes that ended by a signal: what each signal mostly means."""

import signal
from collections.abc import Mapping

from entrypoint.diagnosis.catalogue.failure import ExitCode, Failure, Sign, Weight

_REPORT = "Report it to vLLM with the log and, if there is one, the core dump."

KILLED = Failure(
    kind="killed",
    exit_code=ExitCode.ENGINE,
    shown="A process of the engine was killed from outside (SIGKILL), or ended without a word.",
    cause="somebody sent SIGKILL; this container's counters do not tell of a want of memory",
    repair="Look who did it: the machine's own out-of-memory killer (dmesg), the kubelet (kubectl "
    "describe pod), or an operator.",
)
SILENCE = (
    "one of its processes ended without a word, as one does that is killed (SIGKILL); this "
    "container's counters do not tell of a want of memory"
)
"""The cause in words where the signal is not known: what ends by itself says why."""

SEGMENTATION = Failure(
    kind="segmentation-fault",
    exit_code=ExitCode.ENGINE,
    shown="A process of the engine used memory that it does not have (SIGSEGV).",
    cause="native code used memory that it does not have (SIGSEGV)",
    repair="It is an error of a library, not of a setting: use the image as it was built (nothing "
    "added by LD_LIBRARY_PATH or LD_PRELOAD), try ARG=--enforce-eager. " + _REPORT,
    signs=(
        Sign(r"Fatal Python error: Segmentation fault|Segmentation fault \(core dumped\)"),
        Sign(r"^Segmentation fault|Segfault encountered|SIGSEGV"),
    ),
    weight=Weight.SYMPTOM,
)
BUS = Failure(
    kind="bus-error",
    exit_code=ExitCode.MACHINE,
    shown="A process of the engine could not reach memory that it had mapped (SIGBUS).",
    cause="memory that was mapped could not be reached (SIGBUS): /dev/shm is full, or a file that "
    "was being read became shorter or its disk failed",
    repair="Make /dev/shm larger (docker: --shm-size=8g; Kubernetes: an emptyDir with medium: "
    "Memory "
    "mounted on /dev/shm), and check that nobody changes the model's files while they are read.",
    signs=(
        Sign(r"Fatal Python error: Bus error|Bus error \(core dumped\)|^Bus error|SIGBUS"),
        Sign(r"Nonexistent physical address"),
    ),
    weight=Weight.SYMPTOM,
)
ILLEGAL = Failure(
    kind="illegal-instruction",
    exit_code=ExitCode.MACHINE,
    shown="The processor lacks an instruction that vLLM was built for (SIGILL).",
    cause="the processor lacks an instruction that the code was built for (SIGILL)",
    repair="vLLM's build for CPU takes AVX2 at least, and AVX512 for some kernels (lscpu shows the "
    "flags): use a newer machine type, or have the virtual machine pass its processor's flags on.",
    signs=(
        Sign(r"Fatal Python error: Illegal instruction|Illegal instruction \(core dumped\)"),
        Sign(r"^Illegal instruction|SIGILL"),
        Sign(r"(?:CPU|processor)[^\n]{0,80}(?:does not support|lacks|requires)[^\n]{0,40}AVX"),
    ),
    weight=Weight.SYMPTOM,
)
ABORTED = Failure(
    kind="aborted",
    exit_code=ExitCode.ENGINE,
    shown="Native code gave up (SIGABRT): an assertion, or an exception that nobody caught.",
    cause="native code gave up (SIGABRT)",
    repair=_REPORT,
    signs=(
        Sign(
            r"terminate called after throwing an instance of '(?P<what>[^'\n]{1,200})'",
            cause="native code gave up with an exception that nobody caught ({what})",
        ),
        Sign(r"Fatal Python error: Aborted|terminate called without an active exception"),
        Sign(r"^Aborted|SIGABRT|free\(\): invalid|double free|malloc\(\): |corrupted size"),
    ),
    weight=Weight.SYMPTOM,
)
OTHER = Failure(
    kind="killed-by-signal",
    exit_code=ExitCode.ENGINE,
    shown="A process of the engine was ended by another signal.",
    cause="it was ended by {name}",
    repair="Look who sent the signal: an operator, or a program in the container.",
)

BY_SIGNAL: Mapping[int, Failure] = {
    signal.SIGKILL: KILLED,
    signal.SIGSEGV: SEGMENTATION,
    signal.SIGBUS: BUS,
    signal.SIGILL: ILLEGAL,
    signal.SIGABRT: ABORTED,
}
"""What each signal mostly means; any other is OTHER."""

FAILURES = (ILLEGAL, BUS, SEGMENTATION, ABORTED, KILLED, OTHER)
