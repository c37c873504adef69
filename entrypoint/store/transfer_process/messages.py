"""The messages between us and a process that transfers a model: JSON objects, one a line.

To the process: one job. From it: :class:`Progress` and :class:`Notice`, any number of times, then
one result: :class:`Downloaded`, :class:`Pulled` or :class:`Failure`. Each object has a ``type``
from :data:`TYPES`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from entrypoint.store.progress import Progress

Format = Literal["safetensors", "bin", "pt", "gguf"]
"""A format of weights."""

Comparison = Literal["sha256", "etag", "size"]
"""What the content of a pulled object was compared by."""

CRASHED = "crashed"
"""The kind of a :class:`Failure` of a process that ended without a result."""


@dataclass(frozen=True, slots=True)
class DownloadJob:
    """What to download from the hub.

    Attributes:
        repository: ``org/name``.
        revision: Branch, tag or commit; None for ``main``.
        token: The hub's token, None for the one that huggingface_hub keeps. Never shown.
        root: The cache root to download to.
        endpoint: URL of the hub or its mirror; None for huggingface.co.
        include: Download only files that match one of these patterns; see
            :mod:`entrypoint.store.hub.selection`.
        exclude: Patterns of files to leave out.
        format: Download weights in this format only; None for what the engine loads.
        workers: How many files to download in parallel.
        dry_run: List the files, and write nothing.
    """

    repository: str
    revision: str | None
    token: str | None = field(repr=False)
    root: Path
    endpoint: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    format: Format | None = None
    workers: int = 8
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PullJob:
    """Which object to pull to which file; the URI may hold a secret."""

    uri: str = field(repr=False)
    target: Path


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the user, such as what is retried, and why."""

    text: str


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A selected file of a repository: its size, and how much of it was here before, in bytes."""

    name: str
    size: int
    present: int


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What was downloaded; after a dry run, what a download fetches.

    Attributes:
        path: The snapshot.
        commit: The snapshot's commit.
        files: The selected files.
        fetched: Bytes that came from the hub.
        free: Free bytes on the disk before the download.
    """

    path: Path
    commit: str
    files: tuple[ListedFile, ...]
    fetched: int
    free: int

    @property
    def size(self) -> int:
        """Bytes of the selected files."""
        return sum(file.size for file in self.files)

    @property
    def missing(self) -> int:
        """Bytes of them that were not here before."""
        return sum(file.size - file.present for file in self.files)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did.

    Attributes:
        path: The file.
        size: Its bytes.
        fetched: Bytes that this run fetched.
        sha256: The SHA-256 of its content, hexadecimal.
        verified: What the content was compared by.
    """

    path: Path
    size: int
    fetched: int
    sha256: str
    verified: Comparison


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result.

    Attributes:
        kind: What went wrong: a :class:`~entrypoint.store.hub.refusal.Refusal` from the hub, an
            error's ``code`` from an object store, or :data:`CRASHED`.
        detail: What happened, in a few words; from an object store, the error's message, or the
            problem of a refused archive.
        formats: The formats that a repository has in place of the requested one.
        variable: The variable that an object store's error names.
        hint: What an object store's error advises.
    """

    kind: str
    detail: str
    formats: tuple[Format, ...] = ()
    variable: str | None = None
    hint: str | None = None


Job = DownloadJob | PullJob
Result = Downloaded | Pulled | Failure
Message = Job | Progress | Notice | Result

TYPES: dict[str, type[Message]] = {
    "download": DownloadJob,
    "pull": PullJob,
    "progress": Progress,
    "notice": Notice,
    "downloaded": Downloaded,
    "pulled": Pulled,
    "failure": Failure,
}
"""What each message is called in its ``type``."""

_NAMES = {message: name for name, message in TYPES.items()}


def encode(message: Message) -> str:
    """Return a message as one line."""
    return json.dumps({"type": _NAMES[type(message)], **asdict(message)}, default=os.fspath)


def decode(line: str) -> Message:
    """Return the message of a line.

    Raises:
        ValueError: The line is not a message.
    """
    try:
        fields = json.loads(line)
        message = TYPES[fields.pop("type")]
        return message(**{name: _decoded(message, name, value) for name, value in fields.items()})
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{line!r} is not a message: {error}") from error


def _decoded(message: type[Message], name: str, value: Any) -> Any:
    """The value of a message's field, where JSON has another type for it."""
    match name:
        case "root" | "target" | "path":
            return Path(value)
        case "include" | "exclude" | "formats":
            return tuple(value)
        case "files" if message is Progress:
            return {file: (done, size) for file, (done, size) in value.items()}
        case "files":
            return tuple(ListedFile(**file) for file in value)
    return value
