"""Pulling an object to a file: in parts, at once, kept when killed, compared, then renamed."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.errors import RefusedArtifact, StorageError
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.objects import problems
from entrypoint.store.objects.checksum import Checksum
from entrypoint.store.objects.journal import Journal
from entrypoint.store.objects.parts import MIB, Part, cut, pulled_part_size
from entrypoint.store.objects.retry import Transient, retrying
from entrypoint.store.objects.store import Advance, ObjectState, ObjectStore
from entrypoint.store.progress import Counter, OnProgress
from entrypoint.store.threads import Stop, Threads, finished_items, take_finished
from entrypoint.store.transfer_process.messages import Pulled
from entrypoint.store.writing.lock import locked
from entrypoint.store.writing.publish import partial_path, publish
from entrypoint.store.writing.room import NoRoom, check_room

if TYPE_CHECKING:
    from concurrent.futures import Future

log = logging.getLogger("inference-server")


def find_object(store: ObjectStore) -> ObjectState:
    """Return the state of an object that must be there.

    Raises:
        ModelNotFound: It is not, or its bucket is not.
        StoreError: The store did not answer or refused.
    """
    state = None if store.uri.is_folder else store.find()
    if state is None:
        raise problems.no_object(store.uri, store.keys)
    return state


def journal_of(target: Path) -> Path:
    """Where it is written which parts have arrived."""
    return partial_path(target).with_suffix(".partial.json")


def pull(
    store: ObjectStore, state: ObjectState, target: Path, workers: int, on_progress: OnProgress
) -> Pulled:
    """Make ``target`` the object; it appears, or changes, only when all is there and compared.

    Parts that an earlier run has fetched are kept, if the object is still in the same state.

    Args:
        store: The object.
        state: Its state now, of :func:`find_object`.
        target: The file; its folder is made.
        workers: Parts that are fetched at once.
        on_progress: Called with each change of the bytes that have arrived.

    Raises:
        RefusedArtifact: What arrived is not what was pushed. Nothing of it is kept.
        StoreError: The store did not answer or refused; what has arrived is kept.
        StorageError: It cannot be written, or there is no room for it.
    """
    advance = Counter(state.size, on_progress).advance
    partial, journal = partial_path(target), journal_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(partial, on_wait=lambda: _log_wait(partial)) as file:
            there = _compare(target, state) if target.is_file() else None
            if there is not None:
                partial.unlink()
                journal.unlink(missing_ok=True)
                advance(state.size)
                return Pulled(target, state.size, 0, there.sha256, there.comparison)
            gathered = _Gathered(store, state, file, Journal(
                journal, str(store.uri), state, pulled_part_size(state.size)
            ), advance)  # fmt: skip
            fetched, checksum = gathered.gather(workers)
            if store.find() != state:
                raise problems.changed(store.uri)
            if (problem := checksum.problem()) is not None:
                partial.unlink()
                journal.unlink(missing_ok=True)
                raise _refused(store, target, problem)
            publish(partial, target)
            journal.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(error, store, target, state) from error
    return Pulled(target, state.size, fetched, checksum.sha256, checksum.comparison)


class _Gathered:
    """A partial file, and the parts that are gathered in it."""

    def __init__(
        self, store: ObjectStore, state: ObjectState, file: int, journal: Journal, advance: Advance
    ):
        self._store = store
        self._state = state
        self._file = file
        self._journal = journal
        self._advance = advance

    def gather(self, workers: int) -> tuple[int, Checksum]:
        """Fetch the parts that are missing, and read the file once from its beginning.

        It is read right behind the parts as they arrive, while they are still in memory.

        Returns:
            The bytes that were fetched, and what the content is compared by.
        """
        parts = list(cut(self._state.size, self._journal.part_size))
        finished = self._begin(len(parts))
        missing = [part for part in parts if part.number not in finished]
        self._advance(self._state.size - sum(part.size for part in missing))
        allocated = os.fstat(self._file).st_blocks * 512
        check_room(self._journal.path.parent, self._state.size - allocated)
        checksum = Checksum(self._state)
        read = 0
        running: dict[Future[None], Part] = {}
        try:
            with Threads(workers) as threads:
                running = {threads.start(self._fetch, p, threads.stop): p for p in missing}
                while running or read < len(parts):
                    for part, _ in take_finished(running, block=read not in finished):
                        finished.add(part.number)
                        self._journal.record(finished)
                    if read in finished:
                        self._read(parts[read], checksum)
                        read += 1
        except BaseException:
            if arrived := finished_items(running):
                self._journal.record(finished | {part.number for part in arrived})
            raise
        return sum(part.size for part in missing), checksum

    def _begin(self, count: int) -> set[int]:
        """The parts that are there; the file is emptied if it is of something else."""
        finished = self._journal.finished() & set(range(count))
        if not finished or os.fstat(self._file).st_size != self._state.size:
            # In this order: the journal must never tell of parts that the file has lost.
            self._journal.path.unlink(missing_ok=True)
            os.ftruncate(self._file, 0)
            os.ftruncate(self._file, self._state.size)
            return set()
        log.info("%s: %d of %d parts are there already", self._store.uri, len(finished), count)
        return finished

    def _fetch(self, part: Part, stop: Stop) -> None:
        position = part.start

        def once() -> None:
            nonlocal position
            if position == part.end:
                return
            for chunk in self._store.read(self._state, position, part.end):
                stop.check()
                _write(self._file, chunk, position)
                position += len(chunk)
                self._advance(len(chunk))
            if position != part.end:
                detail = f"it ended after {position - part.start} of {part.size} bytes"
                raise Transient(problems.refused(self._store.uri, detail), detail)

        retrying(f"part {part.number + 1} of {self._store.uri}", once)
        os.fdatasync(self._file)  # before the journal says that it is there

    def _read(self, part: Part, checksum: Checksum) -> None:
        for start in range(part.start, part.end, MIB):
            checksum.update(os.pread(self._file, min(MIB, part.end - start), start))


def _write(file: int, content: bytes, position: int) -> None:
    rest = memoryview(content)
    while rest:
        count = os.pwrite(file, rest, position)
        rest, position = rest[count:], position + count


def _compare(path: Path, state: ObjectState) -> Checksum | None:
    """The checksum of a file that is the object already, None if it is not, or cannot be told."""
    checksum = Checksum(state)
    if path.stat().st_size != state.size or checksum.comparison == "size":
        return None
    with path.open("rb", buffering=0) as file:
        while content := file.read(MIB):
            checksum.update(content)
    return None if checksum.problem() else checksum


def _log_wait(partial: Path) -> None:
    log.warning("waiting for another process that writes to %s", partial)


def _refused(store: ObjectStore, target: Path, problem: str) -> RefusedArtifact:
    return RefusedArtifact(
        target,
        f"what arrived of {store.uri} is not what was pushed: {problem}; nothing of it was kept",
        hint="Pull it again; if it is the same again, the object itself is damaged: push it anew.",
    )


def _failed(error: OSError, store: ObjectStore, target: Path, state: ObjectState) -> StorageError:
    size = "" if isinstance(error, NoRoom) else f" It needs {state.size:,} bytes."
    return StorageError(
        f"Pulling {store.uri} to {target} failed: {error.filename or target.parent}: "
        f"{why_unreadable(error)}.{size}",
        hint="Make room there, or pull to a folder with room that this user may write to.",
    )
