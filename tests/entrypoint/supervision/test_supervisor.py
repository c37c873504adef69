"""Complete launches with the scripted engine, which can fail in every way; see tests/support.

tests/end_to_end has launches with the real engine.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from entrypoint.errors import EngineFailed, ModelNotFound, StartTimeout
from entrypoint.planning.option import PlannedOption
from entrypoint.planning.plan import LaunchPlan
from entrypoint.shared.handover import STATUS, Phase
from entrypoint.status.timings import expected_seconds, launch_key
from entrypoint.store.progress import Progress
from entrypoint.supervision import supervisor
from entrypoint.supervision.preparation import Reporter
from tests.support.hardware import CGROUP_2, CGROUP_2_ROOT, tree
from tests.support.processes import exists, wait_until_ended
from tests.support.scripted_launch import ScriptedLaunch


class TestStop:
    def test_a_loading_engine_is_stopped(self, tmp_path: Path) -> None:
        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_phase(Phase.WEIGHTS)
            launch.terminate()

        assert ScriptedLaunch("weights hang", tmp_path, client).run() == 0

    def test_a_loading_engine_that_ignores_sigterm_is_killed(self, tmp_path: Path) -> None:
        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_phase(Phase.WEIGHTS)
            launch.terminate()

        assert ScriptedLaunch("ignore-sigterm weights hang", tmp_path, client).run() == 0

    def test_a_stop_does_not_wait_for_the_preparation(self, tmp_path: Path) -> None:
        """A stop does not wait for an unpacking to finish."""
        release = threading.Event()

        def prepare(reporter: Reporter) -> LaunchPlan:
            reporter.enter(Phase.UNPACK)
            release.wait(30)
            raise AssertionError

        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_phase(Phase.UNPACK)
            launch.terminate()

        assert ScriptedLaunch("", tmp_path, client, prepare).run() == 0
        release.set()

    def test_a_serving_engine_is_stopped(self, tmp_path: Path) -> None:
        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_engine()
            launch.terminate()

        assert ScriptedLaunch("serve hang", tmp_path, client).run() == 0

    def test_a_drained_engine_is_killed_at_the_deadline(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The margin beyond the deadline is for responses, and there are none."""
        monkeypatch.setattr(supervisor, "DRAIN_MARGIN_SECONDS", 600)

        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_engine()
            launch.terminate()

        for seconds in ("0", "1.5"):
            script = f"answer={seconds} serve hang"
            assert ScriptedLaunch(script, tmp_path, client, shutdown_timeout=1).run() == 0

    def test_a_request_to_a_drained_engine_gets_503(self, tmp_path: Path) -> None:
        """1. The engine serves. 2. SIGTERM: it stops answering, and runs. 3. Clients get 503."""
        answers: list[tuple[int, bytes]] = []

        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_engine()
            launch.terminate()
            while launch.get("/v1/models")[0] == 200:
                pass
            answers.extend(launch.get("/v1/models") for _ in range(20))
            answers.append(launch.get("/health/live"))
            launch.terminate()  # at once

        assert (
            ScriptedLaunch("answer=0.1 serve hang", tmp_path, client, shutdown_timeout=60).run()
            == 0
        )
        assert [status for status, _ in answers] == [503] * 20 + [200]
        assert b"The server is stopping." in answers[0][1]

    def test_a_serving_engine_that_ignores_sigterm_is_killed_at_the_deadline(
        self, tmp_path: Path
    ) -> None:
        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_engine()
            launch.terminate()

        launch = ScriptedLaunch("ignore-sigterm serve hang", tmp_path, client, shutdown_timeout=0)
        assert launch.run() == 0

    def test_a_second_signal_stops_at_once(self, tmp_path: Path) -> None:
        began: list[float] = []

        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_engine()
            began.append(time.monotonic())
            launch.terminate()
            launch.wait_for_phase(Phase.STOPPING)
            launch.terminate()

        launch = ScriptedLaunch("ignore-sigterm serve hang", tmp_path, client, shutdown_timeout=600)
        assert launch.run() == 0


