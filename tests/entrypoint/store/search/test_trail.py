"""What a search tells when it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import (
    Attempt,
    IncompleteModel,
    ModelNotFound,
    Problem,
    ProblemKind,
    RevisionNotFound,
)
from entrypoint.store.disk.cache import Snapshot
from entrypoint.store.search.trail import Trail
from tests.support.models import COMMIT, FALCON, a_request, write_snapshot

MISSING = Problem(ProblemKind.MISSING, "missing")


def give_up(trail: Trail) -> ModelNotFound:
    with pytest.raises(ModelNotFound) as caught:
        trail.give_up()
    return caught.value


def test_what_is_found_comes_with_each_way_that_was_tried(tmp_path: Path) -> None:
    trail = Trail(a_request(tmp_path))
    trail.tried("cache", "/mnt/models", "is empty")
    model = trail.found("tarball", "/a.tar", Snapshot(Path("/m"), FALCON, COMMIT, 7), ", unpacked")
    assert model.searched == (
        Attempt("cache", "/mnt/models", "is empty"),
        Attempt("tarball", "/a.tar", "found, unpacked"),
    )
    assert (model.repository, model.revision, model.bytes) == (FALCON, COMMIT, 7)


def test_a_revision_that_a_plain_directory_cannot_have_is_said_so(tmp_path: Path) -> None:
    trail = Trail(a_request(tmp_path, revision="1"))
    model = trail.found("directory", "/m", Snapshot(Path("/m"), None, None, 7))
    assert model.searched[-1].outcome == "found; REVISION '1' does not apply to it"
    assert model.requested_revision == "1"


def test_the_error_says_where_it_was_searched_and_what_is_there(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path, "tiiuae/Falcon-7B-instruct").parents[1]
    trail = Trail(a_request(tmp_path, tmp_path, revision="v1"))
    trail.available["tiiuae/Falcon-7B-instruct"] = folder
    trail.tried("cache", tmp_path, "holds 1 other model")
    error = give_up(trail)
    assert str(tmp_path) in error.message
    assert error.nearest == "tiiuae/Falcon-7B-instruct"
    assert error.available == {"tiiuae/Falcon-7B-instruct": ("main", COMMIT)}
    assert error.hint == (
        "Set MODEL_ID=tiiuae/Falcon-7B-instruct. Or download it where there is internet: "
        f"inference-server download {FALCON} --revision v1 --cache-dir {tmp_path}. "
        "Or set HF_HUB_OFFLINE=0 to have it downloaded here."
    )


def test_without_a_near_name_the_hint_begins_with_the_download(tmp_path: Path) -> None:
    error = give_up(Trail(a_request(tmp_path)))
    assert error.nearest is None
    assert (error.hint or "").startswith(
        f"Download it where there is internet: inference-server download {FALCON}."
    )


def test_the_first_failure_is_the_error(tmp_path: Path) -> None:
    trail = Trail(a_request(tmp_path))
    wrong_revision = RevisionNotFound(FALCON, MISSING, hint="Leave it empty.")
    trail.failed("cache", "/a", wrong_revision)
    trail.failed("cache", "/b", IncompleteModel(Path("/b"), {"config.json": MISSING}))
    error = give_up(trail)
    assert isinstance(error, RevisionNotFound)
    assert error.variable == "REVISION"
    assert error.hint == "Leave it empty."
    assert [attempt.place for attempt in error.searched] == ["/a", "/b"]
    assert [attempt.outcome for attempt in error.searched] == [
        "has the model, without the revision to choose",
        "not whole: config.json",
    ]


def test_an_incomplete_model_is_raised_as_it_is(tmp_path: Path) -> None:
    trail = Trail(a_request(tmp_path))
    failure = IncompleteModel(Path("/b"), {"config.json": MISSING})
    trail.failed("cache", "/b", failure)
    with pytest.raises(IncompleteModel) as caught:
        trail.give_up()
    assert caught.value is failure
