"""The health that each phase of a launch implies."""

from entrypoint.shared.handover import Phase
from entrypoint.shared.health import HealthState


def test_a_launch_starts_then_is_healthy_then_stops() -> None:
    states = [HealthState.in_phase(phase) for phase in Phase]
    assert set(states[:-2]) == {HealthState.STARTING}
    assert states[-2:] == [HealthState.HEALTHY, HealthState.STOPPING]
