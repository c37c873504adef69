"""The fault matrix: what happens to a launch, and how it must end.

A row is one fault in one phase. The launch is the real command in a separate process; the engine is
the scripted one (tests/support/scripted_engine.py).
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.shared.handover import Phase
from tests.faults.injections import acts, machine, models, servers
from tests.faults.injections.acts import Act
from tests.faults.stage import Inject
from tests.support.hub_stand_in import Fault as Answer

LOADING = (Phase.IMPORT, Phase.WEIGHTS, Phase.COMPILE, Phase.WARM_UP)
"""The phases of an engine that does not serve yet."""
LOGS = Path(__file__).parents[1] / "entrypoint" / "diagnosis" / "logs" / "produced"
CODES = {failure.kind: int(failure.exit_code) for failure in FAILURES}
SERVES = "weights compile warm-up serve hang"
"""The script of an engine without a fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row.

    Attributes:
        fault: What goes wrong, in words. No two rows have the same fault and phase.
        phase: The launch's phase at that time.
        code: The expected exit code.
        kind: The expected error code in the termination message; empty if there is no message.
        words: Words expected on standard error.
        inject: What is wrong before the start.
        act: What happens once the phase is reached, if anything has to.
        script: What the scripted engine's main process plays; its core and worker play ``core``
            and ``worker``.
        variables: Variables added to the environment; ``{place}`` is the row's directory.
    """

    fault: str
    phase: Phase
    code: int
    kind: str
    words: tuple[str, ...]
    inject: tuple[Inject, ...] = ()
    act: Act | None = None
    script: str = SERVES
    core: str = ""
    worker: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The row's name, for a test's id."""
        return f"{self.fault} ({self.phase})"


def _up_to(phase: Phase) -> str:
    """Return a script that reaches a phase and stays in it."""
    passed = [str(each) for each in LOADING[1:] if each.rank <= phase.rank]
    return " ".join([*passed, "serve" if phase is Phase.READY else "", "hang"])


def _tree(phase: Phase) -> dict[str, str]:
    """Return the scripts of a main process, a core and a worker that follow each other."""
    return {
        "script": f"spawn=core follow=core {_up_to(phase)}",
        "core": "spawn=worker follow=worker hang",
        "worker": "hang",
    }


KILLED = (
    tuple(
        Fault(
            f"the engine's {role} process is killed",
            phase,
            128 + SIGKILL if role == "main" else 70,
            "killed" if role == "main" else "engine-failed",
            ("SIGKILL" if role == "main" else "exit code 1", f"phase {phase}"),
            act=acts.kills(role),
            **_tree(phase),  # type: ignore[arg-type]
        )
        for phase in (*LOADING, Phase.READY)
        for role in ("main", "core", "worker")
    )
    + tuple(
        Fault(
            "the entrypoint is killed",
            phase,
            -SIGKILL,
            "",
            (f"phase {phase}" if phase is not Phase.READY else "ready after",),
            act=acts.kills_the_entrypoint,
            **_tree(phase),  # type: ignore[arg-type]
        )
        for phase in (*LOADING, Phase.READY)
    )
    + tuple(
        Fault(
            f"the engine's {role} process is killed while it drains",
            Phase.READY,
            0,
            "",
            ("stopped as asked",),
            act=acts.kills_while_it_stops(role),
            script="spawn=core follow=core weights drain=30 serve hang",
            core="ignore-sigterm hang",
        )
        for role in ("main", "core")
    )
)

ENDED = tuple(
    Fault(
        f"the engine dies of {number.name}",
        phase,
        128 + number,
        kind,
        (number.name, f"phase {phase}"),
        script=f"{_up_to(phase).removesuffix('hang')} kill={int(number)}",
    )
    for number, phase, kind in (
        (signal.SIGSEGV, Phase.WEIGHTS, "segmentation-fault"),
        (signal.SIGBUS, Phase.WEIGHTS, "bus-error"),
        (signal.SIGILL, Phase.COMPILE, "illegal-instruction"),
        (signal.SIGABRT, Phase.WARM_UP, "aborted"),
        (signal.SIGFPE, Phase.READY, "killed-by-signal"),
    )
) + tuple(
    Fault(
        f"the engine exits with code {code} without a stop",
        phase,
        70,
        "engine-failed",
        (f"exit code {code}", f"phase {phase}"),
        script=f"{_up_to(phase).removesuffix('hang')} exit={code}",
    )
    for code, phase in (
        (0, Phase.IMPORT),
        (0, Phase.READY),
        (1, Phase.WEIGHTS),
        (3, Phase.COMPILE),
        (255, Phase.WARM_UP),
    )
)

