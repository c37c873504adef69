"""Requests that schemathesis makes of the server's own OpenAPI document, in a process of their own:
making one takes longer than answering it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple


class Made(NamedTuple):
    """A request as schemathesis made it."""

    label: str
    """Method and path template."""
    negative: bool
    """Whether it breaks the schema."""
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes | None


def operations(document: Mapping[str, Any]) -> list[str]:
    """Return method and path of each operation that takes something, as in ``POST /tokenize``."""
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation.get("requestBody") or operation.get("parameters"):
                found.append(f"{method.upper()} {path}")
    return found


def property_names(document: Mapping[str, Any], path: str) -> list[str]:
    """Return the names that a path's JSON bodies can have at their top."""
    body = document["paths"].get(path, {}).get("post", {}).get("requestBody", {})
    schema = body.get("content", {}).get("application/json", {}).get("schema", {})
    names: dict[str, None] = {}
    open_ends = [schema]
    while open_ends:
        one = open_ends.pop()
        if "$ref" in one:
            one = document["components"]["schemas"][one["$ref"].rpartition("/")[2]]
        names.update(dict.fromkeys(one.get("properties", {})))
        open_ends += [*one.get("anyOf", []), *one.get("oneOf", []), *one.get("allOf", [])]
    return list(names)


def make(
    document: Mapping[str, Any], label: str, negative: bool, count: int, seed: int
) -> list[Made]:
    """Return up to so many requests to one operation; none where the schema cannot be broken.

    Args:
        document: The OpenAPI document.
        label: One of :func:`operations`.
        negative: Whether they are to break the schema.
        count: How many at most.
        seed: What they follow from.
    """
    # slow to import, and only this process needs it
    import requests
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Unsatisfiable
    from schemathesis import Case, GenerationMode
    from schemathesis.core.errors import UnsupportedSchema

    warnings.simplefilter("ignore")
    method, _, path = label.partition(" ")
    operation = schemathesis.openapi.from_dict(dict(document))[path][method]
    mode = GenerationMode.NEGATIVE if negative else GenerationMode.POSITIVE
    made: list[Made] = []

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Case[Any]) -> None:
        arguments = case.as_transport_kwargs(base_url="http://localhost")
        known = ("method", "url", "headers", "params", "cookies", "data", "json", "files")
        try:
            prepared = requests.Request(
                **{name: value for name, value in arguments.items() if name in known}
            ).prepare()
        except (requests.RequestException, UnicodeError):
            return  # what requests refuses to send is sent by the wire attacks
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        assert body is None or isinstance(body, bytes)  # none of the operations takes a file
        headers = [
            (name, value if isinstance(value, str) else value.decode("latin-1"))
            for name, value in prepared.headers.items()
            if name.lower() not in ("content-length", "host", "connection", "authorization")
        ]
        made.append(Made(label, negative, str(prepared.method), prepared.path_url, headers, body))

    try:
        collect()
    except Unsatisfiable:
        return []
    except UnsupportedSchema as error:  # it tells only when it comes to that part of the schema
        print(f"{label}: made {len(made)} of {count}: {error}", file=sys.stderr)
    return made
