"""The engines that the CPU benchmark compares."""

from __future__ import annotations

import os

import pytest

from benchmarks.cpu import QUESTIONS, sides


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_engines_of_a_question_have_different_names_and_settings(question: str) -> None:
    compared = sides(question)
    assert len({side.name for side in compared}) == len(compared)
    assert len({side[1:] for side in compared}) == len(compared)


def test_each_processor_gets_a_thread() -> None:
    bound = next(side for side in sides("threads") if side.name == "one on each processor")
    assert {int(cpu) for cpu in bound.binding.split(",")} == os.sched_getaffinity(0)