STOPPED = (
    *tuple(
        Fault(
            f"{number.name}",
            phase,
            0,
            "",
            (number.name, "stopped as asked"),
            act=acts.sends(number),
            script=_up_to(phase),
        )
        for phase in (*LOADING, Phase.READY)
        for number in (SIGTERM, SIGINT)
    ),
    Fault(
        "SIGTERM while the model is verified",
        Phase.VERIFY,
        0,
        "",
        ("stopped as asked",),
        (models.large_weights(6 << 30),),
        acts.sends(SIGTERM),
        variables={"MODEL_VERIFY": "full"},
    ),
    Fault(
        "SIGTERM while a tarball is unpacked",
        Phase.UNPACK,
        0,
        "",
        ("stopped as asked",),
        (models.large_tarball(512 << 20),),
        acts.sends(SIGTERM),
    ),
    Fault(
        "SIGTERM while the model is downloaded",
        Phase.DOWNLOAD,
        0,
        "",
        ("stopped as asked",),
        (servers.hub(pause=0.5),),
        acts.sends(SIGTERM),
    ),
    Fault(
        "SIGTERM to an engine that ignores it",
        Phase.WEIGHTS,
        0,
        "",
        ("stopped as asked",),
        act=acts.sends(SIGTERM),
        script="ignore-sigterm weights hang",
    ),
    Fault(
        "SIGTERM to an engine that ignores it",
        Phase.READY,
        0,
        "",
        ("stopped as asked",),
        act=acts.sends(SIGTERM),
        script="ignore-sigterm serve hang",
        variables={"SHUTDOWN_TIMEOUT": "0"},
    ),
    Fault(
        "SIGTERM to an engine that is stopped by SIGSTOP",
        Phase.COMPILE,
        0,
        "",
        ("stopped as asked",),
        act=lambda trial: (acts.stops("main")(trial), acts.sends(SIGTERM)(trial))[-1],
        script=_up_to(Phase.COMPILE),
    ),
    Fault(
        "a second SIGTERM while it drains",
        Phase.READY,
        0,
        "",
        ("again: stopping at once", "stopped as asked"),
        act=acts.sends(SIGTERM, SIGTERM),
        script="ignore-sigterm serve hang",
        variables={"SHUTDOWN_TIMEOUT": "600"},
    ),
)

DAMAGED = tuple(
    Fault(fault, Phase.RESOLVE, 65, kind, words, (inject,))
    for fault, kind, words, inject in (
        ("weights that are truncated", "incomplete-model", ("model.safetensors", "truncated"),
         models.cut("model.safetensors")),
        ("weights with a corrupted header", "incomplete-model", ("model.safetensors", "header"),
         models.holds("model.safetensors", b"\x40" + bytes(7) + b"x" * 64)),
        ("a missing shard", "incomplete-model",
         ("model-00002-of-00002.safetensors", "missing"), models.lacks_a_shard),
        ("an empty file", "incomplete-model", ("tokenizer.json", "empty"),
         models.holds("tokenizer.json", b"")),
        ("a dangling link", "incomplete-model", ("model.safetensors", "dangling link"),
         models.dangles("model.safetensors")),
        ("a config.json with garbage", "incomplete-model", ("config.json", "not valid JSON"),
         models.holds("config.json", b"\xff\x00{")),
        ("a missing config.json", "incomplete-model", ("config.json", "missing"),
         models.is_missing("config.json")),
        ("a model without weights", "incomplete-model", ("no weight file",),
         models.is_missing("model.safetensors")),
        ("a Git LFS pointer in place of the weights", "incomplete-model", ("git lfs pull",),
         models.holds("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n")),
        ("half of a plain tarball", "refused-artifact", ("model.tar",),
         models.tarball("plain", models.half)),
        ("half of a gzip tarball", "refused-artifact", ("model.tar.gz",),
         models.tarball("gzip", models.half, size=1 << 20)),
        ("half of a zstd tarball", "refused-artifact", ("model.tar.zst",),
         models.tarball("zstd", models.half)),
        ("a tarball of garbage", "refused-artifact", ("model.tar.gz",),
         models.tarball("gzip", models.garbage)),
    )
)  # fmt: skip

