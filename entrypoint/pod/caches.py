"""The caches of the engine's libraries, which are redirected to the scratch directory.

By default, each library uses a folder in the user's home, which a pod often does not have.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from entrypoint.errors import MachineError
from entrypoint.pod.scratch import can_write

REDIRECTED = {
    "VLLM_CACHE_ROOT": "vllm",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "NUMBA_CACHE_DIR": "numba",
}
"""The variable of each cache, and its folder in the scratch directory."""

HOMES = {"HOME": "home", "XDG_CACHE_HOME": "home/.cache", "XDG_CONFIG_HOME": "home/.config"}
"""Folders that are redirected only if they are not writable, because they can contain the user's
configuration."""


def cache_environment(environ: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Return the variables that redirect the caches to ``scratch``, without those the user set.

    Args:
        environ: The environment.
        scratch: The scratch directory, which need not exist.

    Raises:
        MachineError: The user set a cache to a folder that is not writable.
    """
    redirected = {}
    for name, folder in REDIRECTED.items():
        chosen = environ.get(name)
        if not chosen:
            redirected[name] = str(scratch / folder)
        elif not can_write(Path(chosen)):
            raise MachineError(
                f"{name}={chosen!r} is not writable for user {os.getuid()}.",
                variable=name,
                hint=f"Remove {name} to use the default, or mount a writable volume there.",
            )
    home = environ.get("HOME")
    if not home or not _usable(home):
        redirected["HOME"] = str(scratch / HOMES["HOME"])
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        # if they are unset, they depend on HOME
        if environ.get(name) and not _usable(environ[name]):
            redirected[name] = str(scratch / HOMES[name])
    if not (environ.get("LOGNAME") or environ.get("USER") or _has_passwd_entry()):
        # getpass.getuser() fails without either
        redirected["LOGNAME"] = f"uid-{os.getuid()}"
    return redirected


def _usable(path: str) -> bool:
    """Whether a library can write there. A relative path depends on who reads it."""
    return os.path.isabs(path) and can_write(Path(path))


def _has_passwd_entry() -> bool:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True
