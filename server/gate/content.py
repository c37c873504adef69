"""What a body of JSON may hold, looked at before vLLM does.

vLLM 0.32 answers some bodies that nobody means with a 500 and a traceback. Those that can be
known without its schemas are refused here, by looks that are cheap.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 200
"""How deep objects and lists may lie in each other: JSON schemas of tools have a dozen levels, and
Python's own reader gives up near a thousand."""

_SURROGATE = re.compile(rb"\\ud[89a-f]", re.IGNORECASE)
"""Half of a character, escaped; whether the other half follows is for the reader to see."""


def content_problem(body: bytes) -> str | None:
    """Return what is wrong with a body that is JSON, None where nothing is known to be.

    What is no JSON is vLLM's to refuse.

    Args:
        body: Of a request whose Content-Type says JSON, or says nothing.
    """
    deep = body.count(b"{") + body.count(b"[") > DEEPEST
    if not deep and not _SURROGATE.search(body) and b'"structured_outputs"' not in body:
        return None
    too_deep = f"The body's objects and lists lie more than {DEEPEST} deep in each other."
    try:
        document = json.loads(body)
    except RecursionError:
        return too_deep
    except ValueError:
        return None
    if deep and _depth(document) > DEEPEST:
        return too_deep
    if not _has_whole_characters(document):
        return "The body holds half of a surrogate pair, which is no character."
    # an object by vLLM's schema too, which reads it before it has checked that
    wanted = document.get("structured_outputs") if isinstance(document, dict) else None
    if wanted is not None and not isinstance(wanted, dict):
        return "structured_outputs must be an object."
    return None


def _depth(document: Any) -> int:
    """Return how deep a document is; without recursion, and no further than it matters."""
    depth, level = 0, [document]
    while level and depth <= DEEPEST:
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        depth += any(isinstance(each, dict | list) for each in level)
        level = [each for each in inner if isinstance(each, dict | list)]
    return depth


def _has_whole_characters(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