NOT_SERVED = (
    Fault("weights with one bit changed", Phase.VERIFY, 65, "failed-verification",
          ("model.safetensors",), (models.changed("model.safetensors"),),
          variables={"MODEL_VERIFY": "full"}),
    Fault("code of another repository", Phase.RESOLVE, 65, "refused-code",
          ("someone/else--configuration.Config",), (models.names_code_of_another_repository,),
          variables={"TRUST_REMOTE_CODE": "1"}),
    Fault("a misspelled model", Phase.RESOLVE, 66, "model-not-found", ("Did you mean",),
          variables={"MODEL_ID": "tiiuae/falcon-7b-instrukt"}),
    Fault("a missing revision", Phase.RESOLVE, 66, "revision-not-found",
          ("REVISION", "v9"), variables={"REVISION": "v9"}),
    Fault("a missing cache", Phase.RESOLVE, 66, "model-not-found", ("/nowhere",),
          variables={"HF_HUB_CACHE": "/nowhere"}),
)  # fmt: skip

SETTINGS = tuple(
    Fault(fault, Phase.RESOLVE, 78, kind, words, inject, variables=variables)
    for fault, kind, words, inject, variables in (
        ("no MODEL_ID", "setting", ("MODEL_ID is not set",), (), {"MODEL_ID": ""}),
        ("a port that is not a number", "setting", ("PORT", "tcp://10.0.0.1:80"), (),
         {"PORT": "tcp://10.0.0.1:80"}),
        ("a boolean that is neither true nor false", "setting", ("TRUST_REMOTE_CODE", "maybe"), (),
         {"TRUST_REMOTE_CODE": "maybe"}),
        ("an option that vLLM does not have", "unknown-option", ("--max-model-length",), (),
         {"ARG": "--max-model-length 100"}),
        ("ARG with an open quote", "setting", ("ARG", "quot"), (), {"ARG": "--dtype 'auto"}),
        ("a missing file of keys", "setting", ("API_KEY_FILE", "No such file"), (),
         {"API_KEY_FILE": "{place}/keys"}),
        ("a folder instead of a file of keys", "setting", ("API_KEY_FILE", "directory"),
         (machine.is_a_folder("API_KEY_FILE"),), {}),
        ("a file of keys without a key", "setting", ("API_KEY_FILE", "no key"),
         (models.a_file("keys", b"\n \n", "API_KEY_FILE"),), {}),
        ("a file of keys that is not text", "setting", ("API_KEY_FILE", "not UTF-8 text"),
         (models.a_file("keys", b"\xff\xfe", "API_KEY_FILE"),), {}),
        ("a missing tarball", "setting", ("MODEL_TARBALL", "none.tar"), (),
         {"MODEL_TARBALL": "{place}/none.tar"}),
        ("a missing public key", "setting", ("MODEL_SIGNATURE_KEY",), (),
         {"MODEL_SIGNATURE_KEY": "{place}/none.pem"}),
        ("a negative timeout", "setting", ("START_TIMEOUT",), (),
         {"START_TIMEOUT": "-1"}),
    )
)  # fmt: skip

