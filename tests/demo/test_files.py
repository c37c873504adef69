"""The small files of the model."""

import json

import pytest

from demo import files
from demo.chat import CHAT_TEMPLATE, SPECIAL_TOKENS

SHAPE = files.Shape()


def test_shape_can_be_split_over_two_accelerators() -> None:
    """1. Heads of 64, two key/value heads, and every split size is even."""
    assert SHAPE.width == SHAPE.heads * SHAPE.head_size
    assert (SHAPE.heads, SHAPE.kv_heads, SHAPE.head_size) == (4, 2, 64)
    assert SHAPE.vocabulary % 128 == 0
    assert SHAPE.feed_forward % 128 == 0


def test_config_follows_the_shape() -> None:
    """2. Another shape gives another config.json."""
    config = files.config(files.Shape(layers=7))
    assert config["num_hidden_layers"] == 7
    assert config["architectures"] == ["LlamaForCausalLM"]


def test_generation_is_greedy_by_default() -> None:
    """3. For transformers and for vLLM."""
    config = files.generation_config()
    assert (config["do_sample"], config["temperature"]) == (False, 0.0)


def test_token_ids_are_those_of_the_tokenizer() -> None:
    """4. The IDs in the configurations are positions in the list of special tokens."""
    assert SPECIAL_TOKENS[files.config(SHAPE)["eos_token_id"]] == "<|end|>"
    assert SPECIAL_TOKENS[files.generation_config()["pad_token_id"]] == "<|pad|>"


def test_chat_template_is_inside_the_tokenizer_config() -> None:
    """5. So that no further file is needed."""
    assert files.tokenizer_config(SHAPE)["chat_template"] == CHAT_TEMPLATE


def test_json_is_stable() -> None:
    """6. Keys are sorted: the same document has the same digest."""
    assert files.as_json({"b": 1, "a": 2}) == files.as_json({"a": 2, "b": 1})
    assert json.loads(files.as_json({"a": None})) == {"a": None}


def test_card_records_the_questions() -> None:
    """7. The digest in the card can be read."""
    card = files.model_card(SHAPE, parameters=5, questions_sha256="abc", seed=0, steps=1)
    assert files.questions_sha256_of(card) == "abc"


def test_a_card_without_a_record_is_refused() -> None:
    """8. A card without a digest cannot match the questions."""
    with pytest.raises(ValueError, match="questions_sha256"):
        files.questions_sha256_of("# A model\n")
