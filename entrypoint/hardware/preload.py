"""The libraries with which vLLM's CPU engine wants to be loaded, where they are installed."""

from __future__ import annotations

import sys
from pathlib import Path

TCMALLOC = "libtcmalloc_minimal.so.4"
OPENMP = "libiomp5.so"


def preload_libraries(root: Path, prefix: Path = Path(sys.prefix)) -> dict[str, str]:
    """Return ``{name: path}`` of the allocator and of Intel's OpenMP, in the order of loading.

    vLLM's CPU worker asks for both. The allocator is Debian's package ``libtcmalloc-minimal4``;
    OpenMP comes with the Python package ``intel-openmp``, into the environment's own ``lib``.

    Args:
        root: Where ``/usr`` is.
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
