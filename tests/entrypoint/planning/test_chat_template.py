"""The chat template that ARG names."""

from pathlib import Path

import pytest

from entrypoint.planning.chat_template import template_problem

VALID = [
    "{{ messages[0].content }}",
    "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m }}{% endfor %}",
    "{% generation %}{{ m }}{% endgeneration %}",
    "{%- macro f(x) -%}{{ x }}{%- endmacro -%}{{ f(1) }}",
    "{{ raise_exception('no') }}{{ strftime_now('%Y') }}{{ tools | tojson(indent=4) }}",
    "{# a comment #}",
    "one\ntwo",
]
INVALID = [
    ("{% if x %}a", "line 1: "),
    ("a\n{{ x }", "line 2: unexpected '}'"),
    ("{% unknown %}", "unknown tag 'unknown'"),
    ("{{ x | }}", "line 1: "),
    ("{% for x in y %}{% endif %}", "line 1: "),
]


@pytest.mark.parametrize("text", VALID)
def test_a_valid_template_is_accepted_inline_and_in_a_file(tmp_path: Path, text: str) -> None:
    assert template_problem(text) is None
    file = tmp_path / "chat.jinja"
    file.write_text(text)
    assert template_problem(str(file)) is None


@pytest.mark.parametrize(("text", "problem"), INVALID)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text(text)
    for value in (text, str(file)):
        found = template_problem(value) or ""
        assert "is not a valid Jinja template" in found
        assert problem in found


def test_a_path_without_a_file_is_named(tmp_path: Path) -> None:
    assert template_problem(str(tmp_path / "missing.jinja")) == "does not exist"
    assert template_problem("~/chat.jinja") == "does not exist"
    assert "cannot be read" in (template_problem(str(tmp_path)) or "")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert template_problem(str(tmp_path / "binary")) == "is not a text file"


def test_vllms_own_templates_are_found_by_name() -> None:
    assert template_problem("template_chatml.jinja") is None
    assert template_problem("template_chatmll.jinja") == "does not exist"
