"""Attacks the served demo model with malformed and hostile requests, and checks that it survives.

Run as ``python -m benchmarks.hostile --requests 100000``. The attacks are requests that
schemathesis generates from the server's OpenAPI document, valid documents with changed parts,
values that strain the engine, huge and deep JSON, broken HTTP, other protocols, and hundreds of
held connections. The exit code is 1 if an answer was a 5xx other than 501 and 505, a complete
request got no answer, a route answered without the key, a valid request between the rounds failed,
a process died, a process grew by 3 % or more after the first tenth (from 20,000 requests on), or
files stayed open.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.hostile.run import KEY, Report, hostile_environment, run
from benchmarks.memory import growth_table
from benchmarks.report import print_progress
from tests.support.launch import Launch


def report_text(report: Report) -> str:
    """Return the report as text with tables."""
    findings = report.findings
    lines = [
        f"cores: {os.cpu_count()}, {findings.sent} hostile requests in {report.seconds:.0f} s, "
        f"{report.good} valid ones answered between the rounds",
        "results (a status, or how the connection ended):",
    ]
    for kind, counts in sorted(findings.counts.items()):
        listed = ", ".join(f"{label} {count}" for label, count in counts.most_common())
        lines.append(f"  {kind}: {listed}")
    ends = ", ".join(f"{end} {count}" for end, count in sorted(report.held.ends.items()))
    lines += [
        f"connections held: {ends}; {report.held.good} valid requests answered meanwhile",
        "",
        "memory held (anonymous and shared), MB:",
        growth_table(report.grown),
        "",
    ]
    for what, (count, example) in sorted(findings.faults.items()):
        lines += [f"fault, {count} times: {what}", f"  {example}"]
    lines.append(f"verdict: {f'{len(findings.faults)} kinds of faults' * bool(findings.faults)}")
    if not findings.faults:
        lines[-1] += "no faults"
    return "\n".join(lines)


def report_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps(
        {
            "seconds": report.seconds,
            "sent": report.findings.sent,
            "good": report.good,
            "counts": report.findings.counts,
            "held": report.held._asdict(),
            "grown": [one._asdict() for one in report.grown],
            "faults": report.findings.faults,
        },
        indent=1,
    )


def main() -> None:
    """Start the server, attack it, and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="number of requests")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choices")
    parser.add_argument("--log", type=Path, help="keep the server's log in this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        launch = Launch(hostile_environment(home), arguments.log or home / "log")
        try:
            print_progress(f"starting; the log is {launch.log}")
            launch.until_ready()
            report = asyncio.run(
                run(launch, KEY, arguments.requests, arguments.seed, print_progress)
            )
        finally:
            code = launch.stop()
    if code != 0:
        report.findings.add_fault("the exit code", str(code))
    print(report_json(report) if arguments.json else report_text(report))
    sys.exit(1 if report.findings.faults else 0)


if __name__ == "__main__":
    main()
