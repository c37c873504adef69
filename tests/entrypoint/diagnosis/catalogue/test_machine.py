"""Failures of the machine or pod: messages of the system, and the causes they lead to."""

import pytest

from entrypoint.diagnosis.catalogue.machine import FAILURES
from tests.support.failure_logs import explain


@pytest.mark.parametrize(
    ("text", "kind", "cause"),
    [
        (
            "OSError: [Errno 28] No space left on device: '/tmp/a'",
            "disk-full",
            "the file system of /tmp/a is full",
        ),
        (
            "OSError: [Errno 30] Read-only file system: '/cache/a'",
            "read-only-filesystem",
            "/cache/a cannot be written, because its file system is read-only",
        ),
        (
            "ImportError: /tmp/a.so: failed to map segment from shared object",
            "noexec",
            "/tmp/a.so is on a file system that is mounted noexec",
        ),
        (
            "OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): "
            "address already in use",
            "port-taken",
            "cannot listen on 0.0.0.0, port 8000",
        ),
        (
            "PermissionError: [Errno 13] Permission denied: '/data/a'",
            "permission-denied",
            "not allowed to read or write /data/a",
        ),
        (
            "KeyError: 'getpwuid(): uid not found: 1000680000'",
            "user-unknown",
            "the user ID 1000680000 has no entry in /etc/passwd",
        ),
        (
            "ValueError: Insufficient space in /dev/shm for it: 240.0 MiB required, 64.0 MiB free",
            "shm-too-small",
            "the engine needs 240.0 MiB, and 64.0 MiB is free",
        ),
        ("OSError: [Errno 24] Too many open files", "too-many-files", "the limit on open files"),
        ("RuntimeError: can't start new thread", "too-many-processes", "processes or threads"),
        ("OSError: [Errno 5] Input/output error", "read-failed", "reading or writing"),
        ("InvalidCxxCompiler: No working C++ compiler found", "no-compiler", "C compiler"),
    ],
)
def test_a_message_about_a_machine_problem_states_its_cause(
    text: str, kind: str, cause: str
) -> None:
    found, explained = explain(FAILURES, text)
    assert found == kind
    assert cause in explained


def test_a_timeout_of_the_engine_depends_on_what_it_waited_for() -> None:
    start = "TimeoutError: Timed out waiting for engine core processes to start."
    step = "TimeoutError: RPC call to execute_model timed out."
    assert [explain(FAILURES, text)[0] for text in (start, step)] == [
        "start-too-slow",
        "step-too-slow",
    ]
