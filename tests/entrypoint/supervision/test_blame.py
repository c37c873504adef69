"""A failed start names the setting that it follows from."""

import pytest

from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.errors import EngineFailed
from entrypoint.options.catalogue import load_catalogue
from entrypoint.planning.option import PlannedOption
from entrypoint.supervision.blame import ADVICE, OPTIONS, name_setting


def failed(kind: str) -> EngineFailed:
    return EngineFailed(
        "The engine failed.", kind=kind, exit_code=65, hint="Advice.", excerpt=("x",)
    )


@pytest.mark.parametrize(
    ("kind", "option", "named"),
    [
        (
            "tokenizer-unusable",
            PlannedOption("--tokenizer", "/tok", "variable", "TOKENIZER"),
            "TOKENIZER=/tok",
        ),
        (
            "tokenizer-unusable",
            PlannedOption("--tokenizer", "/tok", "ARG", "ARG"),
            "--tokenizer /tok in ARG",
        ),
        (
            "chat-template-missing",
            PlannedOption("--chat-template", "/t", "config", "ARG", None, "/f.yaml"),
            "--chat-template /t (--config /f.yaml)",
        ),
        (
            "adapter-unusable",
            PlannedOption("--lora-modules", "a=/a", "ARG", "ARG"),
            "--lora-modules a=/a in ARG",
        ),
        (
            "config-unusable",
            PlannedOption("--hf-overrides.rope_theta", "1", "ARG", "ARG"),
            "--hf-overrides.rope_theta 1 in ARG",
        ),
    ],
)
def test_the_users_setting_is_named(kind: str, option: PlannedOption, named: str) -> None:
    other = PlannedOption("--port", "8000", "default", None)
    error = name_setting(failed(kind), (other, option))
    assert (error.hint or "").startswith(f"The likely cause is {named}. ")
    assert (error.hint or "").endswith(ADVICE.get(kind, "Advice."))
    assert error.variable == option.variable
    assert (error.code, error.exit_code, error.excerpt) == (kind, 65, ("x",))
    assert error.message == "The engine failed."


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("tokenizer-unusable", PlannedOption("--tokenizer-mode", "hf", "ARG", "ARG")),
        ("out-of-memory", PlannedOption("--tokenizer", "/tok", "ARG", "ARG")),
        ("weights-mismatch", PlannedOption("--load-format", "tarball", "default", None)),
    ],
)
def test_any_other_failure_is_unchanged(kind: str, option: PlannedOption) -> None:
    error = failed(kind)
    assert name_setting(error, (option,)) is error


def test_every_kind_and_option_exists() -> None:
    assert OPTIONS.keys() <= {failure.kind for failure in FAILURES}
    names = {name for options in OPTIONS.values() for name in options}
    assert names <= load_catalogue().by_spelling.keys()
    assert ADVICE.keys() <= OPTIONS.keys()
