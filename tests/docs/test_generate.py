"""The generated pages match the code."""

from docs.generate import (
    command_line,
    configuration,
    exit_codes,
    failures,
    internals,
    short_options_once,
    stale_pages,
)
from entrypoint.commands import COMMANDS
from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.settings import all_variables
from server.internals import INTERNALS


def test_generated_pages_match_the_code() -> None:
    assert stale_pages() == []


def test_configuration_page_lists_every_variable() -> None:
    page = configuration()
    assert all(f"`{name}`" in page for name in all_variables())


def test_exit_code_page_lists_every_code() -> None:
    page = exit_codes()
    assert all(f"| {code} |" in page for code in (0, 64, 65, 66, 69, 70, 71, 74, 78))


def test_command_line_page_shows_every_command() -> None:
    page = command_line()
    names = [module.__name__.rpartition(".")[2] for module in COMMANDS]
    assert all(f"usage: inference-server {name}" in page for name in names)


def test_failure_page_lists_every_kind_with_its_exit_code() -> None:
    page = failures()
    assert all(f"## `{failure.kind}` ({failure.exit_code})" in page for failure in FAILURES)


def test_internals_page_lists_every_internal() -> None:
    page = internals()
    assert all(f"| `{internal.name}` |" in page for internal in INTERNALS)


def test_help_looks_the_same_on_every_python() -> None:
    older = "  -o FILE, --output FILE\n                        the tarball"
    newer = "  -o, --output FILE     the tarball"
    assert short_options_once(older) == short_options_once(newer) == newer
