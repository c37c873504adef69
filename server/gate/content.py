"""Checks the content of JSON bodies before vLLM reads them.

vLLM 0.32 answers some malformed bodies with a 500 and a traceback. The gate refuses those that a
cheap check can find without vLLM's schemas.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 200
"""How deeply objects and arrays may nest. JSON schemas of tools have a dozen levels, and Python's
parser fails near a thousand."""

_SURROGATE = re.compile(rb"\\ud[89a-f]", re.IGNORECASE)
"""An escaped surrogate; only the parser knows whether it is half of a pair."""


def content_problem(body: bytes) -> str | None:
    """Return what is wrong with a JSON body, None if no problem is found.

    Leaves invalid JSON to vLLM.

    Args:
        body: The body of a request whose Content-Type is JSON or missing.
    """
    deep = body.count(b"{") + body.count(b"[") > MAX_DEPTH
    if not deep and not _SURROGATE.search(body) and b'"structured_outputs"' not in body:
        return None
    too_deep = f"The body's objects and arrays nest deeper than {MAX_DEPTH} levels."
    try:
        document = json.loads(body)
    except RecursionError:
        return too_deep
    except ValueError:
        return None
    if deep and _exceeds_depth(document):
        return too_deep
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "The body contains an unpaired surrogate, which is not a valid character."
    # an object in vLLM's schema too, but vLLM reads it before it validates the body
    outputs = document.get("structured_outputs") if isinstance(document, dict) else None
    if outputs is not None and not isinstance(outputs, dict):
        return "structured_outputs must be an object."
    return None


def _exceeds_depth(document: Any) -> bool:
    """Whether a document nests too deeply; checked without recursion."""
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        containers = [each for each in level if isinstance(each, dict | list)]
        if not containers:
            return False
        level = [
            inner
            for each in containers
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return True
