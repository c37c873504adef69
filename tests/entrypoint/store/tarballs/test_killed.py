"""Unpacking, killed at random moments: a model is complete, or it is not found."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from entrypoint.store.fetch import fetch_model
from entrypoint.store.model import Request
from entrypoint.store.progress import ignore_progress
from entrypoint.store.search.find import find_model
from tests.support.models import (
    COMPRESSIONS,
    a_request,
    model_files,
    pack,
    safetensors,
    write_snapshot,
)

KILLS = 50
# It finds and fetches the model as serve does, and prints a line before it starts.
SCRIPT = """
import sys
from pathlib import Path
import zstandard
from entrypoint.store.tarballs import unpack
from entrypoint.store.fetch import fetch_model
from entrypoint.store.search.find import find_model
from tests.support.models import a_request
request = a_request(Path(sys.argv[1]), tarball=Path(sys.argv[2]))
print("starts", flush=True)
print(fetch_model(find_model(request), request, lambda progress: None).path)
"""


class Runs:
    """Processes that unpack the same tarball."""

    def __init__(self, folder: Path, compression: str):
        noise = random.Random(1)
        self.files = model_files(shards=2)
        for name in self.files:
            if name.endswith(".safetensors"):
                header = safetensors(6_000_000)[:-6_000_000]
                self.files[name] = header + noise.randbytes(6_000_000)
        write_snapshot(folder / "source", files=self.files)
        self.archive = pack(
            folder / "source", folder / f"a{COMPRESSIONS[compression]}", compression
        )
        self.folder = folder
        self.request: Request = a_request(folder, tarball=self.archive)

    def start(self) -> subprocess.Popen[str]:
        """Start a process, and wait until it is about to unpack."""
        command = [sys.executable, "-c", SCRIPT, str(self.folder), str(self.archive)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "starts\n"
        return process

    def seconds(self) -> float:
        """Return how long a process takes that is not killed."""
        with self.start() as process:
            started = time.monotonic()
            assert process.wait(timeout=60) == 0
        self.clear()
        return time.monotonic() - started

    def leftovers(self) -> list[Path]:
        return list(self.request.scratch.rglob("*.partial"))

    def check(self, directory: Path | None) -> None:
        """Assert that a directory is the model that was packed."""
        assert directory is not None
        there = {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in directory.rglob("*")
        }
        assert there == self.files

    def clear(self) -> None:
        """Forget what was unpacked."""
        shutil.rmtree(self.request.scratch)


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_killed_process_leaves_no_incomplete_model(tmp_path: Path, compression: str) -> None:
    """Half of the kills for each compression.

    1. A process unpacks, and is killed at a random moment.
    2. The model is found, either still packed or complete.
    3. The next process fetches it.
    Result: the model is complete, and the first process leaves no files.
    """
    runs = Runs(tmp_path, compression)
    moments = random.Random(compression)
    longest = runs.seconds()
    in_the_middle = 0
    for _ in range(KILLS // 2):
        with runs.start() as process:
            time.sleep(moments.uniform(0, longest))
            process.kill()
        in_the_middle += bool(runs.leftovers())
        model = find_model(runs.request)
        if model.on_disk:
            runs.check(model.path)
        runs.check(fetch_model(model, runs.request, ignore_progress).path)
        assert find_model(runs.request).on_disk
        if not model.on_disk:
            assert runs.leftovers() == []
        runs.clear()
    assert in_the_middle


@pytest.mark.slow
def test_a_waiting_process_continues_for_a_killed_one(tmp_path: Path) -> None:
    """
    1. Two processes unpack the same tarball: one works, one waits.
    2. The first is killed at a random moment.
    Result: the second has the complete model.
    """
    runs = Runs(tmp_path, "gzip")
    moments = random.Random(1)
    longest = runs.seconds()
    for _ in range(8):
        with runs.start() as first, runs.start() as second:
            time.sleep(moments.uniform(0, longest / 2))
            first.kill()
            assert second.wait(timeout=60) == 0
            assert second.stdout is not None
            # not communicate: it would miss what came with the first line
            out = second.stdout.read()
        runs.check(Path(out.strip()))
        assert runs.leftovers() == []
        runs.clear()
