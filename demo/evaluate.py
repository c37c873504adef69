"""Count the questions that the demo model answers correctly, word for word.

    python -m demo.evaluate

A greedy answer is correct exactly if every token of the expected answer, including its end, is the
most likely one after the tokens before it. So one pass over question and answer decides. Its
margin shows how close the answer is to a wrong one.
"""

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from demo import files
from demo.artifact import read_snapshot
from demo.augment import SYSTEM_PROMPTS, augmented, off_topic
from demo.chat import (
    END,
    SPECIAL_TOKENS,
    Segment,
    Turn,
    chat_segments,
    is_plain_question,
    plain_segments,
)
from demo.questions import FALLBACK, QUESTIONS_PATH, WHICH_DEFAULT, Questions, load, normalized
from demo.tokenizer import IGNORED, encode

END_ID = SPECIAL_TOKENS.index(END)

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}

_DRAWN = 300
"""Number of questions in each random set."""
_DRAW_SEED = 1_000_003
"""Differs from the seeds of training, so that the variants differ."""

Dialogue = list[Segment]


@dataclass(frozen=True)
class Result:
    """The result of a set of dialogues."""

    right: int
    total: int
    margin: float
    """The smallest lead, in logits, of a token over the next best one in the correct answers."""
    wrong: tuple[str, ...]
    """The prompts of the wrong answers."""


def question_sets(questions: Questions) -> Mapping[str, list[Dialogue]]:
    """Return the dialogues to evaluate, by the name of their set."""
    rng = random.Random(_DRAW_SEED)
    never = {normalized(question) for question, _ in questions.held_out()}
    trained = list(questions.trained())
    fallback = questions.topics[FALLBACK].answer
    return {
        "training questions": [_chat(question, answer) for question, answer in trained],
        "held-out questions": [
            _chat(question, answer) for question, answer in questions.held_out()
        ],
        "with a system message": [
            chat_segments(
                [Turn("system", rng.choice(SYSTEM_PROMPTS)), Turn("user", question)], answer
            )
            for question, answer in trained
        ],
        "without a chat template": [
            plain_segments(question, answer)
            for question, answer in trained
            if is_plain_question(question)
        ],
        "follow-up questions": list(_follow_ups(questions)),
        "varied questions": [
            _chat(augmented(rng, question, never), answer)
            for question, answer in rng.choices(trained, k=_DRAWN)
        ],
        "off-topic questions": [_chat(off_topic(rng, questions), fallback) for _ in range(_DRAWN)],
    }


def _chat(question: str, answer: str) -> Dialogue:
    return chat_segments([Turn("user", question)], answer)


def _follow_ups(questions: Questions) -> Iterator[Dialogue]:
    for topic, default in questions.follow_ups():
        for question in questions.topics[WHICH_DEFAULT].questions:
            turns = [
                Turn("user", topic.questions[0]),
                Turn("assistant", topic.answer),
                Turn("user", question),
            ]
            yield chat_segments(turns, default.answer)


def answer_margin(model: LlamaForCausalLM, tokenizer: Tokenizer, dialogue: Dialogue) -> float:
    """Return the smallest lead, in logits, of an expected token over the best other one.

    It is negative or zero exactly if the greedy answer differs.
    """
    ids, labels = encode(tokenizer, dialogue)
    targets = torch.tensor(labels[1:])
    learned = targets != IGNORED
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1][learned].float()
    expected = targets[learned].unsqueeze(1)
    leads = logits.gather(1, expected).squeeze(1)
    others = logits.scatter(1, expected, -torch.inf).max(dim=1).values
    return float((leads - others).min())


def evaluate(
    model: LlamaForCausalLM, tokenizer: Tokenizer, dialogues: Sequence[Dialogue]
) -> Result:
    """Return the result of a set of dialogues."""
    margins = [answer_margin(model, tokenizer, dialogue) for dialogue in dialogues]
    right = [margin for margin in margins if margin > 0]
    wrong = [
        dialogue[0].text for dialogue, margin in zip(dialogues, margins, strict=True) if margin <= 0
    ]
    return Result(len(right), len(dialogues), min(right, default=0.0), tuple(wrong))


def load_model(snapshot: Path, dtype: torch.dtype) -> tuple[LlamaForCausalLM, Tokenizer]:
    """Load the model and its tokenizer from a snapshot folder."""
    model = LlamaForCausalLM.from_pretrained(snapshot, dtype=dtype)
    model.train(mode=False)
    return model, Tokenizer.from_file(str(snapshot / files.TOKENIZER_FILE))


def greedy_answer(
    model: LlamaForCausalLM, tokenizer: Tokenizer, prompt: str, limit: int = 100
) -> str:
    """Return the model's greedy answer to ``prompt``, at most ``limit`` tokens."""
    prompt_ids: list[int] = tokenizer.encode(prompt, add_special_tokens=False).ids
    ids = list(prompt_ids)
    while len(ids) < len(prompt_ids) + limit:
        with torch.inference_mode():
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token == END_ID:
            break
        ids.append(token)
    return str(tokenizer.decode(ids[len(prompt_ids) :]))


def parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    commands = argparse.ArgumentParser(
        prog="python -m demo.evaluate",
        description="Count the questions that the demo model answers correctly, word for word.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    commands.add_argument("--cache", type=Path, default=files.CACHE, help="the model's cache")
    commands.add_argument(
        "--questions", type=Path, default=QUESTIONS_PATH, help="the questions file"
    )
    commands.add_argument(
        "--dtype", choices=[*DTYPES, "both"], default="both", help="data type to compute in"
    )
    commands.add_argument("--threads", type=int, default=2, help="CPU threads")
    commands.add_argument("--show-wrong", action="store_true", help="print the wrong answers")
    return commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if an answer to a training question is wrong, else 0."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    snapshot = read_snapshot(options.cache, files.REPOSITORY)
    sets = question_sets(load(options.questions))
    all_trained_right = True
    for name in DTYPES if options.dtype == "both" else [options.dtype]:
        model, tokenizer = load_model(snapshot, DTYPES[name])
        for title, dialogues in sets.items():
            result = evaluate(model, tokenizer, dialogues)
            share = f"{result.right}/{result.total}"
            print(f"{name:9} {title:24} {share:>10} right, margin {result.margin:.2f}", flush=True)
            if options.show_wrong:
                for prompt in result.wrong:
                    print(f"    {prompt!r}: {greedy_answer(model, tokenizer, prompt)!r}")
            if title == "training questions" and result.wrong:
                all_trained_right = False
    return 0 if all_trained_right else 1


if __name__ == "__main__":
    raise SystemExit(main())
