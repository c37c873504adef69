"""The document of /v1/status."""

from entrypoint.planning.listen import Listen
from entrypoint.shared.handover import Phase
from entrypoint.status.document import status_document
from entrypoint.status.timeline import Timeline
from tests.support.samples import a_plan


def test_before_the_plan() -> None:
    document = status_document(Timeline(started=1.0), None, 2.0)
    assert document["phase"] == "resolve"
    assert document["model"] is None
    assert document["served_model_names"] == []


def test_with_the_plan() -> None:
    timeline = Timeline(started=1.0)
    timeline.enter(Phase.IMPORT, 2.0)
    document = status_document(timeline, a_plan(Listen("h", 1)), 4.0)
    assert document["seconds_in_phase"] == 2.0
    assert document["model"] == {
        "repository": None,
        "revision": None,
        "source": "directory",
        "bytes": 1000,
    }
    assert document["served_model_names"] == ["m"]
