"""Arguments that several commands have: their values, and what is refused."""

from __future__ import annotations

import argparse

import pytest

from entrypoint.commands.arguments import MAX_THREADS, add_json, add_max_workers, add_threads


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_json(parser)
    add_threads(parser, "how many files to hash in parallel")
    add_max_workers(parser, "how many parts to fetch in parallel")
    return parser


def test_defaults_leave_the_choice_to_the_command(parser: argparse.ArgumentParser) -> None:
    arguments = parser.parse_args([])
    assert (arguments.json, arguments.threads, arguments.max_workers) == (False, None, 8)


@pytest.mark.parametrize("value", [1, 8, MAX_THREADS])
def test_a_number_in_range_is_taken(parser: argparse.ArgumentParser, value: int) -> None:
    words = ["--json", "--threads", str(value), "--max-workers", str(value)]
    arguments = parser.parse_args(words)
    assert (arguments.json, arguments.threads, arguments.max_workers) == (True, value, value)


@pytest.mark.parametrize("option", ["--threads", "--max-workers"])
@pytest.mark.parametrize("value", ["0", "-1", str(MAX_THREADS + 1), "two", "1.5", "²", ""])
def test_any_other_value_is_refused(
    parser: argparse.ArgumentParser, option: str, value: str
) -> None:
    with pytest.raises(argparse.ArgumentError, match=f"not a number from 1 to {MAX_THREADS}"):
        parser.parse_args([f"{option}={value}"])


def test_the_help_names_what_runs_in_parallel(parser: argparse.ArgumentParser) -> None:
    shown = " ".join(parser.format_help().split())
    assert "how many files to hash in parallel (default: the number of processors)" in shown
    assert "how many parts to fetch in parallel (default: 8)" in shown
