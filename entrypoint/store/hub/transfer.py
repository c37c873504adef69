"""One file's way from the hub to the disk: resumed where it stopped, checked while it is written.

huggingface_hub itself begins a file anew after each interruption, whether by HTTP or by Xet: it
writes to a file of a random name, for the sake of file systems without locks. Here the name is
always the same, and two processes that write to it do no harm, because each byte has its place.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrypoint.store.disk.cache import PARTIAL
from entrypoint.store.threads import Stop
from entrypoint.store.writing.publish import publish

SEGMENT = 16 * 1024**3
"""Bytes that are asked for at once: the hub's servers send no more than 50 GB in one answer."""
TRIES = 5
"""How often in a row a file may fail without a new byte."""
LONGEST_WAIT = 60.0
"""Seconds; who is told to wait longer gives up and says so."""
READ_BYTES = 1 << 20
PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that may be over at the next try."""


class Damaged(Exception):
    """What the hub sent is not what it lists."""


@dataclass(slots=True)
class Transfer:
    """A file that is being fetched.

    Attributes:
        name: In the repository.
        blob: SHA-256 of the content, or git's SHA-1 for a small file.
        size: Bytes.
        resumed: Bytes that were there before.
        done: Bytes that are there.
        complete: Whether the blob is present under its name, and checked.
    """

    name: str
    blob: str
    size: int
    resumed: int = 0
    done: int = 0
    complete: bool = False


def partial_path(blob: Path) -> Path:
    """Where a blob is while it is not whole."""
    return blob.with_name(blob.name + PARTIAL)


class _Content:
    """A file that is written from its beginning on, and the hash of what is there."""

    def __init__(self, file: int, transfer: Transfer):
        self._file = file
        self._transfer = transfer
        self._hash = self._new_hash()

    def resume(self) -> None:
        """Go on behind what is there."""
        if os.fstat(self._file).st_size > self._transfer.size:
            self.restart()
        position = 0
        while piece := os.pread(self._file, READ_BYTES, position):
            self._hash.update(piece)
            position += len(piece)
        self._transfer.done = self._transfer.resumed = position

    def restart(self) -> None:
        """Begin anew."""
        os.ftruncate(self._file, 0)
        self._transfer.done = self._transfer.resumed = 0
        self._hash = self._new_hash()

    def add(self, piece: bytes) -> None:
        """Write what comes next."""
        transfer = self._transfer
        if transfer.done + len(piece) > transfer.size:
            raise Damaged(f"{transfer.name} is longer than the {transfer.size} bytes listed")
        self._hash.update(piece)
        view = memoryview(piece)
        while view:
            written = os.pwrite(self._file, view, transfer.done)
            transfer.done += written
            view = view[written:]

    def is_right(self) -> bool:
        """Whether the content is what the blob's name says."""
        return bool(self._hash.hexdigest() == self._transfer.blob)

    def _new_hash(self) -> Any:
        if len(self._transfer.blob) == 64:
            return hashlib.sha256()
        header = f"blob {self._transfer.size}\0".encode()
        return hashlib.sha1(header, usedforsecurity=False)


def fetch_blob(
    transfer: Transfer,
    path: Path,
    url: str,
    headers: Mapping[str, str],
    stop: Stop,
    tell: Callable[[str], None],
) -> None:
    """Fetch a blob, or what is missing of it. Call it with the blob's lock held.

    Args:
        transfer: What to fetch; it is kept up to date.
        path: Where to; nothing is there before the content is whole and right.
        url: Of the file on the hub, which may redirect to another host.
        headers: With the token, which only the hub's own host gets.
        stop: Stops the work.
        tell: Called with each thing that went wrong and is tried again.

    Raises:
        Damaged: What came is not what was listed.
        Stopped: The work was stopped.
        OSError: The disk, or the hub (``HfHubHTTPError``), said no.
        httpx2.TransportError: The connection was lost, again and again.
    """
    partial = partial_path(path)
    file = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        content = _Content(file, transfer)
        content.resume()
        resumed = transfer.resumed > 0
        _receive_all(transfer, content, url, headers, stop, tell)
        if resumed and not content.is_right():
            tell(f"{transfer.name}: what an earlier download left is damaged, beginning anew")
            content.restart()
            _receive_all(transfer, content, url, headers, stop, tell)
        if not content.is_right():
            content.restart()  # or the next run would begin with what is wrong
            raise Damaged(f"{transfer.name} came with another content than {transfer.blob}")
    finally:
        os.close(file)
    try:
        publish(partial, path)
    except FileNotFoundError:
        if not path.exists():  # else another process was faster, where there are no locks
            raise
    transfer.complete = True


def _receive_all(
    transfer: Transfer,
    content: _Content,
    url: str,
    headers: Mapping[str, str],
    stop: Stop,
    tell: Callable[[str], None],
) -> None:
    """Receive what is missing, over as many connections as it takes."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    failures = 0
    while transfer.done < transfer.size:
        before = transfer.done
        try:
            _receive(transfer, content, url, headers, stop)
            if transfer.done == before:
                raise Damaged(f"{transfer.name} ends after {before} of {transfer.size} bytes")
        except (httpx2.TransportError, HfHubHTTPError) as error:
            failures = 1 if transfer.done > before else failures + 1
            seconds = _wait_before(error, failures)
            if seconds is None:
                raise
            tell(
                f"{transfer.name}: stopped at {transfer.done:,} of {transfer.size:,} bytes "
                f"({_in_short(error)}), trying again in {seconds:.0f} s ({failures} of {TRIES})"
            )
            stop.sleep(seconds)


def _receive(
    transfer: Transfer,
    content: _Content,
    url: str,
    headers: Mapping[str, str],
    stop: Stop,
) -> None:
    from huggingface_hub.utils import get_session, hf_raise_for_status

    wanted = {**headers, "Accept-Encoding": "identity"}
    if transfer.done or transfer.size > SEGMENT:
        end = min(transfer.done + SEGMENT, transfer.size) - 1
        wanted["Range"] = f"bytes={transfer.done}-{end}"
    with get_session().stream("GET", url, headers=wanted) as response:
        hf_raise_for_status(response)
        if transfer.done and response.status_code != 206:
            content.restart()  # it does not do ranges
        # as it comes: what is not written yet is lost when this process is killed
        for piece in response.iter_raw():
            stop.check()
            content.add(piece)


def _wait_before(error: Exception, failures: int) -> float | None:
    """Seconds to wait before the next try, None where there is none."""
    response = getattr(error, "response", None)
    if failures > TRIES or (response is not None and response.status_code not in PASSING):
        return None
    seconds = min(2.0 ** (failures - 1), 8.0)
    if response is not None:
        asked = _asked_to_wait(response.headers)
        seconds = seconds if asked is None else asked
    return seconds if seconds <= LONGEST_WAIT else None


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the hub asks to wait."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    after = headers.get("Retry-After", "")
    return float(after) if after.isdigit() else None


def _in_short(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return " ".join(str(error).split()) or type(error).__name__
