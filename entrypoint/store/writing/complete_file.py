"""Files that appear complete or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrypoint.errors import StorageError
from entrypoint.store.writing.lock import locked
from entrypoint.store.writing.publish import partial_path, published


@contextmanager
def complete_file(target: Path) -> Iterator[int]:
    """Open an empty file that becomes ``target`` once the body has ended without an error.

    A partial file that a killed process left is replaced. An error leaves no file.

    Yields:
        The file's descriptor, open for reading and writing. Until the end, the file has the name
        :func:`.publish.partial_path`.

    Raises:
        StorageError: Another process is writing the same file.
        OSError: A write failed; also from the body.
    """

    def refuse() -> None:
        raise StorageError(
            f"{target} is being written by another process.",
            hint="Wait for it, or write to another file.",
        )

    target.parent.stat()  # so that an error names the missing folder, not the partial file
    partial = partial_path(target)
    with locked(partial, on_wait=refuse, fresh=True) as descriptor, published(partial, target):
        yield descriptor


def write_text(
    target: Path, text: str, *, partial: Path | None = None, durable: bool = True
) -> None:
    """Write a small file so that a reader finds either the old text or the new one.

    Args:
        target: The file. Its folder must exist.
        text: Its new content.
        partial: The temporary name, by default a hidden one beside the file.
        durable: As in :func:`.publish.publish`.

    Raises:
        OSError: The file cannot be written.
    """
    partial = partial or partial_path(target)
    with (
        locked(partial, optional=True, fresh=True) as descriptor,
        published(partial, target, durable=durable),
        open(descriptor, "w", closefd=False) as file,
    ):
        file.write(text)
