"""What happens to a running launch, once it is in the fault's phase."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Callable

from tests.faults.trial import Trial

Act = Callable[[Trial], None]


def sends(*numbers: signal.Signals) -> Act:
    """The command receives signals, the second one once it has logged that it stops."""

    def act(trial: Trial) -> None:
        for count, number in enumerate(numbers):
            if count:
                while "stopping" not in trial.output():
                    trial.wait_a_little("the stop")
            trial.send(number)

    return act


def kills(role: str, number: signal.Signals = signal.SIGKILL) -> Act:
    """One of the engine's processes is killed."""

    def act(trial: Trial) -> None:
        os.kill(trial.pid(role), number)

    return act


def kills_the_entrypoint(trial: Trial) -> None:
    """The command is killed once all of the engine's processes run, and cannot end them."""
    for role in ("main", "core", "worker"):
        trial.pid(role)
    trial.send(signal.SIGKILL)


def stops(role: str) -> Act:
    """One of the engine's processes is stopped, as by a debugger or a frozen cgroup."""
    return kills(role, signal.SIGSTOP)


def kills_while_it_stops(role: str) -> Act:
    """After SIGTERM, one of the engine's processes is killed while it drains."""

    def act(trial: Trial) -> None:
        sends(signal.SIGTERM)(trial)
        while "stopping" not in trial.output():
            trial.wait_a_little("the stop")
        kills(role)(trial)

    return act


def sets_the_clock(trial: Trial) -> None:
    """The time of day jumps a year ahead; then the launch serves and stops."""
    (trial.stage.place / "clock").touch()
    serves(trial)


def serves(trial: Trial) -> None:
    """Nothing: it serves, and stops after SIGTERM."""
    trial.wait_for_phase("ready")
    trial.send(signal.SIGTERM)


def asks_often(trial: Trial) -> None:
    """Clients send requests while it loads."""
    for _ in range(50):
        with urllib.request.urlopen(f"http://127.0.0.1:{trial.stage.port}/health/live") as answer:
            assert answer.status == 200
    serves(trial)
