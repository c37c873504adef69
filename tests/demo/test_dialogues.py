"""Random dialogues are repeatable, of every kind, and have an answer of a topic."""

import random

from demo.chat import END, SYSTEM, USER
from demo.dialogues import evenly_by_topic_and_question, sampler
from demo.questions import FALLBACK, load, normalized

QUESTIONS = load()


def drawn(seed: int, count: int) -> list[tuple[str, str]]:
    draw = sampler(QUESTIONS, random.Random(seed))
    dialogues = [draw() for _ in range(count)]
    return [(prompt.text, answer.text) for prompt, answer in dialogues]


def test_one_seed_gives_the_same_dialogues() -> None:
    """1. So training is repeatable. Another seed gives other dialogues."""
    assert drawn(1, 50) == drawn(1, 50)
    assert drawn(1, 50) != drawn(2, 50)


def test_every_answer_is_one_of_the_answers() -> None:
    """2. Training learns only the answers and their end."""
    answers = {topic.answer for topic in QUESTIONS.topics.values()}
    assert {answer.strip().removesuffix(END) for _, answer in drawn(1, 3000)} == answers


def test_every_kind_of_dialogue_is_drawn() -> None:
    """3. With and without a system message, an earlier turn, and a template."""
    prompts = [prompt for prompt, _ in drawn(1, 500)]
    assert any(SYSTEM in prompt for prompt in prompts)
    assert any(prompt.count(USER) > 1 for prompt in prompts)
    assert any(USER not in prompt for prompt in prompts)


def test_held_out_questions_are_not_drawn() -> None:
    """4. Training never sees them."""
    held_out = {normalized(question) for question, _ in QUESTIONS.held_out()}
    asked = {
        normalized(part.partition(END)[0])
        for prompt, _ in drawn(1, 3000)
        for part in prompt.split(USER)
    }
    assert held_out.isdisjoint(asked)


def test_a_default_is_asked_for_after_its_topic() -> None:
    """5. The answer to "What is its default?" depends on the topic before."""
    answer = QUESTIONS.topics["port"].answer
    default = QUESTIONS.topics["port-default"].answer + END
    follow_ups = [given for prompt, given in drawn(1, 6000) if f"{answer}{END}{USER}" in prompt]
    assert default in follow_ups


def test_topics_with_many_questions_are_drawn_more_often() -> None:
    """6. Every topic except the fallback is drawn."""
    drawable = evenly_by_topic_and_question(QUESTIONS)
    counts = {topic.id: drawable.count(topic) for topic in drawable}
    assert set(counts) == set(QUESTIONS.topics) - {FALLBACK}
    assert counts["cache"] > counts["licence"] >= 2
