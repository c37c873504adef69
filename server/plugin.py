"""Our part of each of the engine's processes.

A ``vllm.general_plugins`` entry point: vLLM calls :func:`load` in the API server, the engine core
and every worker.
"""

from __future__ import annotations

import json
import multiprocessing
import os

from entrypoint.shared.handover import CODE_VARIABLE, TARBALL_VARIABLE
from server import phases
from server.parent import end_with


def load() -> None:
    """Report phases from now on, end with the process that started this one, let only that code of
    models run which the launch allows, and know how to load weights out of a tarball."""
    phases.watch()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)  # of a process that was forked: no module of ours is run first there
    allowed = os.environ.get(CODE_VARIABLE)
    if allowed:
        # imported only here, as the loader is: it takes transformers with it
        from server import remote_code

        remote_code.restrict(json.loads(allowed))
    if os.environ.get(TARBALL_VARIABLE):
        from server import tarball

        tarball.register()
