"""What the processes of one test run share: a folder, and turns at making something once."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def shared_folder(factory: pytest.TempPathFactory, worker_id: str, name: str) -> Path:
    """Return a folder that all processes of the run use."""
    base = factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / name
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def first_to(folder: Path, name: str) -> Iterator[bool]:
    """Give True to the first process that comes here, and False to others once it has finished.

    If it fails, the next process gets True.
    """
    done = folder / f"{name}.done"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield not done.exists()
            done.touch()
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
