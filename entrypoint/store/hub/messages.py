"""What the runtime and its downloader tell each other, as JSON objects, one a line.

Down, once: :class:`Job`. Up: :class:`Listing`, then :class:`Report` again and again,
``{"tell": text}`` for people, and at the end :class:`Result` or :class:`Failure`.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from entrypoint.store.hub.selection import Format


class Job(TypedDict):
    """What to download; ``dry_run`` only lists it."""

    repository: str
    revision: str | None
    token: str | None
    endpoint: str | None
    root: str
    include: list[str]
    exclude: list[str]
    format: Format | None
    workers: int
    dry_run: bool


class ListedFile(TypedDict):
    """A wanted file: its size, and how much of it is there, in bytes."""

    name: str
    bytes: int
    there: int


class Listing(TypedDict):
    """What is wanted; ``free`` is the disk's room in bytes."""

    commit: str
    files: list[ListedFile]
    free: int


class Report(TypedDict):
    """How far it is: see :class:`~entrypoint.store.progress.Progress`."""

    done: int
    total: int
    files: dict[str, tuple[int, int]]


class Result(TypedDict):
    """The snapshot; ``path`` is where it would be after a dry run."""

    path: str
    commit: str
    fetched: int


class Failure(TypedDict):
    """What went wrong; ``formats`` are those that there are in place of the wanted one."""

    failure: str
    detail: str
    formats: NotRequired[list[str]]
