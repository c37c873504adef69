"""The results of a search: a model, or the error with the searched places."""

from __future__ import annotations

from pathlib import Path

from entrypoint.errors import (
    IncompleteModel,
    ModelNotFound,
    Problem,
    ProblemKind,
    RevisionNotFound,
    SearchedPlace,
)
from entrypoint.store.disk.cache import Snapshot
from entrypoint.store.search.search import Search
from tests.support.models import COMMIT, FALCON, a_request, write_snapshot

MISSING = Problem(ProblemKind.MISSING, "missing")


def not_found(search: Search) -> ModelNotFound:
    error = search.failure()
    assert isinstance(error, ModelNotFound)
    return error


def test_the_model_has_each_place_that_was_searched(tmp_path: Path) -> None:
    search = Search(a_request(tmp_path))
    search.add("cache", "/mnt/models", "is empty")
    model = search.found("tarball", "/a.tar", Snapshot(Path("/m"), FALCON, COMMIT, 7), ", unpacked")
    assert model.searched == (
        SearchedPlace("cache", "/mnt/models", "is empty"),
        SearchedPlace("tarball", "/a.tar", "found, unpacked"),
    )
    assert (model.repository, model.revision, model.bytes) == (FALCON, COMMIT, 7)


def test_a_revision_does_not_apply_to_a_plain_directory(tmp_path: Path) -> None:
    search = Search(a_request(tmp_path, revision="1"))
    model = search.found("directory", "/m", Snapshot(Path("/m"), None, None, 7))
    assert model.searched[-1].outcome == "found; REVISION '1' does not apply to it"
    assert model.requested_revision == "1"


def test_the_error_lists_the_searched_places_and_available_models(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path, "tiiuae/Falcon-7B-instruct").parents[1]
    search = Search(a_request(tmp_path, tmp_path, revision="v1"))
    search.available["tiiuae/Falcon-7B-instruct"] = folder
    search.add("cache", tmp_path, "holds 1 other model")
    error = not_found(search)
    assert str(tmp_path) in error.message
    assert error.nearest == "tiiuae/Falcon-7B-instruct"
    assert error.available == {"tiiuae/Falcon-7B-instruct": ("main", COMMIT)}
    assert error.hint == (
        "Set MODEL_ID=tiiuae/Falcon-7B-instruct. Or download it on a machine with network access: "
        f"inference-server download {FALCON} --revision v1 --cache-dir {tmp_path}. "
        "Or set HF_HUB_OFFLINE=0 to download it here."
    )


def test_without_a_similar_name_the_hint_starts_with_the_download(tmp_path: Path) -> None:
    error = not_found(Search(a_request(tmp_path)))
    assert error.nearest is None
    assert (error.hint or "").startswith(
        f"Download it on a machine with network access: inference-server download {FALCON}."
    )


def test_the_first_error_is_the_result(tmp_path: Path) -> None:
    search = Search(a_request(tmp_path))
    wrong_revision = RevisionNotFound(FALCON, None, MISSING, hint="Leave it empty.")
    search.add_error("cache", "/a", wrong_revision)
    search.add_error("cache", "/b", IncompleteModel(Path("/b"), {"config.json": MISSING}))
    error = not_found(search)
    assert isinstance(error, RevisionNotFound)
    assert error.variable == "REVISION"
    assert error.hint == "Leave it empty."
    assert [attempt.place for attempt in error.searched] == ["/a", "/b"]
    assert [attempt.outcome for attempt in error.searched] == [
        "has the model, but no default revision",
        "incomplete: config.json",
    ]


def test_an_incomplete_model_is_the_result_as_it_is(tmp_path: Path) -> None:
    search = Search(a_request(tmp_path))
    failure = IncompleteModel(Path("/b"), {"config.json": MISSING})
    search.add_error("cache", "/b", failure)
    assert search.failure() is failure
