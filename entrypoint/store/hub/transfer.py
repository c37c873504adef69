"""Download one file from the hub: resumed where it stopped, checked while it is written.

huggingface_hub downloads a file from scratch after each interruption, by HTTP and by Xet: it
writes to a file with a random name, because some file systems have no locks. Here the name is
always the same. Two processes can write to the file at once, because each byte has its position,
and none of them shortens the file: what one has checked and renamed stays complete.
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
from entrypoint.store.writing.lock import is_at
from entrypoint.store.writing.publish import publish

SEGMENT = 16 * 1024**3
"""Bytes to request at once; the hub's servers send at most 50 GB in one answer."""
TRIES = 5
"""How many times in a row a file may fail without a new byte."""
LONGEST_WAIT = 60.0
"""Seconds. If the hub asks for a longer wait, the download fails."""
READ_BYTES = 1 << 20
RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that may succeed at the next try."""


class Damaged(Exception):
    """The hub sent other content than it lists."""


@dataclass(slots=True)
class Transfer:
    """A file in transfer.

    Attributes:
        name: The file's name in the repository.
        blob: SHA-256 of the content, or git's SHA-1 for a small file.
        size: Bytes of the file.
        resumed: Bytes on the disk before this run.
        done: Bytes on the disk.
        complete: Whether the blob is present under its name, and checked.
    """

    name: str
    blob: str
    size: int
    resumed: int = 0
    done: int = 0
    complete: bool = False


def partial_path(blob: Path) -> Path:
    """Return where a blob is while it is incomplete."""
    return blob.with_name(blob.name + PARTIAL)


class _Content:
    """A file written front to back, and the hash of its content so far."""

    def __init__(self, file: int, transfer: Transfer):
        self._file = file
        self.transfer = transfer
        self._hash = self._new_hash()

    def resume(self) -> None:
        """Hash the content on the disk, to continue after it."""
        if os.fstat(self._file).st_size > self.transfer.size:
            os.ftruncate(self._file, self.transfer.size)
        position = 0
        while piece := os.pread(self._file, READ_BYTES, position):
            self._hash.update(piece)
            position += len(piece)
        self.transfer.done = self.transfer.resumed = position

    def restart(self) -> None:
        """Write the file again from its first byte. It keeps its size."""
        self.transfer.done = self.transfer.resumed = 0
        self._hash = self._new_hash()

    def add(self, piece: bytes) -> None:
        """Append a piece."""
        transfer = self.transfer
        if transfer.done + len(piece) > transfer.size:
            raise Damaged(f"{transfer.name} is longer than the {transfer.size} bytes listed")
        self._hash.update(piece)
        view = memoryview(piece)
        while view:
            written = os.pwrite(self._file, view, transfer.done)
            transfer.done += written
            view = view[written:]

    def is_correct(self) -> bool:
        """Whether the content has the blob's hash."""
        return bool(self._hash.hexdigest() == self.transfer.blob)

    def _new_hash(self) -> Any:
        if len(self.transfer.blob) == 64:
            return hashlib.sha256()
        header = f"blob {self.transfer.size}\0".encode()
        return hashlib.sha1(header, usedforsecurity=False)


@dataclass(frozen=True, slots=True)
class _Receiver:
    """Receives the content of a file from the hub."""

    content: _Content
    url: str
    headers: Mapping[str, str]
    stop: Stop
    notify: Callable[[str], None]

    def receive_all(self) -> None:
        """Receive the missing bytes, with a new connection after each failure."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        transfer, failures = self.content.transfer, 0
        while transfer.done < transfer.size:
            before = transfer.done
            try:
                self._receive(transfer)
                if transfer.done == before:
                    raise Damaged(f"{transfer.name} ends after {before} of {transfer.size} bytes")
            except (httpx2.TransportError, HfHubHTTPError) as error:
                failures = 1 if transfer.done > before else failures + 1
                seconds = _wait_before(error, failures)
                if seconds is None:
                    raise
                self.notify(
                    f"{transfer.name}: stopped at {transfer.done:,} of {transfer.size:,} bytes "
                    f"({_summary(error)}), trying again in {seconds:.0f} s ({failures} of {TRIES})"
                )
                self.stop.sleep(seconds)

    def _receive(self, transfer: Transfer) -> None:
        from huggingface_hub.utils import get_session, hf_raise_for_status

        fields = {**self.headers, "Accept-Encoding": "identity"}
        if transfer.done or transfer.size > SEGMENT:
            end = min(transfer.done + SEGMENT, transfer.size) - 1
            fields["Range"] = f"bytes={transfer.done}-{end}"
        with get_session().stream("GET", self.url, headers=fields) as response:
            hf_raise_for_status(response)
            if transfer.done and response.status_code != 206:
                self.content.restart()  # the server does not support ranges
            # each piece at once: a kill loses what is not written yet
            for piece in response.iter_raw():
                self.stop.check()
                self.content.add(piece)


def fetch_blob(
    transfer: Transfer,
    path: Path,
    url: str,
    headers: Mapping[str, str],
    stop: Stop,
    notify: Callable[[str], None],
) -> None:
    """Download a blob, or the missing part of it. The caller holds the blob's lock.

    Args:
        transfer: The file; its counts are kept up to date.
        path: The blob's path. It does not exist before the content is complete and checked.
        url: The file's URL on the hub, which may redirect to another host.
        headers: HTTP headers with the token, which only the hub's host receives.
        stop: Stops the work.
        notify: Called with a line about each retry.

    Raises:
        Damaged: The hub sent other content than it lists.
        Stopped: The work was stopped.
        OSError: A write failed, or the hub refused (``HfHubHTTPError``).
        httpx2.TransportError: The connection was lost too often.
    """
    partial = partial_path(path)
    file = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        content = _Content(file, transfer)
        receiver = _Receiver(content, url, headers, stop, notify)
        content.resume()
        resumed = transfer.resumed > 0
        receiver.receive_all()
        if resumed and not content.is_correct():
            notify(f"{transfer.name}: the partial file is damaged, downloading it from scratch")
            content.restart()
            receiver.receive_all()
        if not content.is_correct():
            _withdraw(file, partial, path)
            raise Damaged(f"{transfer.name} arrived with another content than {transfer.blob}")
        try:
            publish(partial, path, state=os.fstat(file))
        except OSError:
            if not path.exists():  # another process may be faster where locks do nothing
                raise
    finally:
        os.close(file)
    transfer.complete = True


def _withdraw(file: int, *names: Path) -> None:
    """Remove a damaged file, also if another process has given it its final name meanwhile."""
    for name in names:
        if is_at(os.fstat(file), name):
            name.unlink(missing_ok=True)


def _wait_before(error: Exception, failures: int) -> float | None:
    """Seconds to wait before the next try, None to give up."""
    response = getattr(error, "response", None)
    if failures > TRIES or (response is not None and response.status_code not in RETRYABLE):
        return None
    seconds = min(2.0 ** (failures - 1), 8.0)
    if response is not None:
        requested = _requested_wait(response.headers)
        seconds = seconds if requested is None else requested
    return seconds if seconds <= LONGEST_WAIT else None


def _requested_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the hub asks to wait."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    after = headers.get("Retry-After", "")
    return float(after) if after.isdigit() else None


def _summary(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return " ".join(str(error).split()) or type(error).__name__
