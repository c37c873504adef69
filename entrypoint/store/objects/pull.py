"""Pull an object to a file: in parallel parts, resumed after a kill, compared, then renamed."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.errors import RefusedArtifact, StorageError
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.objects import problems
from entrypoint.store.objects.checksum import Checksum
from entrypoint.store.objects.journal import Journal
from entrypoint.store.objects.parts import MIB, Part, pulled_part_size, split_into_parts
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
    """Return the state of an object.

    Raises:
        ModelNotFound: The object or its bucket does not exist.
        StoreError: The store did not answer or refused.
    """
    state = None if store.uri.is_folder else store.find()
    if state is None:
        raise problems.no_object(store.uri, store.keys)
    return state


def journal_of(target: Path) -> Path:
    """Return the journal of the partial file."""
    return partial_path(target).with_suffix(".partial.json")


def pull(
    store: ObjectStore, state: ObjectState, target: Path, workers: int, on_progress: OnProgress
) -> Pulled:
    """Copy the object to ``target``, which appears, or changes, when it is complete and compared.

    Parts from an earlier run are kept if the object still has the same state.

    Args:
        store: The object.
        state: Its state from :func:`find_object`.
        target: The file; its folder is created.
        workers: How many parts to fetch in parallel.
        on_progress: Called with each change of the bytes that have arrived.

    Raises:
        RefusedArtifact: The content differs from what was pushed. Nothing of it is kept.
        StoreError: The store did not answer or refused. What has arrived is kept.
        StorageError: A write failed, or the disk has not enough space.
    """
    advance = Counter(state.size, on_progress).advance
    partial, journal = partial_path(target), journal_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(partial, on_wait=lambda: _log_wait(partial)) as file:
            present = _compare(target, state) if target.is_file() else None
            if present is not None:
                partial.unlink()
                journal.unlink(missing_ok=True)
                advance(state.size)
                return Pulled(target, state.size, 0, present.sha256, present.comparison)
            arrived = Journal(journal, str(store.uri), state, pulled_part_size(state.size))
            fetched, checksum = _PartialFile(store, state, file, arrived, advance).fetch(workers)
            if store.find() != state:
                raise problems.changed(store.uri)
            if (problem := checksum.problem()) is not None:
                partial.unlink()
                journal.unlink(missing_ok=True)
                raise _refused(store, target, problem)
            publish(partial, target, state=os.fstat(file))
            journal.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(error, store, target, state) from error
    return Pulled(target, state.size, fetched, checksum.sha256, checksum.comparison)


@dataclass(frozen=True, slots=True)
class _PartialFile:
    """A partial file, which the parts are written to."""

    store: ObjectStore
    state: ObjectState
    file: int
    journal: Journal
    advance: Advance

    def fetch(self, workers: int) -> tuple[int, Checksum]:
        """Fetch the missing parts, and read the file front to back.

        Each part is read soon after it arrives, while it is still in the page cache.

        Returns:
            The bytes that were fetched, and the checksum of the content.
        """
        parts = list(split_into_parts(self.state.size, self.journal.part_size))
        finished = self._prepare(len(parts))
        missing = [part for part in parts if part.number not in finished]
        self.advance(self.state.size - sum(part.size for part in missing))
        allocated = os.fstat(self.file).st_blocks * 512
        check_room(self.journal.path.parent, self.state.size - allocated)
        checksum = Checksum(self.state)
        read = 0
        running: dict[Future[None], Part] = {}
        try:
            with Threads(workers) as threads:
                running = {threads.start(self._fetch_part, p, threads.stop): p for p in missing}
                while running or read < len(parts):
                    for part, _ in take_finished(running, block=read not in finished):
                        finished.add(part.number)
                        self.journal.record(finished)
                    if read in finished:
                        self._read(parts[read], checksum)
                        read += 1
        except BaseException:
            if arrived := finished_items(running):
                self.journal.record(finished | {part.number for part in arrived})
            raise
        return sum(part.size for part in missing), checksum

    def _prepare(self, count: int) -> set[int]:
        """The parts that have arrived; without any, the file gets its size.

        It is never emptied: where locks do nothing, another process may have checked it already.
        """
        finished = self.journal.finished() & set(range(count))
        if not finished or os.fstat(self.file).st_size != self.state.size:
            # In this order: the journal must never list parts that the file has lost.
            self.journal.path.unlink(missing_ok=True)
            os.ftruncate(self.file, self.state.size)
            return set()
        log.info("%s: %d of %d parts have already arrived", self.store.uri, len(finished), count)
        return finished

    def _fetch_part(self, part: Part, stop: Stop) -> None:
        position = part.start

        def once() -> None:
            nonlocal position
            if position == part.end:
                return
            for chunk in self.store.read(self.state, position, part.end):
                stop.check()
                _write(self.file, chunk, position)
                position += len(chunk)
                self.advance(len(chunk))
            if position != part.end:
                detail = f"the answer ended after {position - part.start} of {part.size} bytes"
                raise Transient(problems.refused(self.store.uri, detail), detail)

        retrying(f"part {part.number + 1} of {self.store.uri}", once)
        os.fdatasync(self.file)  # before the journal lists the part

    def _read(self, part: Part, checksum: Checksum) -> None:
        for start in range(part.start, part.end, MIB):
            checksum.update(os.pread(self.file, min(MIB, part.end - start), start))


def _write(file: int, content: bytes, position: int) -> None:
    rest = memoryview(content)
    while rest:
        count = os.pwrite(file, rest, position)
        rest, position = rest[count:], position + count


def _compare(path: Path, state: ObjectState) -> Checksum | None:
    """The checksum of a file with the object's content, None if it differs or is unknown."""
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
        f"the content of {store.uri} differs from what was pushed: {problem}; the file was removed",
        hint="Pull the object again. If that fails, the object is damaged: push it again.",
    )


def _failed(error: OSError, store: ObjectStore, target: Path, state: ObjectState) -> StorageError:
    size = "" if isinstance(error, NoRoom) else f" It needs {state.size:,} bytes."
    return StorageError(
        f"Pulling {store.uri} to {target} failed: {error.filename or target.parent}: "
        f"{why_unreadable(error)}.{size}",
        hint="Free space there, or pull to a writable folder with enough space.",
    )
