"""The messages between the entrypoint and the engine's processes."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from entrypoint.shared.handover import (
    DRAINED,
    EVENTS,
    RUN_DIRECTORY_VARIABLE,
    STATUS,
    Phase,
    StartRequest,
    read_status,
    report_drained,
    report_phase,
    stopping_seconds,
)


def test_a_start_request_arrives_as_it_was_sent() -> None:
    request = StartRequest(["/m", "--chat-template", "{{ 'ü' }}\n"], 7, 1, 27.0)
    assert StartRequest.load(request.dump()) == request
    assert StartRequest.load(StartRequest([], None, 1, 0.0).dump()) == StartRequest(
        [], None, 1, 0.0
    )


def test_phases_are_ordered_in_time() -> None:
    assert Phase.RESOLVE.rank < Phase.UNPACK.rank < Phase.IMPORT.rank < Phase.READY.rank


@pytest.mark.parametrize(("phase", "seconds"), [("ready", 0), ("stopping", 7)])
def test_stopping_seconds_count_from_the_start_of_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, seconds: int
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    status = {"phase": phase, "seconds": 9.0, "seconds_in_phase": 2.0, "phases": {}}
    (tmp_path / STATUS).write_text(json.dumps({**status, "as_of": time.monotonic() - 5}))
    assert round(stopping_seconds()) == seconds


class TestReport:
    def test_a_phase_arrives_as_its_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(tmp_path / EVENTS))
            events.settimeout(5)
            report_phase(Phase.WEIGHTS)
            assert events.recv(64) == b"weights"

    def test_drained_arrives(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(tmp_path / EVENTS))
            events.settimeout(5)
            report_drained()
            assert events.recv(64) == DRAINED.encode()

    def test_ready_returns_once_the_entrypoint_has_stopped_accepting(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        status = {"as_of": time.monotonic(), "seconds": 1.0, "seconds_in_phase": 1.0, "phases": {}}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(tmp_path / EVENTS))
            events.settimeout(5)
            reporting = threading.Thread(target=report_phase, args=[Phase.READY])
            reporting.start()
            assert events.recv(64) == b"ready"
            assert reporting.is_alive()
            (tmp_path / "new").write_text(json.dumps({**status, "phase": "ready"}))
            (tmp_path / "new").replace(tmp_path / STATUS)
            reporting.join(30)
            assert not reporting.is_alive()

    def test_a_report_outside_a_launch_does_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(RUN_DIRECTORY_VARIABLE, raising=False)
        report_phase(Phase.WEIGHTS)
        report_drained()
        assert stopping_seconds() == 0

    def test_a_report_without_a_receiver_does_not_fail(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        report_phase(Phase.WEIGHTS)


class TestStatus:
    def test_there_is_no_status_outside_a_launch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(RUN_DIRECTORY_VARIABLE, raising=False)
        assert read_status() is None

    def test_there_is_no_status_without_a_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
        assert read_status() is None

    def test_seconds_advance_after_the_file_was_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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
