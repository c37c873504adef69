"""The libraries that vLLM's CPU engine needs to load first."""

from __future__ import annotations

import sys
from pathlib import Path

TCMALLOC = "libtcmalloc_minimal.so.4"
OPENMP = "libiomp5.so"


def preload_libraries(root: Path, prefix: Path = Path(sys.prefix)) -> dict[str, str]:
    """Return ``{name: path}`` of the installed libraries, in the order in which to load them.

    vLLM's CPU worker checks for both. The allocator is Debian's package ``libtcmalloc-minimal4``.
    Intel's OpenMP is the Python package ``intel-openmp``, which installs it in the environment's
    ``lib`` folder.

    Args:
        root: The folder that contains ``/usr``.
        prefix: The Python environment.
    """
    found = {}
    # /usr/lib/x86_64-linux-gnu on Debian, /usr/lib64 on Red Hat's
    allocators = sorted((root / "usr").glob(f"lib*/{TCMALLOC}"))
    allocators += sorted((root / "usr/lib").glob(f"*-linux-gnu/{TCMALLOC}"))
    if allocators:
        found["tcmalloc"] = str(allocators[0])
    if (prefix / "lib" / OPENMP).is_file():
        found["openmp"] = str(prefix / "lib" / OPENMP)
    return found
