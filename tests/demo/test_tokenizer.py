"""The tokenizer of the demo model, trained on a few lines."""

import pytest

from demo.chat import SPECIAL_TOKENS, Turn, chat_segments
from demo.tokenizer import IGNORED, encode, train_tokenizer

TEXTS = ["What is this?", "This is a test of what this is."] * 3
SIZE = 256 + len(SPECIAL_TOKENS) + 4


def test_special_tokens_come_first() -> None:
    """1. Their IDs are their positions in the list."""
    tokenizer = train_tokenizer(TEXTS, SIZE)
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]


def test_any_text_survives() -> None:
    """2. Every byte is a token, so no text is unknown."""
    tokenizer = train_tokenizer(TEXTS, SIZE)
    text = "Grüße, 世界! \n\t{}"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_training_is_repeatable() -> None:
    """3. The same texts give the same file."""
    assert train_tokenizer(TEXTS, SIZE).to_str() == train_tokenizer(TEXTS, SIZE).to_str()


def test_too_few_texts_are_refused() -> None:
    """4. The vocabulary must have the size of the network's."""
    with pytest.raises(ValueError, match="instead of 5000"):
        train_tokenizer(TEXTS, 5000)


def test_only_learned_tokens_have_labels() -> None:
    """5. The labels are the tokens of the answer and its end, at their positions."""
    tokenizer = train_tokenizer(TEXTS, SIZE)
    ids, labels = encode(tokenizer, chat_segments([Turn("user", "What?")], "This."))
    learned = [label for label in labels if label != IGNORED]
    assert len(ids) == len(labels)
    assert ids[-len(learned) :] == learned
    assert tokenizer.decode(learned, skip_special_tokens=False) == "This.<|end|>"
