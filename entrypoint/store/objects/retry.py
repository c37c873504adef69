"""Retries of requests to a store: a limited number, each with a log line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from entrypoint.errors import InferenceServerError

ATTEMPTS = 5
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""

log = logging.getLogger("inference-server")
Result = TypeVar("Result")


class Transient(Exception):
    """A request failed, and a retry may succeed.

    Args:
        error: The error to raise if every retry fails.
        detail: What happened, in a few words.
    """

    def __init__(self, error: InferenceServerError, detail: str):
        super().__init__(detail)
        self.error = error


def retrying(what: str, ask: Callable[[], Result]) -> Result:
    """Return the result of ``ask``, called up to :data:`ATTEMPTS` times.

    Args:
        what: What the request is for, for the log, such as ``"part 3 of s3://bucket/key"``.
        ask: Makes the request. It raises :class:`Transient` if a retry may succeed.

    Raises:
        InferenceServerError: The error of the last :class:`Transient`.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return ask()
        except Transient as problem:
            if attempt == ATTEMPTS:
                raise problem.error from problem
            pause = FIRST_PAUSE * 2 ** (attempt - 1)
            log.warning(
                "%s: %s; attempt %d of %d in %.1f s", what, problem, attempt + 1, ATTEMPTS, pause
            )
            time.sleep(pause)
    raise AssertionError("unreachable")
