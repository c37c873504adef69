"""Our part of each of the engine's processes.

A ``vllm.general_plugins`` entry point: vLLM calls :func:`load` in the API server, the engine core
and every worker.
"""

from __future__ import annotations

import os

from entrypoint.handover import TARBALL_VARIABLE
from server import phases


def load() -> None:
    """Report phases from now on, and know how to load weights out of a tarball."""
    phases.watch()
    if os.environ.get(TARBALL_VARIABLE):
        # imported only here: it takes vLLM's loaders with it
        from server import tarball

        tarball.register()
