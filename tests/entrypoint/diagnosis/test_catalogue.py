"""Each kind of failure is unique, and its texts use only what its rules capture."""

import re
from collections import Counter
from string import Formatter

import pytest

from entrypoint.commands import COMMANDS
from entrypoint.diagnosis.catalogue import FAILURES, Failure
from entrypoint.diagnosis.catalogue.signals import OTHER_SIGNAL
from entrypoint.errors import EngineFailed

COMMAND_NAMES = {module.__name__.rpartition(".")[2] for module in COMMANDS}
each_failure = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.kind)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@each_failure
def test_each_placeholder_is_a_group_of_the_rules_pattern(failure: Failure) -> None:
    for rule in failure.rules:
        groups = set(re.compile(rule.pattern).groupindex)
        for text in (rule.cause or failure.cause, rule.hint or failure.hint):
            assert placeholders(text) <= groups, (rule.pattern, text)


@each_failure
def test_a_cause_is_a_clause_and_a_summary_and_a_hint_are_sentences(failure: Failure) -> None:
    for cause in (failure.cause, *(rule.cause for rule in failure.rules if rule.cause)):
        assert not cause.endswith("."), cause
    for hint in (failure.hint, *(rule.hint for rule in failure.rules if rule.hint)):
        assert re.match(r"[A-Z]|vLLM", hint), hint
        assert hint.endswith("."), hint
    assert failure.summary.endswith(".")
    if failure is not OTHER_SIGNAL:
        assert not placeholders(failure.cause)


@each_failure
def test_the_commands_in_a_hint_exist(failure: Failure) -> None:
    assert set(re.findall(r"inference-server ([a-z]+)", failure.hint)) <= COMMAND_NAMES


def test_each_kind_is_unique_and_in_kebab_case() -> None:
    assert not [kind for kind, count in Counter(f.kind for f in FAILURES).items() if count > 1]
    assert EngineFailed.code not in {failure.kind for failure in FAILURES}
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", failure.kind) for failure in FAILURES)


def test_the_exit_codes_are_those_of_the_documentation() -> None:
    assert {failure.exit_code for failure in FAILURES} == {65, 66, 69, 70, 71, 74, 78}
