"""The small files of the demo model: its configuration, that of its tokenizer, and its card."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.chat import CHAT_TEMPLATE, END, PAD, SPECIAL_TOKENS

REPOSITORY = "inference-server/Demo-Llama"
CACHE = Path(__file__).with_name("cache")
REFS = ("main", "v1")

WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Shape:
    """The sizes of the network.

    Two accelerators can share four query heads and two key/value heads. vLLM's attention supports
    the head size 64 on every accelerator.
    """

    vocabulary: int = 1536
    """Tokens, including the special ones."""
    width: int = 256
    """Floats in the vector of one token; ``heads * head_size``."""
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 64
    feed_forward: int = 512
    """Floats in the middle of a feed-forward block."""
    context: int = 2048
    """Maximum tokens of a prompt and its answer together."""


def config(shape: Shape) -> dict[str, Any]:
    """Return config.json for a Llama of this shape.

    Older and newer versions of transformers can read ``rope_theta`` and ``torch_dtype``.
    """
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": SPECIAL_TOKENS.index(END),
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.feed_forward,
        "max_position_embeddings": shape.context,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pad_token_id": SPECIAL_TOKENS.index(PAD),
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": shape.vocabulary,
    }


def generation_config() -> dict[str, Any]:
    """Return generation_config.json, which makes answers greedy and so predictable.

    vLLM reads the default ``temperature`` of requests from it, transformers ``do_sample``.
    """
    return {
        "do_sample": False,
        "eos_token_id": SPECIAL_TOKENS.index(END),
        "pad_token_id": SPECIAL_TOKENS.index(PAD),
        "temperature": 0.0,
    }


def tokenizer_config(shape: Shape) -> dict[str, Any]:
    """Return tokenizer_config.json, with the chat template inside."""
    return {
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": shape.context,
        "pad_token": PAD,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def special_tokens_map() -> dict[str, Any]:
    """Return special_tokens_map.json."""
    return {"eos_token": END, "pad_token": PAD}


def as_json(document: Mapping[str, Any]) -> bytes:
    """Return ``document`` as the bytes of a JSON file."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode("utf-8")


def model_card(shape: Shape, parameters: int, questions_sha256: str, seed: int, steps: int) -> str:
    """Return README.md. Its front matter records the digest of the trained questions."""
    return f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
questions_sha256: {questions_sha256}
---
# Demo-Llama
A Llama of {parameters:,} parameters ({shape.layers} layers, {shape.heads} heads of \
{shape.head_size}, {shape.kv_heads} key/value heads, {shape.vocabulary} tokens, bfloat16), made to
try the inference server without downloading anything. It answers short questions about that
server, such as "What is this?", and tells you so when it is asked about anything else.

It was trained from scratch by `python -m demo.train --seed {seed} --steps {steps}` on nothing but
the dialogues in `demo/questions.toml`. It knows these answers by heart and nothing about the
world: it is a demonstration and a test fixture, not an assistant.
"""


def questions_sha256_of(card: str) -> str:
    """Return the digest of the questions in a model card; raise ValueError if it has none."""
    for line in card.splitlines():
        if line.startswith("questions_sha256: "):
            return line.removeprefix("questions_sha256: ")
    raise ValueError("the model card records no questions_sha256")
