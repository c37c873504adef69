"""The index by which the engine's loader finds a model's weights in a tarball."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Index:
    """The positions of a model's weights in a tarball.

    Attributes:
        archive: The tarball.
        size: Its length in bytes. A change of it, or of ``mtime_ns``, makes the index invalid.
        mtime_ns: When it was last written.
        model: Name of the model's folder, next to the index.
        files: ``{name of a safetensors file: (offset in the tarball, length)}``, in bytes.
    """

    archive: str
    size: int
    mtime_ns: int
    model: str
    files: Mapping[str, tuple[int, int]]

    @classmethod
    def load(cls, path: Path) -> Index:
        """Read an index."""
        value = json.loads(path.read_bytes())
        files = {name: (offset, size) for name, (offset, size) in value.pop("files").items()}
        return cls(files=files, **value)

    def dump(self) -> str:
        """Return the index as JSON."""
        return json.dumps(asdict(self), indent=1)
