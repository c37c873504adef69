"""The words of the errors, for people and for programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from entrypoint import errors
from entrypoint.errors import (
    FailedVerification,
    IncompleteModel,
    InferenceServerError,
    ModelNotFound,
    Problem,
    ProblemKind,
    RefusedArtifact,
    RevisionNotFound,
    SearchedPlace,
    SettingError,
    SeveralModels,
    StartTimeout,
    UnknownOption,
    UnreadableModel,
)
from entrypoint.shared.handover import Phase

MISSING = Problem(ProblemKind.MISSING, "missing")
TREE_LINE = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: +(?P<code>\d\d))?  ", re.M)


def tree_of(kind: type[InferenceServerError], depth: int = 0) -> Iterator[tuple[str, int, int]]:
    """Yield ``(name, depth, exit code)`` of the subclasses of an error, each before its own."""
    for subclass in kind.__subclasses__():
        yield subclass.__name__, depth + 1, subclass.exit_code
        yield from tree_of(subclass, depth + 1)


def test_the_tree_in_the_documentation_is_that_of_the_classes() -> None:
    assert errors.__doc__ is not None
    documented = []
    codes = {0: 70}
    for line in TREE_LINE.finditer(errors.__doc__):
        depth = len(line["indent"]) // 4
        codes[depth] = int(line["code"]) if line["code"] else codes[depth - 1]
        documented.append((line["name"], depth, codes[depth]))
    assert sorted(documented) == sorted(tree_of(InferenceServerError))


def test_an_error_is_text_for_people_and_an_object_for_programs() -> None:
    error = SettingError("PORT='x' is wrong.", variable="PORT", hint="Use a number.")
    assert error.in_words() == "inference-server: error: PORT='x' is wrong.\n  Use a number."
    assert error.as_dict() == {
        "code": "setting",
        "message": "PORT='x' is wrong.",
        "variable": "PORT",
        "hint": "Use a number.",
    }


def test_many_problems_are_counted_and_the_first_are_listed() -> None:
    error = IncompleteModel(Path("/m"), {f"model-{i:05}.safetensors": MISSING for i in range(30)})
    assert "30 files" in error.message
    assert "model-00000.safetensors (missing)" in error.message
    assert "and 22 more" in error.message
    assert "model-00008" not in error.message
    assert len(error.problems) == 30


def test_programs_get_every_problem_of_a_verification() -> None:
    error = FailedVerification(Path("/m"), {f"{i}.bin": MISSING for i in range(21)})
    assert "with 21 problems:\n  0.bin: missing\n" in error.message
    assert error.message.endswith("\n  and 1 more")
    assert error.as_dict()["problems"] == [
        {"file": f"{i}.bin", "problem": "missing"} for i in range(21)
    ]


class TestNotFound:
    def test_the_message_has_the_searched_places_and_the_available_models(self) -> None:
        places = [SearchedPlace("cache", "/mnt/models", "holds another model")]
        error = ModelNotFound("a/B", places, {"a/b": ["main", "v1"]}, "a/b")
        assert error.message == (
            "The model 'a/B' (MODEL_ID) was not found. Did you mean 'a/b'? Searched:\n"
            "  cache     /mnt/models: holds another model\n"
            "Available models:\n"
            "  a/b (main, v1)"
        )
        assert str(error) == error.message

    def test_the_search_can_be_added_to_the_message_of_any_kind(self) -> None:
        error = RevisionNotFound("a/b", "v2", Problem(ProblemKind.MISSING, "v2 does not exist."))
        assert error.message == "v2 does not exist."
        error.add_search([SearchedPlace("hub", "a/b", "not searched")], {"a/b": ("main",)})
        assert error.message == (
            "v2 does not exist. Searched:\n"
            "  hub       a/b: not searched\n"
            "Available models:\n"
            "  a/b (main)"
        )
        assert (error.code, error.variable) == ("revision-not-found", "REVISION")

    def test_a_directory_of_several_models_says_how_to_choose_one(self) -> None:
        error = SeveralModels(Path("/cache"), ["a/b", "c/d"])
        assert error.message.startswith("MODEL_ID is '/cache', a directory with 2 models.")
        assert error.hint == "Set MODEL_ID to one of them and HF_HUB_CACHE=/cache."
        assert (error.code, error.exit_code) == ("model-not-found", 66)


def test_each_error_about_a_place_has_a_summary() -> None:
    denied = UnreadableModel(Path("/m"), ["a", "b", "c", "d"])
    assert denied.summary == f"permission denied for {denied.user}: a: b: c"
    place = Path("/a.tar")
    assert RefusedArtifact(place, "it ends too early").summary == "it ends too early"
    assert IncompleteModel(place, dict.fromkeys("abcd", MISSING)).summary == "incomplete: a, b, c"
    assert SeveralModels(place, ["a/b", "c/d"]).summary == "holds 2 models"
    for revision, text in (("v1", "not the revision 'v1'"), (None, "no default revision")):
        summary = RevisionNotFound("a/b", revision, MISSING).summary
        assert summary == f"has the model, but {text}"


def test_a_start_timeout_has_the_phase_and_the_last_line() -> None:
    seconds = {Phase.WEIGHTS: 7.0, Phase.WARM_UP: 590.0}
    error = StartTimeout(600, Phase.WARM_UP, seconds, "Capturing CUDA graphs")
    assert error.message == (
        f"Startup exceeded START_TIMEOUT=600 s: it has been in the phase {Phase.WARM_UP} for "
        "590 s. The engine's last line: Capturing CUDA graphs"
    )
    assert "590 s" in (error.hint or "")
    assert "wrote nothing" in StartTimeout(600, Phase.WARM_UP, seconds, None).message


def test_an_unknown_option_suggests_the_most_similar() -> None:
    error = UnknownOption("--max-modellen", "--max-model-len", "0.32.0")
    assert "--max-modellen" in error.message
    assert "Did you mean --max-model-len?" in error.message
    assert error.variable == "ARG"
