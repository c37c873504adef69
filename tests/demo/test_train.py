"""The training script: its small functions, and one very short run."""

from pathlib import Path

import pytest

from demo import files, train
from demo.artifact import read_snapshot
from demo.questions import load

TINY = files.Shape(layers=1, feed_forward=128)


def test_learning_rate_rises_and_falls() -> None:
    """1. From almost zero to the maximum, and down again."""
    recipe = train.Recipe(steps=100, warm_up=10)
    rates = [train.learning_rate_at(step, recipe) for step in range(100)]
    assert max(rates) == pytest.approx(recipe.learning_rate)
    assert rates.index(max(rates)) in {9, 10}
    assert rates[0] < rates[5] < rates[9]
    assert rates[99] < recipe.learning_rate / 20


def test_tokenizer_does_not_see_held_out_questions() -> None:
    """2. They are for evaluation only."""
    questions = load()
    texts = {text.casefold() for text in train.tokenizer_texts(questions)}
    assert texts.isdisjoint(question.casefold() for question, _ in questions.held_out())


def test_padding_is_on_the_right_and_has_no_labels() -> None:
    """3. Shorter dialogues are padded."""
    ids, labels = train.padded([([5, 6, 7], [-100, 6, 7]), ([8], [8])])
    assert ids.tolist() == [[5, 6, 7], [8, train.PAD_ID, train.PAD_ID]]
    assert labels.tolist() == [[-100, 6, 7], [8, -100, -100]]


def test_a_short_run_writes_the_same_artifact_twice(tmp_path: Path) -> None:
    """4. Two steps with one seed write all files, and both runs give the same commit."""
    recipe = train.Recipe(steps=2, dialogues=4)
    questions = load()
    first = train.train(questions, recipe, tmp_path / "a", TINY)
    second = train.train(questions, recipe, tmp_path / "b", TINY)
    assert first.name == second.name
    assert read_snapshot(tmp_path / "a", files.REPOSITORY, "v1") == first
    assert {path.name for path in first.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert files.questions_sha256_of((first / "README.md").read_text()) == questions.sha256


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    """5. --help works without training anything."""
    with pytest.raises(SystemExit) as stop:
        train.main(["--help"])
    assert stop.value.code == 0
    assert "--seed" in capsys.readouterr().out
