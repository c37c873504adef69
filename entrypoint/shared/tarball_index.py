"""Where in a tarball a model's weights are: what the engine's loader reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Index:
    """Where a model's weights are in a tarball.

    Attributes:
        archive: The tarball.
        size: Its length in bytes, to know it by.
        mtime_ns: When it was last written, to know it by.
        model: Name of the model's folder, which lies beside the index.
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
        """The index as it is written."""
        return json.dumps(asdict(self), indent=1)
