"""Running a transfer: what is passed on, and how the process ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from entrypoint.store.progress import Progress, ignore_progress
from entrypoint.store.transfer_process.messages import Failure, Pulled, PullJob
from entrypoint.store.transfer_process.parent import transfer
from tests.support.launch import descendants

JOB = PullJob("s3://bucket/key", Path("/target"))
IMPORTS = """\
import os, sys, time
from pathlib import Path
from entrypoint.store.progress import Progress
from entrypoint.store.transfer_process.child import serve
from entrypoint.store.transfer_process.messages import Failure, Notice, Pulled
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module that the process runs."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "stand_in_for_a_transfer.py"


def test_progress_notices_and_the_result_are_passed_on(
    work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    work.write_text(
        f"{IMPORTS}\n"
        "def run(job, environ, send):\n"
        "    print('a library prints')\n"
        "    send(Progress(1, 2))\n"
        "    send(Notice('trying again'))\n"
        "    return Pulled(job.target, 2, 2, environ['DIGEST'], 'size')\n"
        "serve(run)\n"
    )
    reports: list[Progress] = []
    result = transfer(work.stem, JOB, {**os.environ, "DIGEST": "ab"}, reports.append)
    assert result == Pulled(Path("/target"), 2, 2, "ab", "size")
    assert reports == [Progress(1, 2)]
    assert capfd.readouterr().err == "a library prints\ninference-server: trying again\n"


def test_the_process_gets_no_other_environment(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_PARENT", "1")
    work.write_text(
        f"{IMPORTS}\n"
        "serve(lambda job, environ, send: Failure('x', str('OF_THE_PARENT' in os.environ)))\n"
    )
    assert transfer(work.stem, JOB, {}, ignore_progress) == Failure("x", "False")


@pytest.mark.parametrize("code", ["sys.exit(3)", "sys.stdin.readline(); sys.exit(3)"])
def test_a_process_without_a_result_is_a_failure(work: Path, code: str) -> None:
    work.write_text(f"import sys; {code}")
    job = PullJob("s3://bucket/" + "x" * 1_000_000, Path("/target"))  # more than a pipe holds
    result = transfer(work.stem, job, os.environ, ignore_progress)
    assert result == Failure("crashed", "exit status 3")


def test_an_exception_of_the_reporter_ends_the_process(work: Path) -> None:
    work.write_text(
        f"{IMPORTS}\n"
        "def run(job, environ, send):\n"
        "    send(Progress(1, 2))\n"
        "    time.sleep(600)\n"
        "serve(run)\n"
    )

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(work.stem, JOB, os.environ, stop)
    assert not [line for line in descendants(os.getpid()).values() if work.stem in line]
