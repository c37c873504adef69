"""Pulling in a separate process: what it reports, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from entrypoint.errors import InferenceServerError, MachineError, StoreError
from entrypoint.store.objects import client
from entrypoint.store.objects.client import pull_in_child
from entrypoint.store.progress import Progress, ignore_progress
from tests.support.launch import descendants
from tests.support.object_stores import BUCKET, KEY, MIB, URI, Asked, S3StandIn, open_s3


def put(content: bytes) -> None:
    open_s3().client.put_object(Bucket=BUCKET, Key=KEY, Body=content)


def failure(target: Path) -> InferenceServerError:
    with pytest.raises(InferenceServerError) as caught:
        pull_in_child(URI, target, "MODEL_ID", os.environ, ignore_progress)
    return caught.value


def test_the_progress_ends_with_all_bytes(tmp_path: Path, s3: S3StandIn) -> None:
    put(bytes(range(256)) * 4096 * 3)
    reports: list[Progress] = []
    pull_in_child(URI, tmp_path / "a", "MODEL_ID", os.environ, reports.append)
    assert (tmp_path / "a").stat().st_size == 3 * MIB
    assert reports[-1] == Progress(3 * MIB, 3 * MIB)
    assert all(report.done <= report.total for report in reports)


def test_a_crash_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crash.py").write_text("import sys; sys.exit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(client, "PULLER", "crash")
    error = failure(tmp_path / "a")
    assert type(error) is StoreError
    assert "exit status 3" in error.message


def test_a_stopped_start_ends_the_process(tmp_path: Path, s3: S3StandIn) -> None:
    put(b"content")

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull_in_child(URI, tmp_path / "a", "MODEL_ID", os.environ, stop)
    assert not [line for line in descendants(os.getpid()).values() if "puller" in line]


def test_the_process_does_not_outlive_its_parent(tmp_path: Path, s3: S3StandIn) -> None:
    put(bytes(2 * MIB))
    asked, released = threading.Event(), threading.Event()

    def fault(request: Asked) -> None:
        if request.range:
            asked.set()
            released.wait(30)

    s3.fault = fault
    script = (
        "import os, sys; from pathlib import Path\n"
        "from entrypoint.store.objects.client import pull_in_child\n"
        f"pull_in_child({URI!r}, Path(sys.argv[1]), 'MODEL_ID', os.environ, lambda progress: None)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "a")])
    try:
        assert asked.wait(30)
        [puller] = [pid for pid, line in descendants(parent.pid).items() if "puller" in line]
        parent.kill()
        parent.wait()
        for _ in range(600):
            if not Path(f"/proc/{puller}").exists() or is_zombie(puller):
                break
            time.sleep(0.05)
        else:
            raise AssertionError("it outlives its parent")
    finally:
        parent.kill()
        released.set()
    assert not (tmp_path / "a").exists()


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_an_error_of_the_process_is_raised_here(
    tmp_path: Path, s3: S3StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "boto3.py"
    script.write_text("raise ModuleNotFoundError('no', name='boto3')")
    monkeypatch.syspath_prepend(tmp_path)
    error = failure(tmp_path / "a")
    assert type(error) is MachineError
    assert "inference-server[s3]" in (error.hint or "")
    assert error.variable == "MODEL_ID"
