"""The command line: what it prints where, and its exit codes."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.environments import environment
from tests.support.launch import COMMAND, DEMO, DEMO_CACHE


class TestErrors:
    def test_an_error_goes_to_standard_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["plan"], {"MODEL_ID": "a/b", "PORT": "http"}) == 78
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "PORT='http'" in printed.err

    def test_an_error_as_json_goes_to_standard_output_too(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["plan", "--json"], {"MODEL_ID": "a/b", "PORT": "http"}) == 78
        printed = capsys.readouterr()
        error = json.loads(printed.out)["error"]
        assert (error["code"], error["variable"]) == ("setting", "PORT")
        assert error["message"] in printed.err

    @pytest.mark.parametrize("words", [["--nonsense"], ["unknown"], ["plan", "--yaml"]])
    def test_a_wrong_command_line_exits_with_64(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(words, {}) == 64
        assert "--help" in capsys.readouterr().err

    def test_serve_fails_before_it_listens(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["serve"], environment(tmp_path, ARG="--max-model-length 1")) == 78
        assert "--max-model-len?" in capfd.readouterr().err


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 0
    assert "serve" in capsys.readouterr().out


def test_version_names_vllm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"], {}) == 0
    assert "vllm 0.32.0 (cpu)" in capsys.readouterr().out


class TestStreams:
    """The real command with standard streams that are closed, full, or without a reader."""

    def status(self, home: Path, command: str, **variables: str) -> tuple[int, str]:
        """Run a shell's command line, and return its exit code and standard error."""
        environ = environment(home, PATH=f"{COMMAND.parent}:/usr/bin:/bin", **variables)
        done = subprocess.run(
            ["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stderr

    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
    @pytest.mark.parametrize("command", ["options", "--help", "--version", ""])
    def test_a_closed_stream_changes_nothing(
        self, tmp_path: Path, closed: str, command: str
    ) -> None:
        assert self.status(tmp_path, f"inference-server {command} {closed}") == (0, "")

    @pytest.mark.parametrize("command", ["plan", "serve", "plan --json"])
    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
    def test_the_exit_code_of_an_error_stays(
        self, tmp_path: Path, command: str, closed: str
    ) -> None:
        line = f"inference-server {command} {closed}"
        code, errors = self.status(tmp_path, line, PORT="http", MODEL_ID="a/b")
        assert code == 78
        assert ("PORT='http'" in errors) == ("2>" not in closed)

    @pytest.mark.parametrize("command", ["options", "--help", "--version"])
    def test_a_full_disk_behind_standard_output_is_named(
        self, tmp_path: Path, command: str
    ) -> None:
        code, errors = self.status(tmp_path, f"inference-server {command} >/dev/full")
        assert code == 74
        assert errors.startswith("inference-server: error: Cannot write to standard output: No sp")
        assert "Traceback" not in errors

    def test_a_reader_that_leaves_is_no_error(self, tmp_path: Path) -> None:
        line = "{ inference-server options; echo $? >&2; } | true"
        assert self.status(tmp_path, line) == (0, "0\n")


def test_a_removed_working_directory_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && exec {COMMAND} plan"
    environ = environment(tmp_path, MODEL_ID="a/b")
    done = subprocess.run(["sh", "-c", line], env=environ, capture_output=True, text=True)
    assert done.returncode == 71
    assert "working directory" in done.stderr
    assert "Traceback" not in done.stderr


class TestUnknownUser:
    """The real command as a user without a passwd entry. Reading is allowed, writing is not."""

    WORDS = (
        *(str(shutil.which("setpriv")), "--reuid=54321", "--regid=54321", "--clear-groups"),
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    )

    def run_plan(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {"MODEL_ID": DEMO, "HF_HUB_OFFLINE": "1", **variables}
        words = [*self.WORDS, str(COMMAND), "plan", "--json"]
        return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60)

    @pytest.mark.parametrize(
        "variables",
        [
            {},
            {"HOME": ""},
            {"HOME": "/"},
            {"HOME": "/nonexistent"},
            {"HOME": "home"},
            {"HOME": "/etc/passwd"},
            {"HOME": "/root"},
            {"HOME": "/etc\n", "PATH": ""},
            {"XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config"},
            {"XDG_CACHE_HOME": "/etc/x", "XDG_CONFIG_HOME": "/etc/y"},
        ],
        ids=str,
    )
    def test_a_plan_redirects_what_the_engine_writes(self, variables: dict[str, str]) -> None:
        done = self.run_plan(HF_HUB_CACHE=str(DEMO_CACHE), **variables)
        assert done.returncode == 0, done.stderr
        engine = json.loads(done.stdout)["env"]
        scratch = "/tmp/inference-server-54321"
        assert engine["HOME"] == f"{scratch}/home"
        assert engine["LOGNAME"] == "uid-54321"
        assert engine["VLLM_CACHE_ROOT"].startswith(scratch)
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            assert engine.get(name, scratch).startswith(scratch)

    def test_without_a_home_the_default_cache_is_named(self) -> None:
        done = self.run_plan()
        assert done.returncode == 66
        assert "/.cache/huggingface/hub: does not exist" in done.stderr

    @pytest.mark.parametrize("variable", ["HF_HOME", "MODEL_ID", "API_KEY_FILE", "TLS_CERT_FILE"])
    def test_a_path_in_a_home_that_nobody_has_is_named(self, variable: str) -> None:
        done = self.run_plan(**{variable: "~/x"})
        assert done.returncode == 78
        assert f"{variable}='~/x' stands for a home directory" in done.stderr
        assert "Traceback" not in done.stderr
