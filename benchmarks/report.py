"""The output of the benchmarks: progress, spreads, and comparisons of rates."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence


def print_progress(line: str) -> None:
    """Print a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the median, the minimum and the maximum."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"median {middle:.{digits}f} (min {low:.{digits}f}, max {high:.{digits}f})"


def rates_table(title: str, rounds: Sequence[Mapping[str, float]]) -> str:
    """Return the rate of each side, and its ratio to the first side in the same round.

    Args:
        title: What was measured, and its unit.
        rounds: The rates of each round, by the name of the side.
    """
    names = list(rounds[0])
    width = max(map(len, names))
    lines = [f"{title}:"]
    for name in names:
        ratio = statistics.median(rates[name] / rates[names[0]] for rates in rounds)
        rate = spread([rates[name] for rates in rounds], 1)
        lines.append(f"  {name:<{width}} {rate}, ratio {ratio:.2f}")
    return "\n".join(lines)
