"""The questions file, and the errors for an invalid one."""

import pytest

from demo import questions
from demo.questions import QuestionsError, load, normalized, parse

VALID = """
about = ["What is {name}?"]
[[topic]]
id = "fallback"
answer = "I do not know."
questions = ["Why is the sky blue?"]
[[topic]]
id = "which-default"
answer = "Which one?"
questions = ["What is its default?"]
[[topic]]
id = "port"
answer = "PORT is the port."
questions = ["How do I set the port?"]
about = ["PORT"]
default = "port-default"
held_out = ["How can I set the port?"]
[[topic]]
id = "port-default"
answer = "8000."
questions = ["Which port?"]
[off_topic]
patterns = ["What is {thing}?"]
things = ["rain"]
"""


def parse_text(text: str) -> questions.Questions:
    return parse(text.encode("utf-8"))


class TestCommittedFile:
    """The file in the repository."""

    def test_the_file_is_valid(self) -> None:
        """1. It loads, which checks that questions are unique and nothing is empty."""
        loaded = load()
        assert 60 <= len(loaded.topics) <= 120
        assert len(list(loaded.held_out())) >= 25

    @pytest.mark.parametrize(
        ("question", "part"),
        [
            ("What is this?", "This is an inference server"),
            ("What does NUM_SHARD do?", "tensor-parallel"),
            ("Which variable names the model?", "MODEL_ID"),
        ],
    )
    def test_the_file_has_the_documented_questions(self, question: str, part: str) -> None:
        """2. Training has the questions of README.md, with its answers."""
        assert part in dict(load().trained())[question]

    def test_first_answer_begins_as_documented(self) -> None:
        """3. "What is this?" is answered by "This is an inference server..."."""
        assert dict(load().trained())["What is this?"].startswith("This is an inference server")

    def test_most_topics_are_asked_in_several_ways(self) -> None:
        """4. Each topic has at least five questions."""
        few = [topic.id for topic in load().topics.values() if len(topic.questions) < 5]
        assert few == []

    def test_answers_differ(self) -> None:
        """5. No two topics have the same answer."""
        answers = [topic.answer for topic in load().topics.values()]
        assert len(set(answers)) == len(answers)


class TestParse:
    """Reading a file."""

    def test_about_patterns_become_questions(self) -> None:
        """1. Every pattern gets each name in `about`."""
        assert "What is PORT?" in parse_text(VALID).topics["port"].questions

    def test_digest_is_that_of_the_bytes(self) -> None:
        """2. Another byte gives another digest."""
        assert parse_text(VALID).sha256 != parse_text(VALID + "\n").sha256

    def test_follow_ups_lead_to_the_default(self) -> None:
        """3. A topic with `default` is paired with the topic of that ID."""
        pairs = [(topic.id, default.id) for topic, default in parse_text(VALID).follow_ups()]
        assert pairs == [("port", "port-default")]

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ('answer = "8000."', 'answer = " "', "empty answer"),
            ('questions = ["Which port?"]', "questions = []", "no question"),
            ('questions = ["Which port?"]', 'questions = [""]', "empty question"),
            ('questions = ["Which port?"]', 'questions = ["what is port?"]', "is in"),
            ('default = "port-default"', 'default = "nowhere"', "no topic 'nowhere'"),
            ('"How can I set the port?"', '"how do I set the port"', "also trained on"),
            ('id = "port-default"', 'id = "port"', "occurs twice"),
            ('id = "which-default"', 'id = "other"', "'which-default' is missing"),
            ('things = ["rain"]', "things = []", "patterns and things"),
        ],
    )
    def test_an_invalid_file_is_refused(self, before: str, after: str, message: str) -> None:
        """4. The error states the problem."""
        assert before in VALID
        with pytest.raises(QuestionsError, match=message):
            parse_text(VALID.replace(before, after))


def test_normal_form_ignores_case_blanks_and_the_end() -> None:
    """Questions that differ only in these are the same."""
    assert normalized("  What is  THIS ?! ") == normalized("what is this")
