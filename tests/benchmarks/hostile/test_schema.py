"""Requests from schemathesis follow or break the schema."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from benchmarks.hostile import schema

OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "small", "version": "1"},
    "paths": {
        "/health": {"get": {"responses": {"200": {"description": "well"}}}},
        "/tokenize": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "anyOf": [
                                    {"$ref": "#/components/schemas/Text"},
                                    {"$ref": "#/components/schemas/Count"},
                                ]
                            }
                        }
                    },
                },
                "responses": {"200": {"description": "well"}},
            }
        },
    },
    "components": {
        "schemas": {
            "Text": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            },
            "Count": {
                "type": "object",
                "properties": {"count": {"type": "integer"}},
                "required": ["count"],
            },
        }
    },
}


def test_only_operations_with_input_are_listed() -> None:
    assert schema.operations(OPENAPI) == ["POST /tokenize"]


def test_property_names_include_all_alternatives() -> None:
    assert set(schema.property_names(OPENAPI, "/tokenize")) == {"text", "count"}
    assert schema.property_names(OPENAPI, "/health") == []


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.slow
def test_requests_follow_or_break_the_schema(negative: bool) -> None:
    made = schema.make(OPENAPI, "POST /tokenize", negative, 20, seed=1)
    assert len(made) >= 10
    right = 0
    for case in made:
        assert (case.method, case.negative) == ("POST", negative)
        assert case.target.startswith("/tokenize")
        document = None
        with contextlib.suppress(ValueError):
            document = json.loads(case.body or b"null")
        right += isinstance(document, dict) and (
            isinstance(document.get("text"), str) or isinstance(document.get("count"), int)
        )
    assert right == len(made) if not negative else right < len(made)
