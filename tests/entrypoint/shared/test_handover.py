"""What the two halves say to each other."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from entrypoint.shared.handover import (
    ANSWERED,
    EVENTS,
    RUN_DIRECTORY_VARIABLE,
    STATUS,
    Orders,
    Phase,
    read_status,
    report,
    report_answered,
    stopping_seconds,
)


def test_orders_survive_the_way() -> None:
    orders = Orders(["/m", "--chat-template", "{{ 'ü' }}\n"], 7, 1, 27.0)
    assert Orders.load(orders.dump()) == orders
    assert Orders.load(Orders([], None, 1, 0.0).dump()) == Orders([], None, 1, 0.0)


def test_phases_are_in_the_order_of_time() -> None:
    assert Phase.RESOLVE.rank < Phase.UNPACK.rank < Phase.IMPORT.rank < Phase.READY.rank


@pytest.mark.parametrize(("phase", "seconds"), [("ready", 0), ("stopping", 7)])
def test_how_long_it_has_been_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, seconds: int
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    status = {"phase": phase, "seconds": 9.0, "seconds_in_phase": 2.0, "phases": {}}
    (tmp_path / STATUS).write_text(json.dumps({**status, "as_of": time.monotonic() - 5}))
    assert round(stopping_seconds()) == seconds


class TestReport:
    def test_it_arrives(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(tmp_path / EVENTS))
            events.settimeout(5)
            report(Phase.WEIGHTS)
            assert events.recv(64) == b"weights"

    def test_the_end_of_the_answers_does_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(tmp_path / EVENTS))
            events.settimeout(5)
            report_answered()
            assert events.recv(64) == ANSWERED.encode()

    def test_ready_waits_until_the_other_side_accepts_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        status = {"as_of": time.monotonic(), "seconds": 1.0, "seconds_in_phase": 1.0, "phases": {}}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(tmp_path / EVENTS))
            events.settimeout(5)
            reporting = threading.Thread(target=report, args=[Phase.READY])
            reporting.start()
            assert events.recv(64) == b"ready"
            assert reporting.is_alive()
            (tmp_path / "new").write_text(json.dumps({**status, "phase": "ready"}))
            (tmp_path / "new").replace(tmp_path / STATUS)
            reporting.join(30)
            assert not reporting.is_alive()

    def test_outside_a_launch_nothing_happens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(RUN_DIRECTORY_VARIABLE, raising=False)
        report(Phase.WEIGHTS)
        report_answered()
        assert stopping_seconds() == 0

    def test_nobody_listens(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        report(Phase.WEIGHTS)


class TestStatus:
    def test_none_outside_a_launch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(RUN_DIRECTORY_VARIABLE, raising=False)
        assert read_status() is None

    def test_none_without_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        assert read_status() is None

    def test_seconds_move_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        written = {
            "phase": "ready",
            "seconds": 50.0,
            "seconds_in_phase": 0.0,
            "phases": {"resolve": 50.0, "ready": 0.0},
            "as_of": time.monotonic() - 100.0,
        }
        (tmp_path / STATUS).write_text(json.dumps(written))
        status = read_status()
        assert status is not None
        assert 150.0 <= status["seconds"] < 160.0
        assert 100.0 <= status["seconds_in_phase"] < 110.0
        assert status["phases"] == {"resolve": 50.0, "ready": status["seconds_in_phase"]}