class TestFailure:
    """An engine that ends without a stop ends the launch with an error that names the cause."""

    def test_a_request_after_the_engine_died_gets_503(self, tmp_path: Path) -> None:
        """The main process dies, and its worker takes a while to end."""
        answer = 200, b""

        def client(launch: ScriptedLaunch) -> None:
            nonlocal answer
            launch.wait_for_engine()
            deadline = time.monotonic() + 10
            while answer[0] == 200 and time.monotonic() < deadline:
                with contextlib.suppress(OSError):  # the engine died with the connection
                    answer = launch.get("/v1/models")

        script = "spawn=worker serve sleep=0.5 exit=3"
        launch = ScriptedLaunch(script, tmp_path, client, SCRIPT_WORKER="ignore-sigterm hang")
        with pytest.raises(EngineFailed):
            launch.run()
        assert answer[0] == 503
        assert b"The server is stopping." in answer[1]

    def failure(self, launch: ScriptedLaunch) -> EngineFailed:
        with pytest.raises(EngineFailed) as raised:
            launch.run()
        return raised.value

    @pytest.mark.parametrize("code", [3, 0])
    def test_an_exit_code_fails_the_launch_in_its_phase(self, tmp_path: Path, code: int) -> None:
        error = self.failure(ScriptedLaunch(f"weights exit={code}", tmp_path))
        assert error.exit_code == 70
        assert "phase weights" in error.message

    def test_a_signal_that_kills_the_engine_is_named(self, tmp_path: Path) -> None:
        error = self.failure(ScriptedLaunch("weights kill=11", tmp_path))
        assert error.exit_code == 128 + signal.SIGSEGV
        assert "SIGSEGV" in error.message

    @pytest.mark.parametrize("end", ["exit=1", "kill=9"])
    def test_memory_that_ran_out_is_named_with_its_limit(self, tmp_path: Path, end: str) -> None:
        """Whether the engine was killed, or exited because one of its processes was killed."""
        limit = {
            f"{CGROUP_2_ROOT}/memory.max": f"{6 << 30}\n",
            f"{CGROUP_2_ROOT}/memory.events": "oom_kill 0\n",
        }
        root = tree(tmp_path / "machine", CGROUP_2, limit)
        events = root / CGROUP_2_ROOT / "memory.events"
        error = self.failure(ScriptedLaunch(f"weights oom={events} {end}", tmp_path, root=root))
        assert "limit of 6.0 GiB" in error.message
        assert "resources.limits.memory" in str(error.hint)

    def test_the_engines_output_names_the_cause(self, tmp_path: Path) -> None:
        """Written by any of its processes, just before its end."""
        (tmp_path / "log").write_text(
            "Traceback (most recent call last):\n"
            '  File "torch/serialization.py", line 1, in load\n'
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.\n"
        )
        launch = ScriptedLaunch(
            "weights spawn=core follow=core hang",
            tmp_path,
            SCRIPT_CORE=f"error-log={tmp_path}/log exit=1",
        )
        error = self.failure(launch)
        assert error.code not in ("engine-failed", "unknown")
        assert "CUDA out of memory" in "\n".join([error.message, *error.excerpt])
        assert launch.supervisor.tail()[-1].startswith("torch.OutOfMemoryError")

    def test_an_error_of_the_preparation_ends_the_launch(self, tmp_path: Path) -> None:
        def prepare(reporter: Reporter) -> LaunchPlan:
            raise ModelNotFound("a/b", (), {}, None)

        with pytest.raises(ModelNotFound):
            ScriptedLaunch("", tmp_path, prepare=prepare).run()


