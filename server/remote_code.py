"""Makes transformers run a model's Python code only from the directories that the launch allows.

The entrypoint has checked the code that the configurations name
(:mod:`entrypoint.planning.remote_code`). This module covers what is decided later: the code of a
tokenizer or a draft model, overrides in ARG, and parts of vLLM that always trust code.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from transformers import dynamic_module_utils


class RefusedCode(RuntimeError):
    """Python code was requested that the launch does not allow."""


def restrict(allowed: Sequence[str]) -> None:
    """Refuse every module outside the allowed directories from now on.

    Replaces the function that copies a module: all such code passes through it.

    Args:
        allowed: Directories; empty if no such code may run.
    """
    places = {os.path.realpath(place) for place in allowed}
    find = getattr(dynamic_module_utils.get_cached_module_file, "unrestricted", None)
    find = find or dynamic_module_utils.get_cached_module_file

    def get_cached_module_file(source: Any, module_file: str, *args: Any, **kwargs: Any) -> str:
        source = str(source)
        inside = not os.path.isabs(module_file) and ".." not in PurePath(module_file).parts
        if not (inside and os.path.isdir(source) and os.path.realpath(source) in places):
            why = "TRUST_REMOTE_CODE is off"
            if allowed:
                why = f"TRUST_REMOTE_CODE allows only code in {', '.join(allowed)}"
            raise RefusedCode(f"Refused to run the Python code {module_file} of {source}: {why}.")
        path: str = find(source, module_file, *args, **kwargs)
        return path

    get_cached_module_file.unrestricted = find  # type: ignore[attr-defined]
    dynamic_module_utils.get_cached_module_file = get_cached_module_file
