"""A rule matches an exception's text, and its traceback if it has to."""

import re

from entrypoint.diagnosis.catalogue.failure import SPAN, Rule, compiled, innermost

FRAMES = (
    '  File "/usr/lib/vllm/lora/a.py", line 1, in load\n    read(b)\n'
    '  File "/usr/lib/vllm/config/c.py", line 2, in read\n    check(d)\n    ^^^^^^^^'
)


def test_a_match_returns_the_named_groups() -> None:
    rule = Rule(r"needs (?P<needed>\d+) of (?P<total>\d+)")
    assert rule.match("ValueError: needs 2 of 3", "") == {"needed": "2", "total": "3"}
    assert rule.match("ValueError: needs nothing", "") is None


def test_a_group_that_takes_no_part_is_empty() -> None:
    assert Rule(r"a|(?P<b>b)").match("a", "") == {"b": ""}


def test_case_is_ignored() -> None:
    assert Rule("cuda out of memory").match("CUDA out of memory", "") == {}


def test_a_rule_with_within_must_match_the_traceback_too() -> None:
    rule = Rule("^ValueError", within=r"vllm/lora/")
    assert rule.match("ValueError: a", FRAMES) == {}
    assert rule.match("ValueError: a", "") is None


def test_innermost_matches_only_the_last_frame() -> None:
    assert re.search(innermost("vllm/config/"), FRAMES)
    assert not re.search(innermost("vllm/lora/"), FRAMES)


def test_a_span_does_not_cross_a_line() -> None:
    assert compiled("a" + SPAN + "b").search("a and b")
    assert not compiled("a" + SPAN + "b").search("a\nb")


def test_a_pattern_is_compiled_once() -> None:
    assert compiled("a{3}") is compiled("a{3}")
