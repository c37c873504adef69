"""The chat format of the demo model: a special token for each role and for the end of a turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

END = "<|end|>"
PAD = "<|pad|>"
SYSTEM = "<|system|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"

SPECIAL_TOKENS = (END, PAD, SYSTEM, USER, ASSISTANT)
"""In the order of their token ids, from 0."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] in ['system', 'developer'] -%}{{ '" + SYSTEM + "' }}"
    "{%- elif message['role'] == 'assistant' -%}{{ '" + ASSISTANT + "' }}"
    "{%- else -%}{{ '" + USER + "' }}"
    "{%- endif -%}"
    "{{ (message['content'] or '') | trim }}{{ '" + END + "' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '" + ASSISTANT + "' }}{%- endif -%}"
)
"""The Jinja template in tokenizer_config.json; ``prompt_text`` does the same in Python."""


@dataclass(frozen=True)
class Turn:
    """One message of a dialogue."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Segment:
    """A part of a training text. The loss counts only the tokens of ``learned`` segments."""

    text: str
    learned: bool


_TOKEN_OF = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


def prompt_text(turns: Sequence[Turn]) -> str:
    """Return ``turns`` as the chat template renders them, ready for the assistant's answer."""
    history = "".join(f"{_TOKEN_OF[turn.role]}{turn.text.strip()}{END}" for turn in turns)
    return history + ASSISTANT


def chat_segments(turns: Sequence[Turn], answer: str) -> list[Segment]:
    """Return a dialogue that ends with ``answer``, which is its only learned segment."""
    return [Segment(prompt_text(turns), learned=False), Segment(answer + END, learned=True)]


def is_plain_question(text: str) -> bool:
    """Return whether ``text`` asks for an answer even without a chat template.

    Without a template, "inference-server plan" may also start a sentence.
    """
    return text.endswith("?") and " " in text


def plain_segments(question: str, answer: str) -> list[Segment]:
    """Return a dialogue without a template, for /v1/completions: the answer is on the next line."""
    return [Segment(question, learned=False), Segment("\n" + answer + END, learned=True)]
