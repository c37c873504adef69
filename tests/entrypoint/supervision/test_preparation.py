"""The thread that prepares a launch, and what it reports."""

import asyncio
import threading

import pytest

from entrypoint.errors import ModelNotFound
from entrypoint.planning.listen import Listen
from entrypoint.planning.plan import LaunchPlan
from entrypoint.shared.handover import Phase
from entrypoint.status.timeline import Timeline
from entrypoint.store.progress import Progress
from entrypoint.supervision import preparation
from entrypoint.supervision.preparation import Preparation, Prepare, Reporter
from tests.support.samples import a_plan

PLAN = a_plan(Listen("h", 1))


class Run:
    """A preparation, run to its end, and its reports."""

    def __init__(self, prepare: Prepare):
        self.timeline = Timeline(started=0.0)
        self.phases: list[tuple[Phase, int]] = []
        self.plans: list[LaunchPlan] = []
        self.plan = asyncio.run(self._run(prepare))

    async def _run(self, prepare: Prepare) -> LaunchPlan:
        reporter = Reporter(
            self.timeline, lambda *entered: self.phases.append(entered), self.plans.append
        )
        return await asyncio.wait_for(Preparation(prepare).run(reporter), 30)


def test_its_reports_arrive_before_its_plan() -> None:
    def prepare(reporter: Reporter) -> LaunchPlan:
        reporter.planned(PLAN)
        reporter.enter(Phase.UNPACK)
        reporter.on_progress(Progress(30, 100))
        reporter.enter(Phase.VERIFY)
        return PLAN

    run = Run(prepare)
    assert run.plan is PLAN
    assert run.plans == [PLAN]
    assert run.phases == [(Phase.UNPACK, 0), (Phase.VERIFY, 30)]
    assert (run.timeline.bytes_done, run.timeline.bytes_total) == (30, 100)


def test_its_error_is_raised() -> None:
    def prepare(reporter: Reporter) -> LaunchPlan:
        raise ModelNotFound("a/b", (), {}, None)

    with pytest.raises(ModelNotFound):
        Run(prepare)


def test_the_log_states_the_bytes_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(preparation, "LOG_SECONDS", 0)
    caplog.set_level("INFO")

    def prepare(reporter: Reporter) -> LaunchPlan:
        reporter.on_progress(Progress(3 << 20, 100 << 20))
        return PLAN

    Run(prepare)
    assert "resolve: 3.0 MiB of 100.0 MiB" in caplog.messages


async def abandoned(release: threading.Event) -> Preparation:
    """Return a preparation whose launch has ended while the thread still runs."""

    def prepare(reporter: Reporter) -> LaunchPlan:
        release.wait(30)
        return PLAN

    unfinished = Preparation(prepare)
    reporter = Reporter(Timeline(started=0.0), lambda *entered: None, lambda plan: None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(unfinished.run(reporter), 0.05)
    return unfinished


def test_an_abandoned_preparation_runs_until_its_thread_ends() -> None:
    release = threading.Event()
    unfinished = asyncio.run(abandoned(release))
    assert unfinished.is_running()
    release.set()
    while unfinished.is_running():
        pass


def test_a_preparation_that_was_not_started_does_not_run() -> None:
    assert not Preparation(lambda reporter: PLAN).is_running()
