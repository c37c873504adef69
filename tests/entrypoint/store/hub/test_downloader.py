"""The process that downloads: what it calls an error, and that it ends with its parent."""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from entrypoint.store.hub.client import COMMAND
from entrypoint.store.hub.downloader import NoSuchFormat, failure
from entrypoint.store.hub.messages import Job
from entrypoint.store.hub.transfer import Damaged
from entrypoint.store.writing.room import NoRoom
from tests.support.hub_stand_in import Hub, serve_hub
from tests.support.models import FALCON, model_files


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (LocalEntryNotFoundError("no connection"), "storage"),
        (RuntimeError("timed out"), "unreachable"),
        (NoRoom(Path("/"), 2, 1), "room"),
        (Damaged(), "damaged"),
        (ValueError(), "nonsense"),
        (KeyError("sha"), "nonsense"),
        (NoSuchFormat(("bin",)), "format"),
    ],
)
def test_errors_are_told_apart(error: Exception, kind: str) -> None:
    assert failure(error)["failure"] == kind


def test_an_error_is_told_in_one_line() -> None:
    assert failure(ValueError("a\n\nb"))["detail"] == "a b"
    assert failure(ValueError())["detail"] == "ValueError"


def test_a_signature_is_not_told() -> None:
    text = "Forbidden for url 'https://host/a%20b?X-Signature=word&b' and https://host/c?word."
    told = "Forbidden for url 'https://host/a%20b' and https://host/c"
    assert failure(ValueError(text))["detail"] == told


@pytest.mark.parametrize("pause", [0.05, 5.0])
def test_it_ends_when_its_parent_is_gone(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """
    1. A download is in the middle of a file; the hub sends little at a time, or nothing for long.
    2. Its standard input ends, as it does when the parent is killed.
    Result: the process ends, without a result.
    """
    with serve_hub(Hub(model_files(size=1_000_000), pause=pause)) as hub:
        monkeypatch.setenv("HF_HOME", f"{tmp_path}/home")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        job: Job = {
            "repository": FALCON,
            "revision": None,
            "token": None,
            "endpoint": hub.address,
            "root": f"{tmp_path}/cache",
            "include": [],
            "exclude": [],
            "format": None,
            "workers": 8,
            "dry_run": False,
        }
        with subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            assert "files" in process.stdout.readline()
            assert "total" in process.stdout.readline()
            process.stdin.close()
            rest = process.stdout.read()
    assert process.returncode == 1
    assert "path" not in rest
