"""The catalogue words each kind with facts that its signs have, and names each once."""

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


def facts(words: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(words) if name}


@each_failure
def test_each_wording_has_the_facts_that_it_names(failure: Failure) -> None:
    for rule in failure.rules:
        known = set(re.compile(rule.pattern).groupindex)
        for words in (rule.cause or failure.cause, rule.hint or failure.hint):
            assert facts(words) <= known, (rule.pattern, words)


@each_failure
def test_a_cause_is_a_clause_and_a_repair_is_sentences(failure: Failure) -> None:
    for cause in (failure.cause, *(rule.cause for rule in failure.rules if rule.cause)):
        assert not cause.endswith("."), cause
    assert failure.summary.endswith(".")
    if failure is not OTHER_SIGNAL:
        assert not facts(failure.cause)


@each_failure
def test_the_commands_that_a_repair_names_exist(failure: Failure) -> None:
    named = re.findall(r"inference-server ([a-z]+)", failure.hint)
    assert set(named) <= COMMAND_NAMES


def test_each_kind_is_there_once() -> None:
    assert not [kind for kind, count in Counter(f.kind for f in FAILURES).items() if count > 1]
    assert EngineFailed.code not in {failure.kind for failure in FAILURES}
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", failure.kind) for failure in FAILURES)


def test_the_exit_codes_are_those_of_the_design() -> None:
    assert {failure.exit_code for failure in FAILURES} == {65, 66, 69, 70, 71, 74, 78}