class TestProcesses:
    """A tree of main, core and worker, of which each process follows its child: none is left."""

    TREE: ClassVar[dict[str, Any]] = {
        "SCRIPT_CORE": "spawn=worker follow=worker hang",
        "SCRIPT_WORKER": "hang",
    }
    ROLES = ("main", "core", "worker")

    def pid(self, directory: Path, role: str) -> int:
        deadline = time.monotonic() + 30
        while not (directory / role).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return int((directory / role).read_text())

    @pytest.mark.parametrize("phase", ["weights", "serve"])
    @pytest.mark.parametrize("role", ROLES)
    def test_a_killed_process_ends_the_others(self, tmp_path: Path, role: str, phase: str) -> None:
        pids: list[int] = []

        def client(launch: ScriptedLaunch) -> None:
            pids.extend(self.pid(tmp_path, each) for each in self.ROLES)
            os.kill(self.pid(tmp_path, role), signal.SIGKILL)

        launch = ScriptedLaunch(
            f"spawn=core follow=core {phase} hang",
            tmp_path,
            client,
            SCRIPT_PIDS=str(tmp_path),
            **self.TREE,
        )
        with pytest.raises(EngineFailed) as raised:
            launch.run()
        assert raised.value.exit_code == (137 if role == "main" else 70)
        assert not any(map(exists, pids))
        with pytest.raises(ChildProcessError):  # no zombie either
            os.waitpid(-1, os.WNOHANG)

    @pytest.mark.parametrize("role", ["core", "worker"])
    def test_a_process_in_its_own_session_is_ended_too(self, tmp_path: Path, role: str) -> None:
        """It is outside the engine's process group, and ignores SIGTERM."""
        own = f"SCRIPT_{role.upper()}"
        scripts = {**self.TREE, own: f"detach ignore-sigterm {self.TREE[own]}"}

        def client(launch: ScriptedLaunch) -> None:
            self.pid(tmp_path, "worker")
            launch.wait_for_engine()
            launch.terminate()

        launch = ScriptedLaunch(
            "spawn=core serve hang",
            tmp_path,
            client,
            shutdown_timeout=0,
            SCRIPT_PIDS=str(tmp_path),
            **scripts,
        )
        assert launch.run() == 0
        assert not any(exists(self.pid(tmp_path, each)) for each in self.ROLES)

    @pytest.mark.parametrize("killed", [("entrypoint",), ("entrypoint", "main")])
    def test_the_engine_ends_if_the_entrypoint_is_killed(
        self, tmp_path: Path, killed: tuple[str, ...]
    ) -> None:
        """Alone, or together with the engine's main process."""
        variables = {**os.environ, **self.TREE, "SCRIPT_PIDS": str(tmp_path)}
        script = (
            "from pathlib import Path; "
            "from tests.support.scripted_launch import ScriptedLaunch; "
            f"ScriptedLaunch('spawn=core serve ignore-sigterm hang', Path({str(tmp_path)!r}), "
            "shutdown_timeout=0).run()"
        )
        with subprocess.Popen([sys.executable, "-c", script], env=variables) as entrypoint:
            pids = {role: self.pid(tmp_path, role) for role in self.ROLES}
            for name in killed:
                os.kill(pids.get(name, entrypoint.pid), signal.SIGKILL)
        for pid in pids.values():
            wait_until_ended(pid)


class TestStartTimeout:
    def test_a_hanging_engine_exceeds_it(self, tmp_path: Path) -> None:
        """The error has the phase and the last line; none of the engine's processes is left."""
        with pytest.raises(StartTimeout) as raised:
            ScriptedLaunch(
                "weights say='Waiting for the mount' spawn=core ignore-sigterm hang",
                tmp_path,
                start_timeout=1.5,
                SCRIPT_CORE="hang",
                SCRIPT_PIDS=str(tmp_path),
            ).run()
        assert raised.value.phase is Phase.WEIGHTS
        assert 0 <= raised.value.seconds[Phase.WEIGHTS] <= 1.5
        assert "Waiting for the mount" in raised.value.message
        assert "START_TIMEOUT=1.5 s: it has been in the phase weights" in raised.value.message
        assert raised.value.exit_code == 70
        for role in ("main", "core"):
            assert not exists(int((tmp_path / role).read_text()))

    def test_a_hanging_preparation_exceeds_it(self, tmp_path: Path) -> None:
        release = threading.Event()

        def prepare(reporter: Reporter) -> LaunchPlan:
            reporter.enter(Phase.VERIFY)
            release.wait(30)
            raise AssertionError

        with pytest.raises(StartTimeout, match=r"phase verify .* wrote nothing"):
            ScriptedLaunch("", tmp_path, prepare=prepare, start_timeout=0.3).run()
        release.set()

    def test_a_download_does_not_count(self, tmp_path: Path) -> None:
        """1. It takes longer than START_TIMEOUT. 2. The timeout is exceeded in the next phase."""
        release = threading.Event()

        def prepare(reporter: Reporter) -> LaunchPlan:
            reporter.enter(Phase.DOWNLOAD)
            time.sleep(0.5)
            reporter.enter(Phase.UNPACK)
            release.wait(30)
            raise AssertionError

        with pytest.raises(StartTimeout) as raised:
            ScriptedLaunch("", tmp_path, prepare=prepare, start_timeout=0.3).run()
        release.set()
        assert raised.value.phase is Phase.UNPACK

    def test_a_ready_engine_no_longer_exceeds_it(self, tmp_path: Path) -> None:
        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_engine()
            time.sleep(max(0.0, launch.supervisor.status.timeline.started + 3.2 - time.monotonic()))
            assert launch.get("/")[1] == b"engine"
            launch.terminate()

        assert ScriptedLaunch("serve hang", tmp_path, client, start_timeout=3).run() == 0


