"""The plugin in each of the engine's processes."""

import subprocess
import sys

LOADED = "import sys; from server import plugin; plugin.load(); print('torch' in sys.modules)"


def test_without_a_tarball_no_loader_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], env={}, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
