"""Draw random training dialogues: a question, the turns before it, and the format."""

import random
from collections.abc import Callable, Collection, Iterator

from demo.augment import SYSTEM_PROMPTS, augmented, off_topic
from demo.chat import Segment, Turn, chat_segments, is_plain_question, plain_segments
from demo.questions import FALLBACK, WHICH_DEFAULT, Questions, Topic, normalized

# Shares of all dialogues. The remaining ones ask about other topics.
_OFF_TOPIC = 0.14
_FOLLOW_UP = 0.07
_PLAIN = 0.06

_WITH_SYSTEM = 0.2
_WITH_HISTORY = 0.22

Sampler = Callable[[], list[Segment]]


def sampler(questions: Questions, rng: random.Random) -> Sampler:
    """Return a function that returns another dialogue at each call, the same ones for a seed."""
    topics = evenly_by_topic_and_question(questions)
    follow_ups = list(questions.follow_ups())
    never = {normalized(question) for question, _ in questions.held_out()}

    def draw() -> list[Segment]:
        if rng.random() < _FOLLOW_UP:
            topic, default = rng.choice(follow_ups)
            history = _exchange(rng, questions, topic, never)
            question = _question(rng, questions, questions.topics[WHICH_DEFAULT], never)
            return chat_segments([*_system(rng), *history, Turn("user", question)], default.answer)
        topic = _topic(rng, questions, topics)
        if rng.random() < _PLAIN:
            spelled = rng.choice(topic.questions)
            if is_plain_question(spelled):
                return plain_segments(spelled, topic.answer)
        question = _question(rng, questions, topic, never)
        turns = [*_system(rng), *_history(rng, questions, topics, topic, never)]
        return chat_segments([*turns, Turn("user", question)], topic.answer)

    return draw


def evenly_by_topic_and_question(questions: Questions) -> list[Topic]:
    """Return a list to draw topics from. It repeats topics with many questions more often.

    With equally frequent topics, each question of a large topic is rare. With equally frequent
    questions, the answers of small topics are rare. This is a compromise.
    """
    topics = [topic for topic in questions.topics.values() if topic.id != FALLBACK]
    mean = sum(len(topic.questions) for topic in topics) / len(topics)
    return [topic for topic in topics for _ in range(2 + round(2 * len(topic.questions) / mean))]


def _topic(rng: random.Random, questions: Questions, topics: list[Topic]) -> Topic:
    if rng.random() < _OFF_TOPIC:
        return questions.topics[FALLBACK]
    return rng.choice(topics)


def _question(
    rng: random.Random, questions: Questions, topic: Topic, never: Collection[str]
) -> str:
    if topic.id == FALLBACK and rng.random() < 0.5:
        return augmented(rng, off_topic(rng, questions), never)
    return augmented(rng, rng.choice(topic.questions), never)


def _system(rng: random.Random) -> Iterator[Turn]:
    if rng.random() < _WITH_SYSTEM:
        yield Turn("system", rng.choice(SYSTEM_PROMPTS))


def _exchange(
    rng: random.Random, questions: Questions, topic: Topic, never: Collection[str]
) -> list[Turn]:
    question = _question(rng, questions, topic, never)
    return [Turn("user", question), Turn("assistant", topic.answer)]


def _history(
    rng: random.Random,
    questions: Questions,
    topics: list[Topic],
    asked: Topic,
    never: Collection[str],
) -> list[Turn]:
    """Return earlier turns that must not change the answer to a question about ``asked``."""
    turns: list[Turn] = []
    while rng.random() < _WITH_HISTORY:
        earlier = _topic(rng, questions, topics)
        # After a topic with a default, "What is its default?" has another answer.
        if asked.id != WHICH_DEFAULT or earlier.default is None:
            turns += _exchange(rng, questions, earlier, never)
    return turns