MACHINE = (
    Fault("the port is in use", Phase.RESOLVE, 71, "machine",
          ("Another process already listens", "PORT"),
          (machine.taken_port,)),
    Fault("/dev/shm is too small", Phase.RESOLVE, 71, "machine", ("/dev/shm", "--shm-size"),
          (machine.mounted("/dev/shm", "size=64m"),)),
    Fault("/dev/shm is full", Phase.RESOLVE, 71, "machine", ("/dev/shm", "free"),
          (machine.filled("/dev/shm", 1 << 20),)),
    Fault("/dev/shm is read-only", Phase.RESOLVE, 71, "machine", ("/dev/shm", "not writable"),
          (machine.mounted("/dev/shm", "ro"),)),
    Fault("the scratch directory is mounted noexec", Phase.RESOLVE, 71, "machine", ("noexec",),
          (machine.mounted("scratch", "noexec"),)),
    Fault("the scratch directory is full", Phase.RESOLVE, 71, "machine", ("scratch", "free"),
          (machine.filled("scratch", 1 << 20),)),
    Fault("neither scratch nor TMPDIR is writable", Phase.RESOLVE, 71, "machine",
          ("No scratch directory",),
          (machine.read_only("scratch"), machine.read_only("tmp"))),
    Fault("TMPDIR is read-only", Phase.READY, 0, "", ("stopped as asked",),
          (machine.read_only("tmp"),), acts.serves),
    Fault("TMPDIR is full", Phase.READY, 0, "", ("stopped as asked",),
          (machine.mounted("tmp", "size=1m,nr_inodes=1"),), acts.serves),
    Fault("TMPDIR has no free space", Phase.READY, 0, "", ("has no space left. Using /tmp",),
          (machine.filled("tmp", 8 << 10),), acts.serves),
    Fault("TMPDIR is missing", Phase.READY, 0, "", ("stopped as asked",),
          (machine.without("tmp"),), acts.serves),
    Fault("TMPDIR is too long for a socket", Phase.RESOLVE, 71, "machine", ("TMPDIR", "too long"),
          (machine.deep_tmpdir,)),
    Fault("a cache's variable names a read-only folder", Phase.RESOLVE, 71, "machine",
          ("VLLM_CACHE_ROOT",), (machine.read_only("compiled"),),
          variables={"VLLM_CACHE_ROOT": "{place}/compiled"}),
    Fault("standard output has no reader", Phase.READY, 0, "", ("stopped as asked",),
          (machine.nobody_reads("stdout"),), acts.serves),
    Fault("standard error has no reader", Phase.READY, 0, "", (),
          (machine.nobody_reads("stderr"),), acts.serves),
    Fault("neither stream has a reader", Phase.READY, 0, "", (),
          (machine.nobody_reads("stdout", "stderr"),), acts.serves,
          script="garbage=100000 serve hang"),
    Fault("the termination message cannot be written", Phase.WEIGHTS, 70, "",
          ("exit code 3",), script="weights exit=3",
          variables={"TERMINATION_LOG": "/proc/none/termination-log"}),
    Fault("the termination message's file is a folder", Phase.WEIGHTS, 70, "",
          ("exit code 3",), (machine.is_a_folder("TERMINATION_LOG"),), script="weights exit=3"),
    Fault("the engine writes garbage, and dies", Phase.WEIGHTS, 70, "engine-failed",
          ("exit code 4",), script="weights garbage=3000000 exit=4"),
    Fault("files are limited to 1 MiB", Phase.UNPACK, 74, "storage", ("too large",),
          (models.large_tarball(64 << 20), machine.limited(f"--fsize={1 << 20}"))),
    Fault("a missing accelerator", Phase.RESOLVE, 71, "machine", ("ACCELERATOR=cuda",),
          variables={"ACCELERATOR": "cuda"}),
    Fault("too little space to unpack a tarball", Phase.UNPACK, 74, "storage",
          ("are free", "are needed"),
          (models.large_tarball(300 << 20), machine.mounted("scratch", "size=260m"))),
    *(
        Fault(f"no more than {count} threads and processes", Phase.RESOLVE, 71, "machine",
              ("Cannot start another thread or process", "--pids-limit"),
              (machine.in_cgroup("pids", pids__max=str(count)),))
        for count in (2, 3)
    ),
    *(
        Fault(f"no more than {count} open files", Phase.RESOLVE, 71, "machine",
              (f"The limit on open files is {count}", "ulimit -n"),
              (machine.limited(f"--nofile={count}"),))
        for count in (5, 6, 8, 12, 40)
    ),
    Fault("a memory limit below the model's size", Phase.RESOLVE, 71, "machine",
          ("need", "of memory"),
          (models.large_weights(2 << 30),
           machine.in_cgroup("memory", memory__limit_in_bytes="1G", memory__max="1G"))),
    Fault("the memory limit is reached by the entrypoint", Phase.RESOLVE, -9, "", (),
          (machine.in_cgroup("memory", memory__limit_in_bytes="24M", memory__max="24M"),)),
    Fault("the disk is slow", Phase.READY, 0, "", ("stopped as asked",),
          (models.unread_weights(4 << 20), machine.slow_disk(2 << 20)), acts.serves,
          variables={"MODEL_VERIFY": "full"}),
    Fault("the cache is read-only", Phase.READY, 0, "", ("stopped as asked",),
          (machine.read_only("cache"),), acts.serves),
    Fault("the time of day jumps a year ahead", Phase.WEIGHTS, 0, "", ("stopped as asked",),
          act=acts.sets_the_clock, script="weights sleep=1 serve hang"),
    Fault("the monotonic clock is far ahead", Phase.READY, 0, "", ("stopped as asked",),
          (machine.time_namespace(10**7),), acts.serves),
    Fault("clients send requests while it loads", Phase.WEIGHTS, 0, "", ("stopped as asked",),
          act=acts.asks_often, script="weights sleep=1 serve hang"),
)  # fmt: skip

