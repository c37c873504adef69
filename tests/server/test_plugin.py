"""Our part of the engine's processes: light where nothing of it is wanted."""

import subprocess
import sys

LOADED = "import sys; from server import plugin; plugin.load(); print('torch' in sys.modules)"


def test_no_loader_is_imported_where_none_is_wanted() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], env={}, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
