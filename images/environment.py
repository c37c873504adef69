"""What a base image's Python environment has, and what of the runtime's needs it lacks.

The accelerators' bases bring vLLM, PyTorch and most of what the light half imports. Only what they
lack is added, so that nothing of theirs changes version. Runs under the base's own Python, as
``environment.py missing LOCK``, ``... check DISTRIBUTION`` and ``... compile``.
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
    """Return the entries of a lock whose distributions are not installed.

    Args:
        lock: The text of a requirements file in which each entry pins one distribution.
    """
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return "".join(
        entry for entry in entries if "==" in entry and _installed(entry.split("==")[0]) is None
    )


def unmet(distribution: str) -> list[str]:
    """Return what an installed distribution needs and the environment does not have.

    Its requirements, theirs, and so on, without extras.
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
                problems.append(f"{name} needs {requirement}, and there is {found or 'none'}")
            else:
                waiting.append(requirement.name)
    return problems


def compile_all(paths: Iterable[str]) -> None:
    """Compile every module below some folders to bytecode, where it is not yet."""
    import compileall

    for path in paths:
        if Path(path).is_dir():
            # some packages carry templates that are no Python: they are passed over
            compileall.compile_dir(path, quiet=2, workers=0)


def main(command: str, argument: str = "") -> int:
    """Run one command and return its exit code."""
    if command == "compile":
        compile_all(sys.path[1:])  # without this script's own folder
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
