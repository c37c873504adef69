"""The journal of a pull: which parts have arrived, in a small file for the next run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from entrypoint.store.objects.store import ObjectState
from entrypoint.store.writing.complete_file import write_text


@dataclass(frozen=True, slots=True)
class Journal:
    """The object of a partial file, and the parts that have arrived.

    Attributes:
        path: The journal's file.
        uri: The object.
        state: The object's state.
        part_size: Bytes of each part except the last.
    """

    path: Path
    uri: str
    state: ObjectState
    part_size: int

    def finished(self) -> set[int]:
        """Return the numbers of the arrived parts; none if the object or its state differs."""
        try:
            content = json.loads(self.path.read_bytes())
            finished = set(content.pop("finished"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return set()
        return finished if content == self._identity() else set()

    def record(self, finished: Iterable[int]) -> None:
        """Write which parts have arrived.

        Raises:
            OSError: The write failed.
        """
        write_text(self.path, json.dumps({**self._identity(), "finished": sorted(finished)}))

    def _identity(self) -> dict[str, object]:
        return {
            "uri": self.uri,
            "etag": self.state.etag,
            "object_version": self.state.version,
            "size": self.state.size,
            "part_size": self.part_size,
        }
