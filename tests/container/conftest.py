"""The images, built once a run, and the engine that builds and runs them.

podman gets a store of its own, which is kept: the next run reuses its layers. Where no engine
works and none can be installed, everything here is skipped, and the summary says so.
"""

from __future__ import annotations

import pytest

from images.base import base_image
from images.build import build
from images.engine import Engine, NoEngine
from tests.support.containers import container_engine


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
