"""Finds the packages that a base image's Python environment lacks.

The accelerators' base images contain vLLM, PyTorch and most of what the entrypoint imports. Only
missing packages are added, so no package of the base changes its version. Runs under the base's
Python: ``environment.py missing LOCK``, ``... check DISTRIBUTION`` or ``... compile``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def missing(lock: str) -> str:
    """Return the entries of a lock file whose distributions are not installed.

    Args:
        lock: The text of a requirements file whose entries each pin one distribution.
    """
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return "".join(
        entry for entry in entries if "==" in entry and _installed(entry.split("==")[0]) is None
    )


def unmet(distribution: str) -> list[str]:
    """Return the unmet requirements of an installed distribution, direct and indirect.

    Extras do not count.
    """
    from packaging.requirements import Requirement

    problems: list[str] = []
    seen: set[str] = set()
    waiting = [distribution]
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            found = _installed(requirement.name)
            if found is None or not requirement.specifier.contains(found, prereleases=True):
                problems.append(f"{name} needs {requirement}, found {found or 'none'}")
            else:
                waiting.append(requirement.name)
    return problems


def compile_all(paths: Iterable[str]) -> None:
    """Compile every module under ``paths`` to bytecode, unless it is already."""
    import compileall

    for path in paths:
        if Path(path).is_dir():
            # some packages contain templates that are not Python: skip them
            compileall.compile_dir(path, quiet=2, workers=0)


def main(command: str, argument: str = "") -> int:
    """Run one command and return its exit code."""
    if command == "compile":
        compile_all(sys.path[1:])  # the first is this script's folder
        return 0
    if command == "missing":
        print(missing(Path(argument).read_text()), end="")
        return 0
    problems = unmet(argument)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
