"""Programs that tests call and no Python package brings."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.support.deploy_files import ROOT


def tool(name: str) -> str:
    """Return the path of a program that ``.ci/install-tools`` brings.

    Where it is missing the test is skipped, and fails if TOOLS_REQUIRED is set, as in ``.ci/run``.
    """
    places = f"{ROOT / 'build' / 'tools'}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(name, path=places)
    if found is not None:
        return found
    missing = f"{name} is missing, so this was NOT checked. Install it with: .ci/install-tools"
    if os.environ.get("TOOLS_REQUIRED"):
        pytest.fail(missing)
    pytest.skip(missing)
