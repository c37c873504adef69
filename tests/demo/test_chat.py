"""The chat format: Python and the Jinja template render the same text."""

import jinja2
import pytest

from demo.chat import (
    CHAT_TEMPLATE,
    Turn,
    chat_segments,
    is_plain_question,
    plain_segments,
    prompt_text,
)

DIALOGUES = [
    [Turn("user", "What is this?")],
    [Turn("system", "Be brief."), Turn("user", " What is this? ")],
    [Turn("user", "hi"), Turn("assistant", "Hello!"), Turn("user", "Which port?")],
]


def rendered(messages: list[dict[str, str | None]], *, add_generation_prompt: bool) -> str:
    template = jinja2.Environment(autoescape=False).from_string(CHAT_TEMPLATE)
    return template.render(messages=messages, add_generation_prompt=add_generation_prompt)


@pytest.mark.parametrize("turns", DIALOGUES)
def test_template_and_python_agree(turns: list[Turn]) -> None:
    """1. The training text has the format of a request."""
    messages: list[dict[str, str | None]] = [
        {"role": turn.role, "content": turn.text} for turn in turns
    ]
    assert rendered(messages, add_generation_prompt=True) == prompt_text(turns)


def test_without_generation_prompt_the_dialogue_is_closed() -> None:
    """2. The last turn ends with the end token, and no answer starts."""
    text = rendered([{"role": "user", "content": "hi"}], add_generation_prompt=False)
    assert text == "<|user|>hi<|end|>"


def test_developer_is_system_and_no_content_is_empty() -> None:
    """3. Messages from newer clients are rendered, not refused."""
    messages: list[dict[str, str | None]] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": None},
    ]
    text = rendered(messages, add_generation_prompt=False)
    assert text == "<|system|>Be brief.<|end|><|assistant|><|end|>"


def test_only_the_last_answer_is_learned() -> None:
    """4. Earlier answers are part of the prompt."""
    turns = [Turn("user", "hi"), Turn("assistant", "Hello!"), Turn("user", "Which port?")]
    prompt, answer = chat_segments(turns, "8000.")
    assert (prompt.learned, answer.learned) == (False, True)
    assert prompt.text == prompt_text(turns)
    assert answer.text == "8000.<|end|>"


def test_plain_text_has_no_roles() -> None:
    """5. A prompt for /v1/completions is the bare question."""
    prompt, answer = plain_segments("Which port?", "8000.")
    assert (prompt.text, answer.text) == ("Which port?", "\n8000.<|end|>")


def test_a_plain_question_ends_like_one() -> None:
    """6. A word or a command may also start a sentence."""
    assert is_plain_question("Which port?")
    assert not is_plain_question("inference-server plan")
    assert not is_plain_question("PORT?")
