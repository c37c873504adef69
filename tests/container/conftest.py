"""The images, built once a run, and the engine that builds and runs them.

podman gets a store of its own, which is kept: the next run reuses its layers. Where no engine
works and none can be installed, everything here is skipped, and the summary says so.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from images.base import base_image
from images.build import build
from images.engine import Engine, NoEngine, find_engine, private_podman
from tests.support.containers import NAME

STORE = Path("/var/tmp/inference-server-containers")
RUN = Path("/run/inference-server-containers")
LEAST_FREE = 12 << 30
"""Bytes of disk that the images of a run need at most; with less, old layers are dropped."""


def container_engine() -> Engine:
    """Return Docker where it runs, else a private podman, free of what an interrupted run left.

    Raises:
        NoEngine: No container can be run here.
    """
    if os.geteuid() != 0 or Engine("docker").problem() is None:
        return find_engine()
    podman = private_podman(STORE, RUN)
    named = ("--filter", f"name=^{NAME}-")
    left = podman.run("ps", "--all", "--quiet", *named).stdout.split()
    if left:
        podman.run("rm", "--force", "--time", "0", *left)
    # layers that no image uses, but those that a build of today may take up again
    podman.run("image", "prune", "--force", "--filter", "until=24h")
    if shutil.disk_usage(STORE).free < LEAST_FREE:
        podman.run("system", "prune", "--all", "--force")
    return podman


@pytest.fixture(scope="session")
def engine() -> Engine:
    try:
        return container_engine()
    except NoEngine as error:
        pytest.skip(f"NO CONTAINER WAS BUILT OR RUN: {error}")


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    """A Debian image."""
    return base_image(engine)


@pytest.fixture(scope="session")
def cpu_image(engine: Engine, base: str) -> str:
    return build(engine, "cpu", base=base)


@pytest.fixture(scope="session")
def openvino_image(engine: Engine, base: str, cpu_image: str) -> str:
    """The OpenVINO image; after the other, for they share layers."""
    return build(engine, "openvino", base=base)
