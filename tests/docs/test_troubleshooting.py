"""docs/troubleshooting.md quotes the error that its command prints."""

from __future__ import annotations

import re
import subprocess
import sys

from docs.prose import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
PLACE = "/srv/inference-server"
"""The checkout's path on the page."""


def test_the_command_prints_the_error_on_the_page() -> None:
    [block] = re.findall(r"```console\n\$ (.*?)```", PAGE, re.DOTALL)
    command, expected = block.split("\n", 1)
    done = subprocess.run(
        command.replace(".venv/bin/inference-server", f"{sys.executable} -m entrypoint"),
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 66
    assert done.stderr.replace(str(ROOT), PLACE) == expected
