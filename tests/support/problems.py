"""Problems as tests compare them."""

from __future__ import annotations

from collections.abc import Mapping

from entrypoint.errors import Problem


def texts(problems: Mapping[str, Problem]) -> dict[str, str]:
    """Return ``{file name: the problem's text}``."""
    return {name: problem.text for name, problem in problems.items()}
