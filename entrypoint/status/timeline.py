"""How long each phase of a launch has taken, and how long the start will still take.

Times are seconds of a monotonic clock, which the caller reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from entrypoint.shared.handover import Phase

RATE_SECONDS = 10.0
"""The period that a rate is averaged over."""
SAMPLE_SECONDS = 0.5
"""How often the bytes are sampled for it."""


@dataclass(slots=True)
class Timeline:
    """The phases that a launch has entered.

    Attributes:
        started: When the launch started.
        expected: Seconds that each phase took at the last start of the same model; empty at the
            first start.
        entered: When each phase was entered, in order.
        bytes_done: Bytes of the model that the phase has downloaded, unpacked or hashed.
        bytes_total: Bytes of the model, 0 until they are known.
    """

    started: float
    expected: Mapping[Phase, float] = field(default_factory=dict)
    entered: dict[Phase, float] = field(default_factory=dict)
    bytes_done: int = 0
    bytes_total: int = 0
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.entered.setdefault(Phase.RESOLVE, self.started)

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return next(reversed(self.entered))

    def enter(self, phase: Phase, now: float) -> bool:
        """Enter a phase, unless it is past; return whether it is new.

        Several of the engine's processes report the same phases. The first report counts.
        """
        if phase.rank <= self.phase.rank:
            return False
        self.entered[phase] = now
        self._samples.clear()
        return True

    def set_bytes(self, done: int, total: int, now: float) -> None:
        """Record how many bytes of the model are done, and the total."""
        self.bytes_done, self.bytes_total = done, total
        while self._samples and now - self._samples[0][0] > RATE_SECONDS:
            self._samples.popleft()
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, done))

    def bytes_per_second(self, now: float) -> float | None:
        """Return the current rate, None in a phase without bytes."""
        samples = list(self._samples)  # another thread appends to it
        recent = [(then, done) for then, done in samples if now - then <= RATE_SECONDS]
        if not samples or (recent and now <= recent[0][0]):
            return None
        if not recent:
            return 0.0
        since, before = recent[0]
        return max(0.0, (self.bytes_done - before) / (now - since))

    def seconds(self, now: float) -> dict[Phase, float]:
        """Return the seconds spent in each phase so far."""
        ends = [*list(self.entered.values())[1:], now]
        return {
            phase: end - start
            for (phase, start), end in zip(self.entered.items(), ends, strict=True)
        }

    def remaining(self, now: float) -> float | None:
        """Return the seconds until ready, estimated from the last start; None without one.

        The estimate of a phase with bytes is based on their current rate.
        """
        if not self.expected or self.phase.rank >= Phase.READY.rank:
            return None
        later = sum(s for phase, s in self.expected.items() if phase.rank > self.phase.rank)
        rate = self.bytes_per_second(now)
        if rate:
            current = (self.bytes_total - self.bytes_done) / rate
        else:
            current = self.expected.get(self.phase, 0.0) - self.seconds(now)[self.phase]
        return later + max(0.0, current)

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return the phases, bytes and estimate as ``/v1/status`` shows them."""
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
