"""The process's side: what it sends, and that it ends with its parent."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from entrypoint.store.progress import Progress
from entrypoint.store.transfer_process import child
from entrypoint.store.transfer_process.child import reported
from entrypoint.store.transfer_process.messages import Message, PullJob, decode, encode

JOB = PullJob("s3://bucket/key", Path("/target"))
HANGS = (
    "import time\n"
    "from entrypoint.store.progress import Progress\n"
    "from entrypoint.store.transfer_process.child import serve\n"
    "def run(job, environ, send):\n"
    "    send(Progress(1, 2))\n"
    "    time.sleep(600)\n"
    "serve(run)\n"
)
REPEATS = HANGS.replace("    time.sleep(600)\n", "    while True: send(Progress(1, 2))\n")


@pytest.mark.parametrize(
    ("script", "closed"),
    [(HANGS, "stdin"), (REPEATS, "stdin"), (REPEATS, "stdout")],
    ids=["hangs", "repeats", "repeats without a reader"],
)
def test_the_process_ends_with_its_parent(script: str, closed: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(JOB) + "\n")
        process.stdin.flush()
        assert decode(process.stdout.readline()) == Progress(1, 2)
        (process.stdin if closed == "stdin" else process.stdout).close()
        assert process.wait(30) == 1


def test_the_reporter_sends_the_progress_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "SECONDS_BETWEEN_REPORTS", 0.01)
    sent: list[Message] = []
    done = 0

    def progress() -> Progress:
        return Progress(done, 2)

    with reported(progress, sent.append):
        while len(sent) < 2:
            time.sleep(0.01)
        done = 2
    assert sent[0] == Progress(0, 2)
    assert sent[-1] == Progress(2, 2)
    count = len(sent)
    time.sleep(0.05)
    assert len(sent) == count


def test_the_last_progress_is_sent_after_a_failure() -> None:
    sent: list[Message] = []
    with pytest.raises(RuntimeError), reported(lambda: Progress(1, 2), sent.append):
        raise RuntimeError
    assert sent == [Progress(1, 2)]
