"""Why the hub gave no model: each refusal becomes its error, with a fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import HubError, ModelNotFound, RevisionNotFound, SearchedPlace, StorageError
from entrypoint.store.hub.refusal import NOT_FOUND, Refusal, explain
from entrypoint.store.transfer_process.messages import DownloadJob, Failure

JOB = DownloadJob("org/name", "v1", None, Path("/cache"), endpoint="http://user:word@mirror")


@pytest.mark.parametrize("kind", Refusal)
def test_each_refusal_is_an_error_with_its_detail_and_a_fix(kind: Refusal) -> None:
    error = explain(Failure(kind, "the detail", ("bin",)), JOB)
    assert "org/name" in error.message or kind in (Refusal.TOKEN, Refusal.UNREACHABLE)
    assert error.hint
    assert "word" not in error.message
    if kind in NOT_FOUND:
        assert error.exit_code == 66
    elif kind in (Refusal.STORAGE, Refusal.NO_SPACE):
        assert type(error) is StorageError
    else:
        assert type(error) is HubError
    shown = {Refusal.REPOSITORY, Refusal.REVISION, Refusal.FORMAT, Refusal.GATED}
    assert ("the detail" in error.message) == (kind not in shown)


@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        (Refusal.REPOSITORY, "MODEL_ID"),
        (Refusal.REVISION, "REVISION"),
        (Refusal.FORMAT, None),
        (Refusal.NO_MATCH, None),
        (Refusal.NO_SPACE, "HF_HUB_CACHE"),
        (Refusal.GATED, "HF_TOKEN"),
        (Refusal.TOKEN, "HF_TOKEN"),
        (Refusal.RATE_LIMIT, "HF_TOKEN"),
        (Refusal.DAMAGED, "HF_ENDPOINT"),
        (Refusal.NOT_A_HUB, "HF_ENDPOINT"),
        (Refusal.UNREACHABLE, "HF_HUB_OFFLINE"),
        (Refusal.CRASHED, "MODEL_ID"),
    ],
)
def test_each_refusal_names_the_variable_to_change(kind: Refusal, variable: str | None) -> None:
    assert explain(Failure(kind, "x"), JOB).variable == variable


def test_the_endpoint_is_named_if_it_is_set() -> None:
    error = explain(Failure(Refusal.UNREACHABLE, "refused"), JOB)
    assert error.message == "The hub did not answer (HF_ENDPOINT=http://mirror): refused."
    default = DownloadJob("org/name", None, None, Path("/cache"))
    error = explain(Failure(Refusal.UNREACHABLE, "refused"), default)
    assert error.message == "The hub did not answer: refused."


def test_a_missing_revision_is_its_own_error() -> None:
    error = explain(Failure(Refusal.REVISION, "x"), JOB)
    assert type(error) is RevisionNotFound
    assert "'v1'" in error.message


def test_a_missing_format_names_the_available_ones() -> None:
    error = explain(Failure(Refusal.FORMAT, "bin, gguf", ("bin", "gguf")), JOB)
    assert "it has bin, gguf" in error.message
    assert error.hint == "Choose another format: --format bin"
    error = explain(Failure(Refusal.FORMAT, ""), JOB)
    assert "it has no weights" in error.message


def test_the_hubs_attempt_shows_the_outcome() -> None:
    searched = (
        SearchedPlace("cache", "/cache", "not in it"),
        SearchedPlace("hub", "the hub", "to try"),
    )
    error = explain(Failure(Refusal.REPOSITORY, "HTTP 404"), JOB, searched)
    assert isinstance(error, ModelNotFound)
    assert [attempt.outcome for attempt in error.searched] == ["not in it", "repository: HTTP 404"]


@pytest.mark.parametrize(("token", "words"), [("hf_a", "with this token"), (None, "without a")])
def test_a_gated_model_mentions_the_token_only_if_there_is_one(
    token: str | None, words: str
) -> None:
    job = DownloadJob("org/name", None, token, Path("/cache"))
    message = explain(Failure(Refusal.GATED, "HTTP 403"), job).message
    assert words in message
    assert "hf_a" not in message
