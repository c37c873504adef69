"""Read and check ``questions.toml``, the topics that the demo model learns."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUESTIONS_PATH = Path(__file__).with_name("questions.toml")

FALLBACK = "fallback"
"""ID of the topic that answers questions that are not about this runtime."""

WHICH_DEFAULT = "which-default"
"""ID of the topic whose questions ("What is its default?") refer to the previous turn."""


class QuestionsError(ValueError):
    """The questions file is invalid. The message names the topic and the problem."""


@dataclass(frozen=True)
class Topic:
    """One answer and the questions that it answers.

    ``default`` is the ID of the topic that answers "What is its default?" right after a question of
    this topic. ``held_out`` questions are only for evaluation, not for training.
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
        """Yield every ``(question, answer)`` that training uses."""
        for topic in self.topics.values():
            for question in topic.questions:
                yield question, topic.answer

    def held_out(self) -> Iterator[tuple[str, str]]:
        """Yield every ``(question, answer)`` that training does not use."""
        for topic in self.topics.values():
            for question in topic.held_out:
                yield question, topic.answer

    def follow_ups(self) -> Iterator[tuple[Topic, Topic]]:
        """Yield ``(topic, topic of its default)`` for each topic that has a default."""
        for topic in self.topics.values():
            if topic.default is not None:
                yield topic, self.topics[topic.default]


def normalized(question: str) -> str:
    """Return ``question`` in a form for comparisons: without case, blanks and end punctuation."""
    return " ".join(question.casefold().rstrip(" ?!.").split())


def load(path: Path = QUESTIONS_PATH) -> Questions:
    """Return the questions in a file; raise QuestionsError if the file is invalid."""
    return parse(path.read_bytes())


def parse(raw: bytes) -> Questions:
    """Return the questions in a file's bytes; raise QuestionsError if they are invalid."""
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
            # the `about` patterns produce a bare name with and without "?"
            key = question.casefold()
            if key in owner:
                raise QuestionsError(f"{question!r} is in {owner[key]!r} and in {topic.id!r}")
            owner[key] = topic.id
    taught = {normalized(question) for question, _ in questions.trained()}
    for question, _ in questions.held_out():
        if normalized(question) in taught:
            raise QuestionsError(f"held-out question {question!r} is also trained on")