REMOTE = tuple(
    Fault(fault, Phase.RESOLVE, code, kind, words, (inject,))
    for fault, code, kind, words, inject in (
        ("the hub refuses connections", 69, "hub", ("127.0.0.1",), servers.refused),
        ("the hub never answers", 69, "hub", ("127.0.0.1",), servers.never_answers),
        ("the hub resets connections", 69, "hub", ("127.0.0.1",), servers.hangs_up),
        ("the hub answers 500", 69, "hub", ("meta/down", "500"), servers.hub("meta/down")),
        ("the hub answers 401", 66, "model-not-found", ("meta/private", "HF_TOKEN"),
         servers.hub("meta/private")),
        ("the hub answers 403, the model is gated", 69, "hub", ("meta/gated",),
         servers.hub("meta/gated")),
        ("the hub answers 404", 66, "model-not-found", ("meta/missing",),
         servers.hub("meta/missing")),
        ("the hub answers 429", 69, "hub", ("meta/limited", "429"), servers.hub("meta/limited")),
        ("the object store refuses connections", 69, "store", ("bucket",), servers.store(False)),
        ("the object store resets connections", 69, "store", ("bucket",), servers.store(True)),
    )
)  # fmt: skip

DOWNLOADED = (
    Fault("the hub closes a download once", Phase.READY, 0, "",
          ("trying again", "stopped as asked"), (servers.hub(fault=Answer(cut=1000)),),
          acts.serves),
    Fault("the hub refuses one file", Phase.DOWNLOAD, 69, "hub", ("model.safetensors", "403"),
          (servers.hub(fault=Answer(status=403, times=1000)),)),
)  # fmt: skip

HANGS = tuple(
    Fault(
        "the engine hangs",
        phase,
        70,
        "start-timeout",
        ("START_TIMEOUT=2 s", f"phase {phase}"),
        script=_up_to(phase),
        variables={"START_TIMEOUT": "2"},
    )
    for phase in LOADING
)  # fmt: skip

TOO_SLOW = (
    Fault("the engine hangs, and ignores SIGTERM", Phase.WEIGHTS, 70, "start-timeout",
          ("phase weights", "the last words"),
          script="ignore-sigterm weights say='the last words' hang",
          variables={"START_TIMEOUT": "2"}),
    Fault("the engine's core is stopped by SIGSTOP", Phase.COMPILE, 70, "start-timeout",
          ("phase compile",), act=acts.stops("core"), variables={"START_TIMEOUT": "6"},
          **_tree(Phase.COMPILE)),  # type: ignore[arg-type]
    Fault("the disk is too slow", Phase.VERIFY, 70, "start-timeout", ("phase verify",),
          (models.unread_weights(64 << 20), machine.slow_disk(2 << 20)),
          variables={"MODEL_VERIFY": "full", "START_TIMEOUT": "5"}),
    Fault("the model is read too slowly", Phase.VERIFY, 70, "start-timeout", ("phase verify",),
          (models.large_weights(6 << 30),),
          variables={"MODEL_VERIFY": "full", "START_TIMEOUT": "1"}),
)  # fmt: skip

LOGGED = tuple(
    Fault(
        f"the engine fails as vLLM does: {log}",
        Phase.WEIGHTS,
        CODES[kind],
        kind,
        (),
        script=f"weights error-log={LOGS / log}.log exit=1",
    )
    for log, kind in (
        ("weights-cut-off", "weights-corrupt"),
        ("weights-missing", "model-missing"),
        ("weights-of-another-shape", "weights-mismatch"),
        ("architecture-unknown", "architecture-unsupported"),
        ("config-cut-off", "config-unusable"),
        ("tokenizer-cut-off", "tokenizer-unusable"),
    )
)
"""tests/entrypoint/diagnosis has more, cause by cause."""

SCRIPTED = (
    *(*KILLED, *ENDED, *HANGS, *TOO_SLOW, *LOGGED, *STOPPED),
    *(*DAMAGED, *NOT_SERVED, *SETTINGS, *MACHINE, *REMOTE, *DOWNLOADED),
)
"""The rows with the scripted engine."""
