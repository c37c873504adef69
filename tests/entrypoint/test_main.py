"""``python -m entrypoint`` works like ``inference-server``."""

import subprocess
import sys


def test_the_module_runs_the_command_line() -> None:
    command = [sys.executable, "-m", "entrypoint"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert (version.returncode, version.stdout.split()[0]) == (0, "inference-server")
    wrong = subprocess.run([*command, "plan", "--yaml"], capture_output=True, text=True)
    assert wrong.returncode == 64
    assert "See: inference-server --help" in wrong.stderr
