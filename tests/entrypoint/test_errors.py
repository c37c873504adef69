"""The words of the errors, and that programs get the same."""

from pathlib import Path

import pytest

from entrypoint.errors import (
    EngineFailed,
    HubError,
    IncompleteModel,
    InferenceServerError,
    MachineError,
    ModelNotFound,
    Problem,
    ProblemKind,
    RefusedArtifact,
    SearchedPlace,
    SettingError,
    StorageError,
    UnknownOption,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, 64),
        (IncompleteModel, 65),
        (RefusedArtifact, 65),
        (ModelNotFound, 66),
        (HubError, 69),
        (EngineFailed, 70),
        (MachineError, 71),
        (StorageError, 74),
        (SettingError, 78),
        (UnknownOption, 78),
    ],
)
def test_exit_codes(error: type[InferenceServerError], code: int) -> None:
    assert error.exit_code == code


def test_for_programs() -> None:
    error = SettingError("PORT='x' is wrong.", variable="PORT", hint="Use a number.")
    assert error.as_dict() == {
        "code": "setting",
        "message": "PORT='x' is wrong.",
        "variable": "PORT",
        "hint": "Use a number.",
    }


def test_many_problems_are_counted_and_sampled() -> None:
    missing = Problem(ProblemKind.MISSING, "missing")
    error = IncompleteModel(Path("/m"), {f"model-{i:05}.safetensors": missing for i in range(30)})
    assert "30 files" in error.message
    assert "model-00000.safetensors (missing)" in error.message
    assert "and 22 more" in error.message
    assert len(error.problems) == 30


def test_a_miss_says_where_and_what_is_there() -> None:
    error = ModelNotFound(
        "a/B",
        [SearchedPlace("cache", "/mnt/models", "holds another model")],
        {"a/b": ["main"]},
        "a/b",
    )
    for part in ("'a/B'", "'a/b'", "/mnt/models: holds another model", "a/b (main)"):
        assert part in error.message


def test_an_unknown_option() -> None:
    error = UnknownOption("--max-modellen", "--max-model-len", "0.32.0")
    assert "--max-modellen" in error.message
    assert "Did you mean --max-model-len?" in error.message
    assert error.variable == "ARG"
