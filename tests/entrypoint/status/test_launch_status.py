"""The status of a launch: its document, its log, and the estimate of the next launch."""

from pathlib import Path

import pytest

from entrypoint.planning.listen import Listen
from entrypoint.shared.handover import Phase
from entrypoint.status import launch_status
from entrypoint.status.launch_status import LaunchStatus
from tests.support.samples import a_plan

PLAN = a_plan(Listen("h", 1))


class Clock:
    """A monotonic clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(launch_status, "time", clock)
    return clock


def test_a_launch_without_a_plan_shows_no_model(tmp_path: Path) -> None:
    document = LaunchStatus(tmp_path).document()
    assert document["phase"] == "resolve"
    assert document["model"] is None
    assert document["served_model_names"] == []


def test_a_planned_launch_shows_the_model_without_paths(tmp_path: Path, clock: Clock) -> None:
    status = LaunchStatus(tmp_path)
    status.expect(PLAN)
    status.enter(Phase.IMPORT)
    clock.now += 2
    document = status.document()
    assert document["seconds_in_phase"] == 2.0
    assert document["model"] == {
        "repository": None,
        "revision": None,
        "source": "directory",
        "bytes": 1000,
    }
    assert document["served_model_names"] == ["m"]


def test_a_past_phase_is_neither_entered_nor_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    status = LaunchStatus(tmp_path)
    assert status.enter(Phase.WEIGHTS)
    assert not status.enter(Phase.IMPORT)
    assert caplog.messages == ["phase weights"]


def test_the_log_states_the_rate_of_a_finished_transfer(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    status = LaunchStatus(tmp_path)
    status.enter(Phase.UNPACK)
    clock.now += 4
    status.enter(Phase.VERIFY, processed=8 << 20)
    assert caplog.messages[1] == "phase unpack took 4.0 s: 8.0 MiB, 2.0 MiB/s"


def test_a_ready_launch_logs_its_phases_and_gives_the_next_one_an_estimate(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = LaunchStatus(tmp_path)
    first.expect(PLAN)
    clock.now += 1
    first.enter(Phase.IMPORT)
    clock.now += 20
    first.enter(Phase.READY)
    assert caplog.messages[-1] == "ready after 21.0 s: resolve 1.0 s, import 20.0 s"
    second = LaunchStatus(tmp_path)
    second.expect(PLAN)
    clock.now += 1
    second.enter(Phase.IMPORT)
    clock.now += 5
    assert second.document()["remaining_seconds"] == 15.0
