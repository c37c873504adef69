"""A launch from outside, while the real engine loads and when it serves."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.support.launch import (
    DEMO,
    DEMO_CACHE,
    KEY,
    Launch,
    descendants,
    environment,
)
from tests.support.processes import running

ENTRYPOINT_BYTES = 80 * 10**6


def peak_bytes(pid: int) -> int:
    """Return the peak memory of a process."""
    match = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert match is not None
    return int(match[1]) * 1024


def test_it_answers_while_the_model_loads(home: Path, tmp_path: Path) -> None:
    """1. Start. 2. It is alive, not ready, and names its phase. 3. SIGTERM: all processes end."""
    launch = Launch(
        environment(home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE)), tmp_path / "log"
    )
    try:
        launch.until_listening()
        assert launch.ask("/health/live")[0] == 200
        for path in ("/health", "/health/ready", "/v1/models", "/v1/chat/completions"):
            status, headers, body = launch.ask(path)
            assert status == 503
            assert int(headers["retry-after"]) > 0
            assert json.loads(body)["error"]["phase"] in ("resolve", "import")
        processes = launch.until_the_engine_runs()
        status_document = json.loads(launch.ask("/v1/status")[2])
        assert status_document["model"]["repository"] == DEMO
    finally:
        code = launch.stop()
    assert code == 0, launch.tail()
    assert not [pid for pid in processes if running(pid)]
    assert "stopped as asked" in launch.log.read_text()


@pytest.mark.parametrize("phase", ["import", "compile"])
def test_the_engine_does_not_outlive_the_entrypoint(home: Path, tmp_path: Path, phase: str) -> None:
    """1. The engine loads. 2. The entrypoint is killed by SIGKILL. 3. The engine ends."""
    launch = Launch(
        environment(home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE), SHUTDOWN_TIMEOUT="1"),
        tmp_path / "log",
    )
    launch.until_listening()
    launch.until_the_engine_runs()
    launch.until_phase(phase)
    engine = set(descendants(launch.process.pid)) - {launch.process.pid}
    launch.process.kill()
    launch.process.wait(10)
    deadline = time.monotonic() + 30
    while [pid for pid in engine if running(pid)]:
        assert time.monotonic() < deadline, launch.tail()
        time.sleep(0.05)


class TestServing:
    def test_the_entrypoint_stays_light(self, server: Launch) -> None:
        assert peak_bytes(server.process.pid) < ENTRYPOINT_BYTES

    def test_no_secret_in_the_process_list_or_the_log(self, server: Launch) -> None:
        lines = descendants(server.process.pid)
        assert len(lines) >= 3
        assert not [line for line in lines.values() if KEY in line]
        assert KEY not in server.log.read_text()

    def test_a_variable_that_kubernetes_injected_is_kept_from_the_engine(
        self, server: Launch
    ) -> None:
        assert "The engine does not get VLLM_PORT: Kubernetes sets" in server.log.read_text()
        for pid in descendants(server.process.pid).keys() - {server.process.pid}:
            assert b"VLLM_PORT=" not in Path(f"/proc/{pid}/environ").read_bytes()

    def test_the_options_of_the_configuration_file_hold(self, server: Launch) -> None:
        """The file has ``max_model_len: 2k``, and the model's own length is 2048."""
        (model, *_) = json.loads(server.ask("/v1/models", key=KEY)[2])["data"]
        assert model["max_model_len"] == 2000
        lines = descendants(server.process.pid).values()
        assert not [line for line in lines if "--config" in line]

    def test_the_log_lists_the_phases(self, server: Launch) -> None:
        log = server.log.read_text()
        for phase in ("import", "weights", "compile", "warm-up"):
            assert f"phase {phase}" in log
        assert re.search(r"ready after [\d.]+ s: resolve [\d.]+ s, import", log)
