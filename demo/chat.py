"""The chat format of the demo model: one special token per role, one at the end of a turn."""

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
    """A piece of training text; the loss is taken on the ``learned`` ones only."""

    text: str
    learned: bool


_TOKEN_OF = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


def prompt_text(turns: Sequence[Turn]) -> str:
    """Return ``turns`` as the chat template renders them, ready for the assistant's answer."""
    history = "".join(f"{_TOKEN_OF[turn.role]}{turn.text.strip()}{END}" for turn in turns)
    return history + ASSISTANT


def chat_segments(turns: Sequence[Turn], answer: str) -> list[Segment]:
    """Return a dialogue whose last turn is ``answer``, of which only that answer is learned."""
    return [Segment(prompt_text(turns), learned=False), Segment(answer + END, learned=True)]


def plainly_a_question(text: str) -> bool:
    """Return whether ``text`` asks for an answer even without a chat template.

    Without a template, "inference-server plan" may also start a sentence.
    """
    return text.endswith("?") and " " in text


def plain_segments(question: str, answer: str) -> list[Segment]:
    """Return the same without a template, for /v1/completions: the answer on the next line."""
    return [Segment(question, learned=False), Segment("\n" + answer + END, learned=True)]
