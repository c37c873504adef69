"""How long each phase of a launch takes, and how long the rest will.

Times are seconds of a monotonic clock that the caller reads; nothing here does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from entrypoint.shared.handover import Phase

RATE_SECONDS = 10.0
"""What a rate is the mean of."""
SAMPLE_SECONDS = 0.5
"""How often the bytes are noted for it: they come by the thousand."""


@dataclass(slots=True)
class Timeline:
    """The phases that a launch has been through.

    Attributes:
        started: When the launch began.
        expected: Seconds that each phase took at the last start of the same model, empty at the
            first.
        entered: When each phase was entered, in order.
        bytes_done: Bytes of the model that have been unpacked or downloaded.
        bytes_total: Bytes of the model, 0 until they are known.
    """

    started: float
    expected: Mapping[Phase, float] = field(default_factory=dict)
    entered: dict[Phase, float] = field(default_factory=dict)
    bytes_done: int = 0
    bytes_total: int = 0
    _passed: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.entered.setdefault(Phase.RESOLVE, self.started)

    @property
    def phase(self) -> Phase:
        """The phase that the launch is in."""
        return next(reversed(self.entered))

    def enter(self, phase: Phase, now: float) -> bool:
        """Enter a phase, unless it is past; return whether it is new.

        Several of the engine's processes report the same phases, each at its own pace: the first
        report counts.
        """
        if phase.rank <= self.phase.rank:
            return False
        self.entered[phase] = now
        self._passed.clear()
        return True

    def pass_bytes(self, done: int, total: int, now: float) -> None:
        """Note how many bytes of the model are there, of how many."""
        self.bytes_done, self.bytes_total = done, total
        while self._passed and now - self._passed[0][0] > RATE_SECONDS:
            self._passed.popleft()
        if not self._passed or now - self._passed[-1][0] >= SAMPLE_SECONDS:
            self._passed.append((now, done))

    def bytes_per_second(self, now: float) -> float | None:
        """Return how fast the bytes come, None in a phase in which none do."""
        passed = list(self._passed)  # another thread adds to it
        recent = [(then, done) for then, done in passed if now - then <= RATE_SECONDS]
        if not passed or (recent and now <= recent[0][0]):
            return None
        if not recent:
            return 0.0
        since, before = recent[0]
        return max(0.0, (self.bytes_done - before) / (now - since))

    def seconds(self, now: float) -> dict[Phase, float]:
        """Return the seconds spent in each phase so far."""
        ends = [*list(self.entered.values())[1:], now]
        return {
            phase: end - begin
            for (phase, begin), end in zip(self.entered.items(), ends, strict=True)
        }

    def remaining(self, now: float) -> float | None:
        """Return the seconds until ready by the last start's measure, None without one.

        Of a phase in which bytes pass, how fast they do tells the rest.
        """
        if not self.expected or self.phase.rank >= Phase.READY.rank:
            return None
        ahead = sum(s for phase, s in self.expected.items() if phase.rank > self.phase.rank)
        rate = self.bytes_per_second(now)
        if rate:
            here = (self.bytes_total - self.bytes_done) / rate
        else:
            here = self.expected.get(self.phase, 0.0) - self.seconds(now)[self.phase]
        return ahead + max(0.0, here)

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return the document that ``/v1/status`` shows."""
        seconds = self.seconds(now)
        remaining = self.remaining(now)
        rate = self.bytes_per_second(now)
        return {
            "phase": self.phase.value,
            "seconds_in_phase": round(seconds[self.phase], 3),
            "seconds": round(now - self.started, 3),
            "phases": {phase.value: round(s, 3) for phase, s in seconds.items()},
            "bytes": {
                "done": self.bytes_done,
                "total": self.bytes_total,
                "per_second": None if rate is None else round(rate),
            },
            "remaining_seconds": None if remaining is None else round(remaining, 1),
        }
