"""What a base image's Python environment has, and what of the runtime's needs it lacks.

The accelerators' bases bring vLLM, PyTorch and most of what the light half imports. Only what they
lack is added, so that nothing of theirs changes version. Runs under the base's own Python, as
``environment.py missing LOCK`` and ``environment.py check DISTRIBUTION``.
"""

from __future__ import annotations

import re
import sys
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
    """Return the requirements of an installed distribution that the environment does not meet."""
    from packaging.requirements import Requirement

    problems = []
    for text in requires(distribution) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _installed(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            problems.append(f"{requirement}, and the base has {found or 'none'}")
    return problems


def main(command: str, argument: str) -> int:
    """Run one command and return its exit code."""
    if command == "missing":
        print(missing(Path(argument).read_text()), end="")
        return 0
    problems = unmet(argument)
    for problem in problems:
        print(f"{argument} needs {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
