"""The generated pages are in step with the code."""

from docs.generate import configuration, exit_codes, stale_pages
from entrypoint.settings import all_variables


def test_pages_are_in_step() -> None:
    assert stale_pages() == []


def test_every_variable_is_there() -> None:
    page = configuration()
    assert all(f"`{name}`" in page for name in all_variables())


def test_every_exit_code_is_there() -> None:
    page = exit_codes()
    assert all(f"| {code} |" in page for code in (0, 64, 65, 66, 69, 70, 71, 74, 78))
