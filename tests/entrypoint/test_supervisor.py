"""One launch from its first second to its exit code, with a scripted engine.

The engine here is a stand-in (scripted_engine.py), for ends that the real one cannot be made to
come to in a test; tests/end_to_end has the real one.
"""

import asyncio
import http.client
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import entrypoint
from entrypoint.errors import EngineFailed, MachineError, ModelNotFound
from entrypoint.handover import Phase
from entrypoint.listener import Listen, open_listener
from entrypoint.plan import LaunchPlan
from entrypoint.supervisor import Progress, Supervisor
from entrypoint.timings import expected_seconds, launch_key
from tests.entrypoint.hardware.samples import tree
from tests.entrypoint.hardware.test_cgroup import ROOT_2, V2
from tests.entrypoint.samples import a_plan
from tests.entrypoint.test_listener import free_port

COMMAND = (sys.executable, "-m", "tests.entrypoint.scripted_engine")


class Launch:
    """A supervisor in this process, and a client that acts on it from a thread."""

    def __init__(
        self,
        script: str,
        scratch: Path,
        client: Callable[["Launch"], None] = lambda launch: None,
        prepare: Callable[[Progress], LaunchPlan] | None = None,
        shutdown_timeout: int = 5,
        root: Path = Path("/"),
    ):
        self.port = free_port()
        self.listen = Listen("127.0.0.1", self.port)
        self.plan = a_plan(self.listen, shutdown_timeout)
        self.scratch = scratch
        self._script = script
        self._root = root
        self._client = client
        self._prepare = prepare or (lambda progress: self.plan)
        self._trouble: list[BaseException] = []

    def run(self) -> int:
        """Run to the end and return the exit code."""
        return asyncio.run(self._run())

    async def _run(self) -> int:
        environ = {**os.environ, "SCRIPT": self._script}
        with open_listener(self.listen) as listener:
            self.supervisor = Supervisor(
                self.listen, listener, self._prepare, environ, self.scratch, COMMAND, self._root
            )
            thread = threading.Thread(target=self._act)
            thread.start()
            try:
                return await asyncio.wait_for(self.supervisor.run(), 60)
            finally:
                await asyncio.to_thread(thread.join)
                if self._trouble:
                    raise self._trouble[0]

    def _act(self) -> None:
        try:
            self._client(self)
        except BaseException as error:
            self._trouble.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def until(self, phase: Phase) -> None:
        """Wait until a phase is reached."""
        deadline = time.monotonic() + 30
        while self.supervisor.timeline.phase.rank < phase.rank:
            assert time.monotonic() < deadline, self.supervisor.timeline
            time.sleep(0.01)

    def until_the_engine_answers(self) -> None:
        deadline = time.monotonic() + 30
        while self.get("/v1/models")[1] != b"engine":
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def terminate(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class TestStop:
    def test_while_loading(self, tmp_path: Path) -> None:
        def client(launch: Launch) -> None:
            launch.until(Phase.WEIGHTS)
            launch.terminate()

        assert Launch("weights hang", tmp_path, client).run() == 0

    def test_while_loading_an_engine_that_ignores_it(self, tmp_path: Path) -> None:
        def client(launch: Launch) -> None:
            launch.until(Phase.WEIGHTS)
            launch.terminate()

        assert Launch("ignore-sigterm weights hang", tmp_path, client).run() == 0

    def test_while_preparing(self, tmp_path: Path) -> None:
        """A stop does not wait for an unpacking to finish."""
        release = threading.Event()

        def prepare(progress: Progress) -> LaunchPlan:
            progress.enter(Phase.UNPACK)
            release.wait(30)
            raise AssertionError

        def client(launch: Launch) -> None:
            launch.until(Phase.UNPACK)
            launch.terminate()

        assert Launch("", tmp_path, client, prepare).run() == 0
        release.set()

    def test_once_ready(self, tmp_path: Path) -> None:
        def client(launch: Launch) -> None:
            launch.until_the_engine_answers()
            launch.terminate()

        assert Launch("serve hang", tmp_path, client).run() == 0

    def test_an_engine_that_does_not_end_by_the_deadline(self, tmp_path: Path) -> None:
        def client(launch: Launch) -> None:
            launch.until_the_engine_answers()
            launch.terminate()

        launch = Launch("ignore-sigterm serve hang", tmp_path, client, shutdown_timeout=0)
        assert launch.run() == 0

    def test_a_second_signal_stops_at_once(self, tmp_path: Path) -> None:
        began: list[float] = []

        def client(launch: Launch) -> None:
            launch.until_the_engine_answers()
            began.append(time.monotonic())
            launch.terminate()
            launch.until(Phase.STOPPING)
            launch.terminate()

        launch = Launch("ignore-sigterm serve hang", tmp_path, client, shutdown_timeout=600)
        assert launch.run() == 0


class TestFate:
    def test_an_exit_code(self, tmp_path: Path) -> None:
        with pytest.raises(EngineFailed, match=r"phase weights, with exit code 3"):
            Launch("weights exit=3", tmp_path).run()

    def test_a_clean_exit_that_nobody_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(EngineFailed, match="exit code 0"):
            Launch("weights exit=0", tmp_path).run()

    def test_a_signal(self, tmp_path: Path) -> None:
        assert Launch("weights kill=9", tmp_path).run() == 128 + signal.SIGKILL

    @pytest.mark.parametrize("end", ["exit=1", "kill=9"])
    def test_memory_that_ran_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, end: str
    ) -> None:
        """Whether the engine itself was killed, or ended because one of its processes was."""
        limit = {f"{ROOT_2}/memory.max": f"{6 << 30}\n", f"{ROOT_2}/memory.events": "oom_kill 0\n"}
        root = tree(tmp_path / "machine", V2, limit)
        events = root / ROOT_2 / "memory.events"
        launch = Launch(f"weights oom={events} {end}", tmp_path, root=root)
        if end == "exit=1":
            with pytest.raises(EngineFailed, match=r"phase weights, .* limit of 6\.0 GiB"):
                launch.run()
        else:
            assert launch.run() == 128 + signal.SIGKILL
            assert "the memory limit of 6.0 GiB was reached" in caplog.text
            assert "resources.limits.memory" in caplog.text

    def test_an_error_while_preparing(self, tmp_path: Path) -> None:
        def prepare(progress: Progress) -> LaunchPlan:
            raise ModelNotFound("a/b", (), {}, None)

        with pytest.raises(ModelNotFound):
            Launch("", tmp_path, prepare=prepare).run()


