"""The evaluation, and the answers of the committed model."""

import math

import pytest
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from demo import evaluate, files
from demo.artifact import read_snapshot
from demo.chat import Turn, prompt_text
from demo.questions import load

Loaded = tuple[LlamaForCausalLM, Tokenizer]


@pytest.fixture(scope="module")
def model() -> Loaded:
    return evaluate.load_model(read_snapshot(files.CACHE, files.REPOSITORY), torch.float32)


def test_the_documented_questions_are_answered(model: Loaded) -> None:
    """1. Greedily, word for word."""
    answers = dict(load().trained())
    for question in ("What is this?", "What does NUM_SHARD do?", "Which variable names the model?"):
        prompt = prompt_text([Turn("user", question)])
        assert evaluate.greedy_answer(*model, prompt) == answers[question]


def test_margin_and_greedy_answer_agree(model: Loaded) -> None:
    """2. Only the expected answer has a positive margin."""
    sets = evaluate.question_sets(load())
    asked = sets["training questions"][0]
    other = [asked[0], sets["training questions"][-1][1]]
    assert evaluate.answer_margin(*model, asked) > 0
    assert evaluate.answer_margin(*model, other) < 0


def test_wrong_answers_are_counted_and_named(model: Loaded) -> None:
    """3. One correct and one wrong dialogue."""
    sets = evaluate.question_sets(load())
    asked = sets["training questions"][0]
    other = [asked[0], sets["training questions"][-1][1]]
    result = evaluate.evaluate(*model, [asked, other])
    assert (result.right, result.total, result.wrong) == (1, 2, (asked[0].text,))
    assert math.isfinite(result.margin)


def test_the_follow_ups_ask_every_default() -> None:
    """4. Each topic with a default, with each wording of the question."""
    questions = load()
    ways = len(questions.topics["which-default"].questions)
    dialogues = evaluate.question_sets(questions)["follow-up questions"]
    assert len(dialogues) == ways * len(list(questions.follow_ups()))
