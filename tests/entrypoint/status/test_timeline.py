"""The order, seconds, bytes and estimate of the phases."""

from entrypoint.shared.handover import Phase
from entrypoint.status.timeline import Timeline


def test_a_launch_starts_with_resolving() -> None:
    assert Timeline(started=10.0).phase is Phase.RESOLVE


def test_each_phase_has_its_seconds() -> None:
    timeline = Timeline(started=10.0)
    assert timeline.enter(Phase.IMPORT, 11.0)
    assert timeline.enter(Phase.WEIGHTS, 31.0)
    assert timeline.seconds(33.5) == {Phase.RESOLVE: 1.0, Phase.IMPORT: 20.0, Phase.WEIGHTS: 2.5}


def test_a_phase_that_is_past_is_not_entered_again() -> None:
    """Two ranks report: the slower one's earlier phase changes nothing."""
    timeline = Timeline(started=0.0)
    timeline.enter(Phase.COMPILE, 5.0)
    assert not timeline.enter(Phase.WEIGHTS, 6.0)
    assert not timeline.enter(Phase.COMPILE, 6.0)
    assert timeline.phase is Phase.COMPILE
    assert timeline.entered[Phase.COMPILE] == 5.0


EXPECTED = {Phase.RESOLVE: 1.0, Phase.IMPORT: 20.0, Phase.WEIGHTS: 4.0, Phase.COMPILE: 10.0}


class TestEstimate:
    def test_a_first_start_has_no_estimate(self) -> None:
        assert Timeline(started=0.0).remaining(1.0) is None

    def test_it_is_the_rest_of_this_phase_and_the_later_ones(self) -> None:
        timeline = Timeline(started=0.0, expected=EXPECTED)
        timeline.enter(Phase.IMPORT, 1.0)
        assert timeline.remaining(6.0) == 15.0 + 4.0 + 10.0

    def test_a_phase_that_takes_longer_is_expected_to_end_now(self) -> None:
        timeline = Timeline(started=0.0, expected=EXPECTED)
        timeline.enter(Phase.IMPORT, 1.0)
        assert timeline.remaining(100.0) == 4.0 + 10.0

    def test_a_phase_with_bytes_is_estimated_by_their_rate(self) -> None:
        timeline = Timeline(started=0.0, expected={**EXPECTED, Phase.DOWNLOAD: 300.0})
        timeline.enter(Phase.DOWNLOAD, 1.0)
        timeline.set_bytes(0, 1000, 1.0)
        timeline.set_bytes(100, 1000, 2.0)
        assert timeline.remaining(2.0) == 9.0 + 20.0 + 4.0 + 10.0

    def test_a_ready_launch_has_no_estimate(self) -> None:
        timeline = Timeline(started=0.0, expected=EXPECTED)
        timeline.enter(Phase.READY, 40.0)
        assert timeline.remaining(41.0) is None


class TestRate:
    def test_a_phase_without_bytes_has_no_rate(self) -> None:
        timeline = Timeline(started=0.0)
        assert timeline.bytes_per_second(1.0) is None
        timeline.set_bytes(10, 100, 1.0)
        assert timeline.bytes_per_second(1.0) is None

    def test_it_is_the_mean_of_the_last_seconds(self) -> None:
        timeline = Timeline(started=0.0)
        for second in range(30):
            timeline.set_bytes(
                100 * second if second < 15 else 1500 + 10 * (second - 15), 1, second
            )
        assert timeline.bytes_per_second(29.0) == 10.0

    def test_it_falls_while_no_bytes_come(self) -> None:
        timeline = Timeline(started=0.0)
        timeline.set_bytes(0, 100, 1.0)
        timeline.set_bytes(50, 100, 2.0)
        assert timeline.bytes_per_second(2.0) == 50.0
        assert timeline.bytes_per_second(6.0) == 10.0
        assert timeline.bytes_per_second(100.0) == 0.0

    def test_a_new_phase_starts_from_zero(self) -> None:
        timeline = Timeline(started=0.0)
        timeline.set_bytes(0, 100, 1.0)
        timeline.set_bytes(50, 100, 2.0)
        timeline.enter(Phase.VERIFY, 3.0)
        assert timeline.bytes_per_second(4.0) is None


def test_the_document_has_every_key_of_the_status() -> None:
    timeline = Timeline(started=100.0, bytes_done=5, bytes_total=10)
    timeline.enter(Phase.UNPACK, 101.0)
    assert timeline.as_dict(103.0) == {
        "phase": "unpack",
        "seconds_in_phase": 2.0,
        "seconds": 3.0,
        "phases": {"resolve": 1.0, "unpack": 2.0},
        "bytes": {"done": 5, "total": 10, "per_second": None},
        "remaining_seconds": None,
    }