class TestStatus:
    def test_the_phases_are_seen_from_outside(self, tmp_path: Path) -> None:
        seen: list[dict[str, object]] = []

        def client(launch: Launch) -> None:
            launch.until(Phase.COMPILE)
            seen.append(json.loads(launch.get("/v1/status")[1]))
            launch.terminate()

        Launch("weights compile hang", tmp_path, client).run()
        assert seen[0]["phase"] == "compile"
        assert list(seen[0]["phases"]) == ["resolve", "import", "weights", "compile"]  # type: ignore[call-overload]
        assert seen[0]["bytes"] == {"done": 1000, "total": 1000}
        assert seen[0]["served_model_names"] == ["m"]

    def test_bytes_while_preparing(self, tmp_path: Path) -> None:
        seen: list[dict[str, object]] = []
        done = threading.Event()

        def prepare(progress: Progress) -> LaunchPlan:
            progress.bytes(30, 100)
            progress.enter(Phase.UNPACK)
            done.wait(30)
            raise AssertionError

        def client(launch: Launch) -> None:
            launch.until(Phase.UNPACK)
            seen.append(json.loads(launch.get("/v1/status")[1]))
            launch.terminate()

        Launch("", tmp_path, client, prepare).run()
        done.set()
        assert seen[0]["bytes"] == {"done": 30, "total": 100}

    def test_the_log_tells_how_far_it_is(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr("entrypoint.supervisor.PROGRESS_SECONDS", 0)
        caplog.set_level("INFO")

        def prepare(progress: Progress) -> LaunchPlan:
            progress.bytes(3 << 20, 100 << 20)
            raise ModelNotFound("a/b", (), {}, None)

        with pytest.raises(ModelNotFound):
            Launch("", tmp_path, prepare=prepare).run()
        assert "resolve: 3.0 MiB of 100.0 MiB" in caplog.messages

    def test_the_next_launch_has_an_estimate(self, tmp_path: Path) -> None:
        def client(launch: Launch) -> None:
            launch.until_the_engine_answers()
            launch.terminate()

        launch = Launch("weights serve hang", tmp_path, client)
        launch.run()
        expected = expected_seconds(tmp_path, launch_key(launch.plan))
        assert list(expected) == [Phase.RESOLVE, Phase.IMPORT, Phase.WEIGHTS]
        estimates: list[object] = []

        def second(launch: Launch) -> None:
            launch.until(Phase.WEIGHTS)
            estimates.append(json.loads(launch.get("/v1/status")[1])["remaining_seconds"])
            launch.terminate()

        Launch("weights hang", tmp_path, second).run()
        assert isinstance(estimates[0], float)


class TestHandOver:
    def test_no_request_is_refused(self, tmp_path: Path) -> None:
        """Clients ask without a pause from the first second: each gets an answer from one side."""
        answers: list[int] = []

        def client(launch: Launch) -> None:
            launch.until(Phase.IMPORT)
            while not answers or answers[-1] != 200:
                answers.append(launch.get("/v1/models")[0])
            answers.extend(launch.get("/v1/models")[0] for _ in range(20))
            launch.terminate()

        assert Launch("import weights serve hang", tmp_path, client).run() == 0
        assert set(answers) <= {200, 503}
        assert answers[-20:] == [200] * 20


def test_the_run_directory_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(EngineFailed):
        Launch("weights exit=1", tmp_path / "scratch").run()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("temporary", ["missing", "x" * 120])
def test_no_place_for_the_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: str
) -> None:
    if temporary != "missing":
        (tmp_path / temporary).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / temporary))
    with pytest.raises(MachineError) as raised:
        Launch("", tmp_path).run()
    assert raised.value.variable == "TMPDIR"


def test_the_import_rule() -> None:
    """No module of the entrypoint imports torch, vLLM or the hub's client."""
    every = [m.name for m in pkgutil.walk_packages(entrypoint.__path__, "entrypoint.")]
    assert "entrypoint.store.hub.client" in every
    # it runs in a process of its own, for the sake of the hub's client
    every.remove("entrypoint.store.hub.downloader")
    heavy = {"torch", "vllm", "transformers", "huggingface_hub", "fastapi", "numpy"}
    script = (
        "import importlib, sys\n"
        f"for name in {every!r}: importlib.import_module(name)\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
