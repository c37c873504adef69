"""Folders that appear complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from entrypoint.store.writing.lock import lock_path, locked
from entrypoint.store.writing.publish import REMOVED, discard, partial_path, published
from entrypoint.store.writing.room import check_room


def make_folder(
    target: Path,
    fill: Callable[[Path], None],
    *,
    needed: int = 0,
    is_complete: Callable[[Path], bool] = Path.is_dir,
) -> None:
    """Make a folder, unless another process has made it in the meantime.

    Args:
        target: The folder.
        fill: Called with an empty folder, which becomes ``target`` once the call has returned.
        needed: Bytes that will be written, 0 if not known.
        is_complete: Whether an existing folder is already complete.

    Raises:
        NoRoom: There is too little room.
        OSError: The folder cannot be made; also from ``fill``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock_path(target)):
        if is_complete(target):
            return
        remove_leftovers(target)
        partial = partial_path(target)
        partial.mkdir()
        with published(partial, target, durable=False):
            check_room(partial, needed)
            fill(partial)


def remove_leftovers(target: Path) -> None:
    """Remove the partial folders that killed processes left. The caller holds the target's lock.

    A partial folder is left over if its lock is free. Process numbers cannot tell: the processes
    of another container have the same ones.
    """
    for found in target.parent.glob(f".*.partial{REMOVED}"):
        shutil.rmtree(found, ignore_errors=True)
    for partial in target.parent.glob(".*.partial"):
        owner = target.with_name(partial.name[1:].removesuffix(".partial"))
        if owner == target:
            discard(partial)
            continue
        with suppress(BlockingIOError), locked(lock_path(owner), on_wait=_give_up):
            discard(partial)


def _give_up() -> None:
    raise BlockingIOError
