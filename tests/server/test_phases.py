"""The phases that vLLM's log lines tell."""

import logging
import re
from pathlib import Path

import pytest
import vllm

from entrypoint.shared.handover import Phase
from server import phases
from server.phases import LOG_LINES, phase_of


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("Starting to load model %s...", Phase.WEIGHTS),
        ("Warming up model for the compilation...", Phase.COMPILE),
        ("%sInitial profiling/warmup run took %.2f s", Phase.WARM_UP),
        ("Anything else", None),
    ],
)
def test_a_log_line_means_a_phase(line: str, phase: Phase | None) -> None:
    assert phase_of(line) is phase


def test_vllm_still_logs_these_lines() -> None:
    sources = Path(vllm.__file__).parent
    text = "".join(
        (sources / name).read_text()
        for name in (
            "v1/worker/cpu_model_runner.py",
            "v1/worker/gpu_model_runner.py",
            "compilation/backends.py",
            "compilation/monitor.py",
        )
    )
    missing = [line for line in LOG_LINES if not re.search(f'"{re.escape(line)}', text)]
    assert missing == []


def test_watching_twice_reports_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Phase] = []
    monkeypatch.setattr(phases, "report_phase", reported.append)
    # vLLM loads plugins where its application is built, as another test does
    monkeypatch.setattr(phases, "_watching", False)
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    try:
        phases.watch()
        phases.watch()
        # what a logger does, whatever levels another test has left behind
        for name in ("vllm.some.module", "another.module"):
            make = logging.getLogRecordFactory()
            make(name, logging.INFO, "", 1, "Starting to load model %s...", ("m",), None)
    finally:
        logging.setLogRecordFactory(factory)
    assert reported == [Phase.WEIGHTS]
