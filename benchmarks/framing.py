"""Sends mixed and ambiguous HTTP framing to the gate's protocol, and looks for misread requests.

Run as ``python -m benchmarks.framing --cases 10000``. Each case is a connection to a real server:
requests of random framing, offers to upgrade, and the cases of ``tests/support/framing.py``, one
behind the other, in pieces. Every second connection splits the bodies at each byte. A connection is
desynchronized if the application sees a request that the client did not send, or another body.
The exit code is 1 if one is.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.report import print_progress
from tests.support.framing import (
    CASES,
    CHUNKED,
    HIDDEN,
    MARKER,
    OFFERS,
    Case,
    Exchanged,
    Request,
    fault,
    head,
    served,
    wire,
)

AT_ONCE = 200
"""Connections between two lines of progress."""
REFUSED_SHARE = 0.4
"""Share of the connections that contain a case of the table, most of which are refused."""


@dataclass
class Report:
    """What was found.

    Attributes:
        connections: Number of connections.
        pieces: Number of pieces that their bytes arrived in.
        requests: Requests that the application saw completely.
        ends: How often each connection ended in which status.
        faults: Descriptions of the desynchronized connections.
    """

    connections: int = 0
    pieces: int = 0
    requests: int = 0
    ends: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, cases: list[Case], cuts: list[int], exchanged: Exchanged) -> None:
        """Add a connection."""
        self.connections += 1
        self.pieces += len(cuts) + 1
        self.requests += sum(body is not None for _, _, body in exchanged.seen)
        self.ends[exchanged.statuses[-1] if exchanged.statuses else 0] += 1
        if wrong := fault(cases, exchanged):
            names = ", ".join(case.name for case in cases)
            self.faults.append(f"{names}; cuts {cuts[:20]}: {wrong}")

    def text(self) -> str:
        """Return the report as text."""
        ends = ", ".join(f"{status}: {count}" for status, count in sorted(self.ends.items()))
        lines = [
            f"{self.connections} connections in {self.pieces} pieces, {self.requests} complete "
            "requests seen",
            f"last status of the connections: {ends}",
            *(f"fault: {wrong}" for wrong in self.faults[:20]),
            f"{len(self.faults)} desynchronized",
        ]
        return "\n".join(lines)


def random_body(rng: random.Random) -> bytes:
    """Return a body that resembles requests, chunks, or line ends."""
    parts = [HIDDEN, b"\r\n", b"\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"\0", rng.randbytes(20)]
    return b"".join(rng.choices(parts, k=rng.randint(0, 4)))


def in_random_chunks(rng: random.Random, body: bytes) -> bytes:
    """Return a chunked body."""
    framed = b""
    while body:
        size = rng.randint(1, len(body))
        digits = b"0" * rng.randint(0, 3) + rng.choice([b"%x", b"%X"]) % size
        extension = rng.choice([b"", b"", b";a", b";a=b", b';a="b;c"'])
        framed += digits + extension + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    trailer = rng.choice([b"", b"", b"X: y\r\n", b"Host: other\r\n"])
    return framed + b"0\r\n" + trailer + b"\r\n"


def random_request(rng: random.Random) -> Case:
    """Return a valid request of random framing."""
    method = rng.choice(["POST", "POST", "PUT", "GET", "DELETE", "PATCH", "OPTIONS"])
    target = rng.choice(["/e", "/?a=b", "//", "/%20"])
    body = random_body(rng)
    fields = [b"X-%d: y\r\n" % number for number in range(rng.randint(0, 3))]
    if rng.random() < 0.6:
        # only a handshake on a GET without a body is accepted
        offers = [offer for name, offer in OFFERS.items() if name != "a valid websocket"]
        fields.append(rng.choice(offers))
    framed = b""
    if rng.random() < 0.5:
        fields.append(CHUNKED)
        framed = in_random_chunks(rng, body)
    elif body or rng.random() < 0.5:
        fields.append(b"Content-Length: %d\r\n" % len(body))
        framed = body
    if rng.random() < 0.1:
        fields.append(b"Expect: 100-continue\r\n")
    rng.shuffle(fields)
    shown = rng.choice([target, f"http://other{target}"])
    line = f"{method} {shown} HTTP/1.1".encode()
    seen: Request = (method, target, body)
    return served(f"{method} {target}", head(b"".join(fields), line) + framed, seen)


def random_cases(rng: random.Random) -> list[Case]:
    """Return what a client sends on one connection."""
    cases = [random_request(rng) for _ in range(rng.randint(1, 3))]
    if rng.random() < REFUSED_SHARE:
        cases.insert(rng.randint(0, len(cases)), rng.choice(CASES))
    return cases


def random_cuts(rng: random.Random, cases: list[Case]) -> list[int]:
    """Return where to split what the client sends: at each byte of the bodies, or anywhere."""
    size = sum(len(case.data) for case in cases) + len(MARKER)
    if rng.random() < 0.5:
        return sorted(rng.sample(range(1, size), rng.randint(0, 6)))
    cuts: list[int] = []
    start = 0
    for case in cases:
        body = case.data.find(b"\r\n\r\n") + 2
        cuts += range(max(1, start + body), start + len(case.data) + 1)
        start += len(case.data)
    return cuts


def run(cases: int, seed: int, on_progress: Callable[[str], None]) -> Report:
    """Send the connections to a server.

    Args:
        cases: Number of connections.
        seed: Seed of the random choices.
        on_progress: Called with a line of progress.
    """
    rng = random.Random(seed)
    report = Report()
    with wire() as connections:
        while report.connections < cases:
            batch = []
            for _ in range(min(AT_ONCE, cases - report.connections)):
                made = random_cases(rng)
                batch.append((made, random_cuts(rng, made)))
            results = connections.run(
                [(b"".join(case.data for case in made) + MARKER, cuts) for made, cuts in batch]
            )
            for (made, cuts), exchanged in zip(batch, results, strict=True):
                report.add(made, cuts, exchanged)
            on_progress(
                f"{report.connections} of {cases} connections, {len(report.faults)} desynchronized"
            )
    return report


def main() -> None:
    """Run the benchmark, and print the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.framing", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="number of connections")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random choices")
    arguments = parser.parse_args()
    begin = time.monotonic()
    report = run(arguments.cases, arguments.seed, print_progress)
    print(f"{report.text()}, in {time.monotonic() - begin:.0f} s")
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
