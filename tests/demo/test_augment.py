"""Variants of questions, and the parts that no variant changes."""

import random
import re

import pytest

from demo import augment
from demo.questions import load, normalized

QUESTION = "How do I serve a tarball?"


def variants(question: str, count: int = 300) -> set[str]:
    rng = random.Random(1)
    return {augment.augmented(rng, question) for _ in range(count)}


def test_one_seed_gives_the_same_variants() -> None:
    """1. So training is repeatable."""
    assert variants(QUESTION) == variants(QUESTION)


def test_variants_are_many_and_not_empty() -> None:
    """2. Training sees a question in many forms."""
    found = variants(QUESTION)
    assert len(found) > 50
    assert all(variant.strip() for variant in found)


@pytest.mark.parametrize("number", ["400", "401", "404", "503"])
def test_numbers_stay(number: str) -> None:
    """3. 503 and 504 are different questions: no variant touches a digit."""
    digits = {re.sub(r"\D", "", variant) for variant in variants(f"Why do I get {number}?")}
    assert digits == {number}


def test_a_held_out_question_is_never_drawn() -> None:
    """4. Instead of a held-out variant, the question itself is drawn."""
    never = {normalized("How can I serve a tarball?")}
    rng = random.Random(1)
    found = {augment.augmented(rng, QUESTION, never) for _ in range(2000)}
    assert never.isdisjoint(normalized(variant) for variant in found)


def test_typing_errors_are_small() -> None:
    """5. A typing error changes the length by at most one letter, and never the first letter."""
    rng = random.Random(1)
    for _ in range(200):
        variant = augment.with_typing_error(rng, "tarball")
        assert abs(len(variant) - len("tarball")) <= 1
        assert variant[0] == "t"


def test_short_words_have_no_typing_errors() -> None:
    """6. A short word may be unreadable with an error."""
    assert augment.with_typing_error(random.Random(1), "Is it up?") == "Is it up?"


def test_endings_are_replaced() -> None:
    """7. Only the punctuation at the end changes."""
    rng = random.Random(1)
    assert {augment.with_other_ending(rng, "Why?").rstrip(" ?!.\n") for _ in range(50)} == {"Why"}


def test_polite_words_keep_the_question() -> None:
    """8. They are before or after it."""
    rng = random.Random(1)
    assert all("Which port" in augment.with_polite_words(rng, "Which port?") for _ in range(50))


def test_unknown_openings_stay() -> None:
    """9. A question with another opening does not change."""
    assert augment.with_other_opening(random.Random(1), "Hallo") == "Hallo"


def test_underscores_become_blanks() -> None:
    """10. Users write NUM SHARD too."""
    assert augment.with_blanks_for_underscores("NUM_SHARD?") == "NUM SHARD?"


def test_off_topic_questions_are_filled_in() -> None:
    """11. No placeholder remains."""
    questions = load()
    rng = random.Random(1)
    drawn = [augment.off_topic(rng, questions) for _ in range(500)]
    assert all(question.strip() and "{" not in question for question in drawn)
    assert len(set(drawn)) > 300


def test_only_small_words_are_dropped() -> None:
    """12. A short question keeps all its words."""
    rng = random.Random(1)
    found = {augment.with_word_dropped(rng, "How do I set the port?") for _ in range(50)}
    assert found == {"How I set the port?", "How do set the port?", "How do I set port?"}
    assert augment.with_word_dropped(rng, "Which the port?") == "Which the port?"