class TestSetting:
    def test_a_failure_that_follows_from_an_option_names_it(self, tmp_path: Path) -> None:
        launch = ScriptedLaunch("error-log=" + str(tmp_path / "log") + " exit=1", tmp_path)
        (tmp_path / "log").write_text("OSError: Can't load tokenizer for '/tok'.\n")
        option = PlannedOption("--tokenizer", "/tok", "variable", "TOKENIZER")
        launch.plan = replace(launch.plan, options=(option,))
        with pytest.raises(EngineFailed) as raised:
            launch.run()
        assert raised.value.code == "tokenizer-unusable"
        assert raised.value.variable == "TOKENIZER"
        assert "The likely cause is TOKENIZER=/tok." in (raised.value.hint or "")


class TestOutput:
    """The supervisor writes the output of the engine's processes."""

    def test_both_streams_of_all_processes_are_written(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        log = tmp_path / "log"
        log.write_text("to the error stream\n")
        with pytest.raises(EngineFailed):
            ScriptedLaunch(
                f"say='from main' spawn=core follow=core error-log={log} hang",
                tmp_path,
                SCRIPT_CORE="say='from the core'",
            ).run()
        said = capfd.readouterr()
        assert sorted(said.out.splitlines()) == ["from main", "from the core"]
        assert "to the error stream" in said.err.splitlines()

    def test_a_secret_in_the_output_is_masked(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(EngineFailed):
            ScriptedLaunch("say=key:geheim! exit=1", tmp_path, HF_TOKEN="geheim").run()
        assert capfd.readouterr().out == "key:***!\n"

    def test_the_complete_output_of_a_killed_process_is_written(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Including what it wrote just before it was killed."""
        (tmp_path / "log").write_text("line\n" * 20_000)
        with pytest.raises(EngineFailed):
            ScriptedLaunch(f"log={tmp_path}/log kill=9", tmp_path).run()
        assert capfd.readouterr().out == "line\n" * 20_000

    def test_bytes_that_are_not_text_are_written_as_they_are(
        self, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        with pytest.raises(EngineFailed):
            ScriptedLaunch("garbage=1000000 exit=1", tmp_path).run()
        assert len(capfdbinary.readouterr().out) == 1_000_001


class TestStatus:
    def test_the_status_shows_the_phases_and_the_model(self, tmp_path: Path) -> None:
        seen: list[dict[str, object]] = []

        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_phase(Phase.COMPILE)
            seen.append(json.loads(launch.get("/v1/status")[1]))
            launch.terminate()

        ScriptedLaunch("weights compile hang", tmp_path, client).run()
        assert seen[0]["phase"] == "compile"
        assert list(seen[0]["phases"]) == ["resolve", "import", "weights", "compile"]  # type: ignore[call-overload]
        assert seen[0]["bytes"] == {"done": 1000, "total": 1000, "per_second": None}
        assert seen[0]["served_model_names"] == ["m"]

    def test_the_status_shows_the_bytes_of_a_preparation(self, tmp_path: Path) -> None:
        seen: list[dict[str, object]] = []
        done = threading.Event()

        def prepare(reporter: Reporter) -> LaunchPlan:
            reporter.on_progress(Progress(30, 100))
            reporter.enter(Phase.UNPACK)
            done.wait(30)
            raise AssertionError

        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_phase(Phase.UNPACK)
            seen.append(json.loads(launch.get("/v1/status")[1]))
            launch.terminate()

        ScriptedLaunch("", tmp_path, client, prepare).run()
        done.set()
        assert seen[0]["bytes"] == {"done": 30, "total": 100, "per_second": None}

    def test_the_next_launch_has_an_estimate(self, tmp_path: Path) -> None:
        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_engine()
            launch.terminate()

        launch = ScriptedLaunch("weights serve hang", tmp_path, client)
        launch.run()
        expected = expected_seconds(tmp_path, launch_key(launch.plan))
        assert list(expected) == [Phase.RESOLVE, Phase.IMPORT, Phase.WEIGHTS]
        estimates: list[object] = []

        def second(launch: ScriptedLaunch) -> None:
            launch.wait_for_phase(Phase.WEIGHTS)
            estimates.append(json.loads(launch.get("/v1/status")[1])["remaining_seconds"])
            launch.terminate()

        ScriptedLaunch("weights hang", tmp_path, second).run()
        assert isinstance(estimates[0], float)

    def test_a_download_has_an_estimate_once_the_launch_is_planned(self, tmp_path: Path) -> None:
        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_engine()
            launch.terminate()

        first = ScriptedLaunch("weights sleep=0.5 serve hang", tmp_path, client)
        first.run()
        shown: list[dict[str, Any]] = []
        release = threading.Event()

        def prepare(reporter: Reporter) -> LaunchPlan:
            reporter.planned(first.plan)
            reporter.enter(Phase.DOWNLOAD)
            release.wait(30)
            raise AssertionError

        def second(launch: ScriptedLaunch) -> None:
            launch.wait_for_phase(Phase.DOWNLOAD)
            shown.append(json.loads(launch.get("/v1/status")[1]))
            launch.terminate()

        ScriptedLaunch("", tmp_path, second, prepare).run()
        release.set()
        assert shown[0]["remaining_seconds"] > 0
        assert shown[0]["served_model_names"] == ["m"]


class TestHandOver:
    def test_every_request_during_the_hand_over_gets_an_answer(self, tmp_path: Path) -> None:
        """Requests without a pause from the start: one of the two sides answers each."""
        answers: list[int] = []

        def client(launch: ScriptedLaunch) -> None:
            launch.wait_for_phase(Phase.IMPORT)
            while not answers or answers[-1] != 200:
                answers.append(launch.get("/v1/models")[0])
            answers.extend(launch.get("/v1/models")[0] for _ in range(20))
            launch.terminate()

        assert ScriptedLaunch("import weights serve hang", tmp_path, client).run() == 0
        assert set(answers) <= {200, 503}
        assert answers[-20:] == [200] * 20


def test_the_run_directory_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(EngineFailed):
        ScriptedLaunch("weights exit=1", tmp_path / "scratch").run()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_for_temporary_files_that_takes_no_file_is_reported_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder in place of the status file is a stand-in for a full disk, which
    test_run_directory.py has."""
    monkeypatch.setattr(supervisor, "WATCH_SECONDS", 0.05)

    def warnings(launch: ScriptedLaunch, count: int) -> list[str]:
        """Wait until the status has this number of warnings, and return them."""
        for _ in range(600):
            found: list[str] = json.loads(launch.get("/v1/status")[1])["warnings"]
            if len(found) == count:
                break
            time.sleep(0.05)
        assert len(found) == count
        return found

    def client(launch: ScriptedLaunch) -> None:
        launch.wait_for_phase(Phase.WEIGHTS)
        status = launch.supervisor._run_directory.path / STATUS
        status.unlink()
        status.mkdir()
        assert warnings(launch, 1)[0].startswith("Cannot write to ")
        status.rmdir()
        warnings(launch, 0)
        launch.terminate()

    assert ScriptedLaunch("weights hang", tmp_path, client).run() == 0
    logged = [r.message for r in caplog.records if r.message.startswith("Cannot write to ")]
    assert len(logged) == 1
