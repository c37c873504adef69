"""Train the demo model from scratch and write it in the layout of the Hugging Face cache.

    python -m demo.train

The same seed and steps give the same model on the same machine.
"""

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from demo import files
from demo.artifact import folder_name, total_bytes, write_repository
from demo.chat import PAD, SPECIAL_TOKENS
from demo.dialogues import Sampler, sampler
from demo.questions import QUESTIONS_PATH, Questions, load
from demo.tokenizer import IGNORED, encode, train_tokenizer

PAD_ID = SPECIAL_TOKENS.index(PAD)

_POOLED = 4
"""Number of batches to draw together and sort by length."""


@dataclass(frozen=True)
class Recipe:
    """The parameters of the training."""

    steps: int = 1500
    seed: int = 0
    dialogues: int = 64
    """Dialogues per step."""
    learning_rate: float = 1.5e-3
    """The maximum, after ``warm_up`` steps. Afterwards the rate falls to a fiftieth of it."""
    warm_up: int = 60
    weight_decay: float = 0.05
    threads: int = 2
    report_every: int = 50
    """Steps between progress lines."""


def learning_rate_at(step: int, recipe: Recipe) -> float:
    """Return the learning rate of ``step``, counted from 0: a linear rise, then half a cosine."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    progress = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return recipe.learning_rate * (0.02 + 0.98 * cosine)


def tokenizer_texts(questions: Questions) -> list[str]:
    """Return the texts that the tokenizer learns from, unchanged and in lower case.

    Excludes held-out questions.
    """
    texts = [topic.answer for topic in questions.topics.values()]
    texts += [question for question, _ in questions.trained()]
    texts += questions.off_topic_patterns
    return texts + [text.lower() for text in texts]


def padded(encoded: Sequence[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the token ids and labels of dialogues, each of shape (dialogues, longest).

    Padding is on the right, where a causal model ignores it, so no mask is needed.
    """
    longest = max(len(ids) for ids, _ in encoded)
    ids = torch.full((len(encoded), longest), PAD_ID)
    labels = torch.full((len(encoded), longest), IGNORED)
    for row, (row_ids, row_labels) in enumerate(encoded):
        ids[row, : len(row_ids)] = torch.tensor(row_ids)
        labels[row, : len(row_labels)] = torch.tensor(row_labels)
    return ids, labels


def batches(
    tokenizer: Tokenizer, draw: Sampler, size: int, rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches of ``size`` new dialogues without end, as ``padded`` makes them.

    Dialogues of similar length share a batch, which halves the padding.
    """
    while True:
        pool = sorted(
            (encode(tokenizer, draw()) for _ in range(_POOLED * size)),
            key=lambda pair: len(pair[0]),
        )
        starts = list(range(0, len(pool), size))
        rng.shuffle(starts)
        for start in starts:
            yield padded(pool[start : start + size])


def answer_loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy, in nats per token, of the labeled tokens of a batch."""
    hidden = model.model(input_ids=ids).last_hidden_state
    targets = labels[:, 1:]
    learned = targets != IGNORED
    # only learned tokens need scores over the vocabulary, about a third for short prompts
    scores = model.lm_head(hidden[:, :-1][learned])
    return functional.cross_entropy(scores, targets[learned])


def fit(model: LlamaForCausalLM, tokenizer: Tokenizer, draw: Sampler, recipe: Recipe) -> None:
    """Train ``model`` in place and print its progress.

    The weights are float32 and most of the arithmetic is bfloat16. That is faster, and the model
    tolerates the rounding of a server with bfloat16.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    model.train()
    started = time.monotonic()
    recent = 0.0
    stream = batches(tokenizer, draw, recipe.dialogues, random.Random(recipe.seed))
    for step, (ids, labels) in zip(range(recipe.steps), stream, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, recipe)
        with torch.autocast("cpu", torch.bfloat16):
            loss = answer_loss(model, ids, labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent += loss.item()
        if (step + 1) % recipe.report_every == 0:
            print(
                f"step {step + 1}/{recipe.steps}  loss {recent / recipe.report_every:.4f}"
                f"  {time.monotonic() - started:.0f} s",
                flush=True,
            )
            recent = 0.0
    model.train(mode=False)


def weights(model: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    """Return the tensors to save, in bfloat16; the tied output layer is the embedding."""
    return {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }


def snapshot_files(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    shape: files.Shape,
    questions: Questions,
    recipe: Recipe,
) -> Mapping[str, bytes]:
    """Return the content of every file of the model, by name."""
    tensors = weights(model)
    card = files.model_card(
        shape,
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        questions_sha256=questions.sha256,
        seed=recipe.seed,
        steps=recipe.steps,
    )
    return {
        "README.md": card.encode("utf-8"),
        "config.json": files.as_json(files.config(shape)),
        "generation_config.json": files.as_json(files.generation_config()),
        files.WEIGHTS_FILE: save(tensors, metadata={"format": "pt"}),
        "special_tokens_map.json": files.as_json(files.special_tokens_map()),
        files.TOKENIZER_FILE: tokenizer.to_str(pretty=False).encode("utf-8"),
        "tokenizer_config.json": files.as_json(files.tokenizer_config(shape)),
    }


def train(questions: Questions, recipe: Recipe, cache: Path, shape: files.Shape) -> Path:
    """Train a model and write it into ``cache``; return its snapshot folder."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    tokenizer = train_tokenizer(tokenizer_texts(questions), shape.vocabulary)
    config = LlamaConfig.from_dict(files.config(shape))
    # the configuration has the type of the saved weights, but training needs float32
    config.dtype = torch.float32
    build: Callable[[LlamaConfig], LlamaForCausalLM] = LlamaForCausalLM
    model = build(config)
    print(f"{model.num_parameters():,} parameters, {recipe.steps} steps", flush=True)
    fit(model, tokenizer, sampler(questions, random.Random(recipe.seed)), recipe)
    content = snapshot_files(model, tokenizer, shape, questions, recipe)
    return write_repository(cache, files.REPOSITORY, content, files.REFS)


def parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    defaults = Recipe()
    commands = argparse.ArgumentParser(
        prog="python -m demo.train",
        description="Train the demo model from scratch and write it as a Hugging Face cache.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    commands.add_argument("--steps", type=int, default=defaults.steps, help="training steps")
    commands.add_argument(
        "--seed", type=int, default=defaults.seed, help="seed of all random choices"
    )
    commands.add_argument("--threads", type=int, default=defaults.threads, help="CPU threads")
    commands.add_argument(
        "--questions", type=Path, default=QUESTIONS_PATH, help="the questions file"
    )
    commands.add_argument("--cache", type=Path, default=files.CACHE, help="where to write")
    return commands


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = parser().parse_args(arguments)
    recipe = Recipe(steps=options.steps, seed=options.seed, threads=options.threads)
    started = time.monotonic()
    snapshot = train(load(options.questions), recipe, options.cache, files.Shape())
    size = total_bytes(options.cache / folder_name(files.REPOSITORY))
    print(f"{snapshot}: {size / 1e6:.2f} MB, {time.monotonic() - started:.0f} s")
    print("Next: python -m demo.evaluate")


if __name__ == "__main__":
    main()
