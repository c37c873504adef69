"""What the demo model is taught: the topics of ``questions.toml``, read and checked."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUESTIONS_PATH = Path(__file__).with_name("questions.toml")

FALLBACK = "fallback"
"""Id of the topic that answers whatever is not about this runtime."""

WHICH_DEFAULT = "which-default"
"""Id of the topic whose questions ("What is its default?") depend on the turn before."""


class QuestionsError(ValueError):
    """The questions file cannot be used; the message names the topic and what is wrong."""


@dataclass(frozen=True)
class Topic:
    """One answer and the questions that it answers.

    ``default`` is the id of the topic that answers "What is its default?" asked right after a
    question of this topic. ``held_out`` questions are for evaluation and are never trained on.
    """

    id: str
    answer: str
    questions: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True)
class Questions:
    """All topics, the material for off-topic questions, and the digest of the file."""

    topics: Mapping[str, Topic]
    off_topic_patterns: tuple[str, ...]
    off_topic_things: tuple[str, ...]
    sha256: str

    def trained(self) -> Iterator[tuple[str, str]]:
        """Yield every ``(question, answer)`` that training teaches word for word."""
        for topic in self.topics.values():
            for question in topic.questions:
                yield question, topic.answer

    def held_out(self) -> Iterator[tuple[str, str]]:
        """Yield every ``(question, answer)`` that training never sees."""
        for topic in self.topics.values():
            for question in topic.held_out:
                yield question, topic.answer

    def follow_ups(self) -> Iterator[tuple[Topic, Topic]]:
        """Yield ``(topic, topic of its default)`` for each topic that has a default."""
        for topic in self.topics.values():
            if topic.default is not None:
                yield topic, self.topics[topic.default]


def normalised(question: str) -> str:
    """Return ``question`` without case, blanks and closing punctuation, to compare questions."""
    return " ".join(question.casefold().rstrip(" ?!.").split())


def load(path: Path = QUESTIONS_PATH) -> Questions:
    """Read and check the questions file at ``path``; raise QuestionsError if it is unsound."""
    raw = path.read_bytes()
    return parse(raw)


def parse(raw: bytes) -> Questions:
    """Turn the bytes of a questions file into checked Questions."""
    document = tomllib.loads(raw.decode("utf-8"))
    about: list[str] = document.get("about", [])
    topics: dict[str, Topic] = {}
    for table in document.get("topic", []):
        topic = _topic(table, about)
        if topic.id in topics:
            raise QuestionsError(f"topic {topic.id!r} occurs twice")
        topics[topic.id] = topic
    off_topic = document.get("off_topic", {})
    questions = Questions(
        topics=topics,
        off_topic_patterns=tuple(off_topic.get("patterns", [])),
        off_topic_things=tuple(off_topic.get("things", [])),
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    _check(questions)
    return questions


def _topic(table: Mapping[str, Any], about: list[str]) -> Topic:
    spelled_out = [
        pattern.format(name=name) for name in table.get("about", []) for pattern in about
    ]
    return Topic(
        id=table["id"],
        answer=table["answer"],
        questions=(*table["questions"], *spelled_out),
        held_out=tuple(table.get("held_out", [])),
        default=table.get("default"),
    )


def _check(questions: Questions) -> None:
    for required in (FALLBACK, WHICH_DEFAULT):
        if required not in questions.topics:
            raise QuestionsError(f"topic {required!r} is missing")
    if not questions.off_topic_patterns or not questions.off_topic_things:
        raise QuestionsError("off_topic needs patterns and things")
    owner: dict[str, str] = {}
    for topic in questions.topics.values():
        if not topic.answer.strip():
            raise QuestionsError(f"topic {topic.id!r} has an empty answer")
        if not topic.questions:
            raise QuestionsError(f"topic {topic.id!r} has no question")
        if topic.default is not None and topic.default not in questions.topics:
            raise QuestionsError(f"topic {topic.id!r}: no topic {topic.default!r} for its default")
        for question in (*topic.questions, *topic.held_out):
            if not question.strip():
                raise QuestionsError(f"topic {topic.id!r} has an empty question")
            # A bare name may stand with and without "?", as the `about` patterns write it.
            key = question.casefold()
            if key in owner:
                raise QuestionsError(f"{question!r} stands in {owner[key]!r} and in {topic.id!r}")
            owner[key] = topic.id
    taught = {normalised(question) for question, _ in questions.trained()}
    for question, _ in questions.held_out():
        if normalised(question) in taught:
            raise QuestionsError(f"held-out question {question!r} is also trained on")
