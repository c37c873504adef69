"""Requests that schemathesis generates from the server's OpenAPI document.

They are generated in a separate process: generating one takes longer than answering it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple


class Made(NamedTuple):
    """A request from schemathesis."""

    label: str
    """Method and path template."""
    negative: bool
    """Whether it breaks the schema."""
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes | None


def operations(document: Mapping[str, Any]) -> list[str]:
    """Return each operation with parameters or a body, as in ``POST /tokenize``."""
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation.get("requestBody") or operation.get("parameters"):
                found.append(f"{method.upper()} {path}")
    return found


def property_names(document: Mapping[str, Any], path: str) -> list[str]:
    """Return the top-level names of a path's JSON bodies."""
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
    """Return up to ``count`` requests to one operation; none if the schema cannot be broken.

    Args:
        document: The OpenAPI document.
        label: One of :func:`operations`.
        negative: Whether the requests break the schema.
        count: Maximum number of requests.
        seed: Seed of the random choices.
    """
    # slow to import, and needed only in this process
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
            return  # the wire attacks send what requests refuses to send
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        assert body is None or isinstance(body, bytes)  # no operation accepts a file
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
    except UnsupportedSchema as error:  # raised only when it reaches the unsupported part
        print(f"{label}: made {len(made)} of {count}: {error}", file=sys.stderr)
    return made
