"""The process that downloads: what it calls an error, and that it ends with its parent."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from entrypoint.store.hub.client import DOWNLOADER
from entrypoint.store.hub.downloader import NoSuchFormat, failure_of
from entrypoint.store.hub.refusal import Refusal
from entrypoint.store.hub.transfer import Damaged
from entrypoint.store.progress import Progress
from entrypoint.store.transfer_process.messages import DownloadJob, decode, encode
from entrypoint.store.writing.room import NoRoom
from tests.support.hub_stand_in import Hub, serve_hub
from tests.support.models import FALCON, model_files


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), Refusal.STORAGE),
        (LocalEntryNotFoundError("no connection"), Refusal.STORAGE),
        (RuntimeError("timed out"), Refusal.UNREACHABLE),
        (NoRoom(Path("/"), 2, 1), Refusal.NO_SPACE),
        (Damaged(), Refusal.DAMAGED),
        (ValueError(), Refusal.NOT_A_HUB),
        (KeyError("sha"), Refusal.NOT_A_HUB),
        (NoSuchFormat(("bin",)), Refusal.FORMAT),
    ],
)
def test_each_error_has_its_kind(error: Exception, kind: Refusal) -> None:
    assert failure_of(error).kind is kind


def test_the_detail_is_one_line() -> None:
    assert failure_of(ValueError("a\n\nb")).detail == "a b"
    assert failure_of(ValueError()).detail == "ValueError"


def test_the_detail_has_no_signature() -> None:
    text = "Forbidden for url 'https://host/a%20b?X-Signature=word&b' and https://host/c?word."
    shown = "Forbidden for url 'https://host/a%20b' and https://host/c"
    assert failure_of(ValueError(text)).detail == shown


@pytest.mark.parametrize("pause", [0.05, 5.0])
def test_the_downloader_ends_with_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """
    1. A download is in the middle of a file; the hub sends little at a time, or nothing for long.
    2. Its standard input ends, as it does when the parent is killed.
    Result: the process ends, without a result.
    """
    with serve_hub(Hub(model_files(size=1_000_000), pause=pause)) as hub:
        monkeypatch.setenv("HF_HOME", f"{tmp_path}/home")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        job = DownloadJob(FALCON, None, None, tmp_path / "cache", hub.address)
        with subprocess.Popen(
            [sys.executable, "-m", DOWNLOADER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(encode(job) + "\n")
            process.stdin.flush()
            for _ in range(2):
                assert isinstance(decode(process.stdout.readline()), Progress)
            process.stdin.close()
            rest = process.stdout.read()
    assert process.returncode == 1
    assert all(isinstance(decode(line), Progress) for line in rest.splitlines())
