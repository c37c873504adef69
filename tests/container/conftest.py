"""The images, built once a run, and the container engine that builds and runs them.

Podman gets its own store, which is kept: the next run reuses its layers. If no engine works and
none can be installed, all tests here are skipped, and the summary reports it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from images.base import base_image
from images.build import build, tag
from images.engine import Engine, NoEngine
from tests.support.containers import container_engine, remove_leftovers
from tests.support.workers import first_to, shared_folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of the run use."""
    return shared_folder(tmp_path_factory, worker_id, "container")


@pytest.fixture(scope="session")
def engine(shared: Path) -> Engine:
    try:
        with first_to(shared, "engine") as first:
            found = container_engine()
            if first:
                remove_leftovers(found)
    except NoEngine as error:
        pytest.skip(f"NO CONTAINER WAS BUILT OR RUN: {error}")
    return found


@pytest.fixture(scope="session")
def base(engine: Engine, shared: Path) -> str:
    """A Debian image."""
    with first_to(shared, "base"):
        return base_image(engine)


@pytest.fixture(scope="session")
def cpu_image(engine: Engine, base: str, shared: Path) -> str:
    with first_to(shared, "cpu") as first:
        return build(engine, "cpu", base=base) if first else tag("cpu")


@pytest.fixture(scope="session")
def openvino_image(engine: Engine, base: str, cpu_image: str, shared: Path) -> str:
    """The OpenVINO image; built after the other, because they share layers."""
    with first_to(shared, "openvino") as first:
        return build(engine, "openvino", base=base) if first else tag("openvino")
