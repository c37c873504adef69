"""Lets transformers run a model's Python code from the launch's own directories only.

What the configurations name was checked before the start
(:mod:`entrypoint.planning.remote_code`). This holds for what is decided later: a tokenizer's or a
draft model's code, overrides in ARG, and parts of vLLM that trust code by themselves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from transformers import dynamic_module_utils


class RefusedCode(RuntimeError):
    """Code was asked for that may not run."""


def restrict(allowed: Sequence[str]) -> None:
    """Refuse, from now on, every module that is not in one of the directories.

    All ways to such code go through the one function that copies a module and names the copy.

    Args:
        allowed: Directories; none where no such code may run.
    """
    places = {os.path.realpath(place) for place in allowed}
    find = getattr(dynamic_module_utils.get_cached_module_file, "unrestricted", None)
    find = find or dynamic_module_utils.get_cached_module_file

    def get_cached_module_file(source: Any, module_file: str, *args: Any, **kwargs: Any) -> str:
        source = str(source)
        inside = not os.path.isabs(module_file) and ".." not in PurePath(module_file).parts
        if not (inside and os.path.isdir(source) and os.path.realpath(source) in places):
            listed = ", ".join(allowed)
            why = (
                f"TRUST_REMOTE_CODE lets only that in {listed}"
                if listed
                else ("TRUST_REMOTE_CODE is off")
            )
            raise RefusedCode(f"Refused to run the Python code {module_file} of {source}: {why}.")
        path: str = find(source, module_file, *args, **kwargs)
        return path

    get_cached_module_file.unrestricted = find  # type: ignore[attr-defined]
    dynamic_module_utils.get_cached_module_file = get_cached_module_file
