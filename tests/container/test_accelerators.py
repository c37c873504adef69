"""The accelerators' images can be built on a stand-in for their base images.

Users pull the real base images from the registries of vLLM and Habana. These tests show that each
line of our Dockerfiles works on such a base, and that none changes the base's packages.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from images.build import ROOT, build
from images.engine import Engine
from tests.support.containers import run

STAND_IN = "localhost/inference-server-stand-in:latest"
FROM_DEBIAN = ("packaging", "PyYAML")
VERSIONS = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
)


@pytest.fixture(scope="module")
def stand_in(engine: Engine, base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image with an empty package called vllm."""
    context = tmp_path_factory.mktemp("stand-in")
    (context / "vllm").mkdir()
    (context / "vllm" / "__init__.py").write_text('"""A stand-in."""\n')
    (context / "vllm.dist-info").mkdir()
    (context / "vllm.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0\n"
    )
    dockerfile = Path(__file__).with_name("stand_in.Dockerfile")
    words = ["--network", "host", "--build-arg", f"BASE_IMAGE={base}", "--tag", STAND_IN]
    engine.run("build", *words, "--file", dockerfile, context)
    return STAND_IN


def versions(engine: Engine, image: str) -> dict[str, str]:
    done = engine.run("run", "--rm", "--entrypoint", "python3", image, "-c", VERSIONS)
    found: dict[str, str] = json.loads(done.stdout)
    return {name.lower().replace("_", "-"): version for name, version in found.items()}


@pytest.fixture(scope="module", params=["cuda", "rocm", "hpu"])
def image(
    request: pytest.FixtureRequest, engine: Engine, base: str, stand_in: str
) -> tuple[str, str]:
    """An accelerator and the name of its image, based on the stand-in."""
    kind: str = request.param
    name = f"localhost/inference-server-on-stand-in:{kind}"
    arguments = {f"{kind.upper()}_IMAGE": stand_in}
    return kind, build(engine, kind, base=base, arguments=arguments, image=name)


def test_the_bases_packages_do_not_change(
    engine: Engine, stand_in: str, image: tuple[str, str]
) -> None:
    before = versions(engine, stand_in)
    after = versions(engine, image[1])
    assert before.items() <= after.items()
    locked = (ROOT / "requirements" / "image-light.txt").read_text()
    for name in FROM_DEBIAN:
        assert f"{name.lower()}=={before[name.lower()]} " not in locked, "proves nothing"
    assert {"inference-server", "huggingface-hub", "uvicorn"} <= after.keys() - before.keys()


def test_a_missing_device_is_reported(engine: Engine, image: tuple[str, str]) -> None:
    kind, name = image
    done = run(engine, name, environ={"ACCELERATOR": kind})
    assert done.returncode == 71, done.stderr
    assert "Traceback" not in done.stderr


def test_the_bases_modules_are_compiled(engine: Engine, image: tuple[str, str]) -> None:
    path = "import importlib.util as u; print(u.cache_from_source(u.find_spec('vllm').origin))"
    done = engine.run("run", "--rm", "--entrypoint", "python3", image[1], "-c", path)
    cached = done.stdout.strip()
    engine.run("run", "--rm", "--entrypoint", "test", image[1], "-s", cached)
