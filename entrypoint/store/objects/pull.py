"""Pulling an object to a file: in parts, at once, kept when killed, compared, then renamed."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import RefusedArtifact, StorageError
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.objects import problems
from entrypoint.store.objects.checksum import Checksum, Way
from entrypoint.store.objects.journal import Journal
from entrypoint.store.objects.parts import MIB, Part, cut, pulled_part_size
from entrypoint.store.objects.retry import Transient, retrying
from entrypoint.store.objects.store import Advance, ObjectState, ObjectStore
from entrypoint.store.objects.workers import Workers
from entrypoint.store.progress import Counter, OnProgress

log = logging.getLogger("inference-server")


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did.

    Attributes:
        path: The file.
        bytes: Its size.
        fetched_bytes: Bytes that this run fetched.
        sha256: Of its content, hexadecimal.
        verified: What the content was compared by.
    """

    path: Path
    bytes: int
    fetched_bytes: int
    sha256: str
    verified: Way


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


def partial_of(target: Path) -> Path:
    """Where the parts are gathered until the file is whole."""
    return target.with_name(f".{target.name}.partial")


def journal_of(target: Path) -> Path:
    """Where it is written which parts have arrived."""
    return target.with_name(f".{target.name}.partial.json")


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
    partial, journal = partial_of(target), journal_of(target)
    advance = Counter(state.size, on_progress).advance
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _held(partial) as file:
            there = _compare(target, state) if target.is_file() else None
            if there is not None:
                partial.unlink()
                journal.unlink(missing_ok=True)
                advance(state.size)
                return Pulled(target, state.size, 0, there.sha256, there.way)
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
            os.replace(partial, target)
            journal.unlink(missing_ok=True)
            _sync_folder(target.parent)
    except OSError as error:
        raise _failed(error, store, target, state) from error
    return Pulled(target, state.size, fetched, checksum.sha256, checksum.way)


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
        self._check_room()
        checksum = Checksum(self._state)
        read = 0
        threads: Workers[None]
        threads = Workers(lambda part: self._fetch(part, threads), workers)
        try:
            with threads.started(missing):
                while threads.busy or read < len(parts):
                    for part, _ in threads.done(block=read not in finished):
                        finished.add(part.number)
                        self._journal.record(finished)
                    if read in finished:
                        self._read(parts[read], checksum)
                        read += 1
        except BaseException:
            if rescued := threads.rescued():
                self._journal.record(finished | {part.number for part in rescued})
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

    def _check_room(self) -> None:
        """Raise that there is no room before hours of fetching do."""
        needed = self._state.size - os.fstat(self._file).st_blocks * 512
        system = os.fstatvfs(self._file)
        free = system.f_bavail * system.f_frsize
        if needed > free:
            raise OSError(errno.ENOSPC, f"only {free:,} bytes are free")

    def _fetch(self, part: Part, threads: Workers[None]) -> None:
        position = part.start

        def once() -> None:
            nonlocal position
            if position == part.end:
                return
            for chunk in self._store.read(self._state, position, part.end):
                threads.check()
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
    if path.stat().st_size != state.size or checksum.way == "size":
        return None
    with path.open("rb", buffering=0) as file:
        while content := file.read(MIB):
            checksum.update(content)
    return None if checksum.problem() else checksum


@contextmanager
def _held(partial: Path) -> Iterator[int]:
    """Open a partial file that no other process writes to; a second one waits here.

    The lock is the partial file's own, and ends with the process that holds it.
    """
    while True:
        file = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.warning("another process writes to %s: waiting for it", partial)
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, partial):  # else the other one has renamed or removed it meanwhile
                yield file
                return
        finally:
            os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(store: ObjectStore, target: Path, problem: str) -> RefusedArtifact:
    return RefusedArtifact(
        target,
        f"what arrived of {store.uri} is not what was pushed: {problem}; nothing of it was kept",
        hint="Pull it again; if it is the same again, the object itself is damaged: push it anew.",
    )


def _failed(error: OSError, store: ObjectStore, target: Path, state: ObjectState) -> StorageError:
    return StorageError(
        f"Pulling {store.uri} to {target} failed: {error.filename or target.parent}: "
        f"{why_unreadable(error)}. It needs {state.size:,} bytes.",
        hint="Make room there, or pull to a folder with room that this user may write to.",
    )
