"""JSON that lost its quotes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoint.options.json_repair import repaired

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc/._-", min_size=1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=6,
).filter(lambda value: isinstance(value, list | dict))


@settings(deadline=None)
@given(VALUES)
def test_json_without_its_quotes_is_restored(value: object) -> None:
    bare = json.dumps(value).replace('"', "")
    made = repaired(bare)
    assert made is not None
    assert json.dumps(json.loads(made)).replace('"', "") == bare


@settings(deadline=None)
@given(VALUES)
def test_complete_json_keeps_its_value(value: object) -> None:
    assert json.loads(repaired(json.dumps(value)) or "") == value


@settings(deadline=None)
@given(VALUES)
def test_a_python_literal_is_read_as_json(value: object) -> None:
    assert json.loads(repaired(repr(value)) or "") == value


@pytest.mark.parametrize(
    "text", ["", "a", "{", "{a", "{a:}", "{{ x }}", "{url:http://x}", "[" * 10_000, "1", "'a'"]
)
def test_anything_else_is_not_guessed(text: str) -> None:
    assert repaired(text) is None
