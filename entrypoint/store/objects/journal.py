"""Which parts of a file have arrived: a small file beside the partial one, for the next run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from entrypoint.store.objects.store import ObjectState
from entrypoint.store.writing.complete_file import write_text


@dataclass(frozen=True, slots=True)
class Journal:
    """What a partial file is of, and how far it is.

    Attributes:
        path: The journal's own file.
        uri: The object.
        state: The state that the parts are of.
        part_size: Bytes of each part but the last.
    """

    path: Path
    uri: str
    state: ObjectState
    part_size: int

    def finished(self) -> set[int]:
        """Return the numbers of the parts that have arrived; none if it is of something else."""
        try:
            content = json.loads(self.path.read_bytes())
            there = set(content.pop("finished"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return set()
        return there if content == self._of_what() else set()

    def record(self, finished: Iterable[int]) -> None:
        """Write which parts have arrived.

        Raises:
            OSError: It cannot be written.
        """
        write_text(self.path, json.dumps({**self._of_what(), "finished": sorted(finished)}))

    def _of_what(self) -> dict[str, object]:
        return {
            "uri": self.uri,
            "etag": self.state.etag,
            "object_version": self.state.version,
            "size": self.state.size,
            "part_size": self.part_size,
        }
