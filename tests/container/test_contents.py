"""What the images contain, and what they must not contain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from images.engine import Engine
from tests.support.containers import health_check, run

SBOM = "/usr/share/sbom/inference-server.cdx.json"
LARGEST = {"cpu": 3_000_000_000, "openvino": 3_000_000_000}
"""Bytes."""

VERSIONS = (
    "import importlib.metadata as m, json;"
    "print(json.dumps([[d.metadata['Name'], d.version] for d in m.distributions()]))"
)


@pytest.fixture(scope="module", params=["cpu", "openvino"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def image(request: pytest.FixtureRequest, kind: str) -> str:
    name: str = request.getfixturevalue(f"{kind}_image")
    return name


def inside(engine: Engine, image: str, *command: str) -> str:
    """Return what a command prints in the image; it runs as root, to read everything."""
    done = run(engine, image, command[1:], user="0:0", options=("--entrypoint", command[0]))
    assert done.returncode == 0, done.stderr
    return done.stdout


def config(engine: Engine, image: str) -> Any:
    return json.loads(engine.run("image", "inspect", image).stdout)[0]


def test_the_image_is_small_enough(engine: Engine, kind: str, image: str) -> None:
    assert config(engine, image)["Size"] <= LARGEST[kind]


def test_the_labels_are_set(engine: Engine, image: str) -> None:
    labels = config(engine, image)["Config"]["Labels"]
    found = {name.removeprefix("org.opencontainers.image."): v for name, v in labels.items()}
    assert found["title"] == "inference-server"
    assert found["licenses"] == "Apache-2.0"
    for name in ("description", "version", "revision", "created"):
        assert found[name]


def test_the_health_check_is_kept(engine: Engine, image: str) -> None:
    assert health_check(engine, image) == ["CMD", "inference-server", "health"]


def test_the_bill_of_materials_is_complete(engine: Engine, image: str) -> None:
    """It lists all that Python and dpkg list in the image."""
    bill = json.loads(inside(engine, image, "cat", SBOM))
    assert bill["bomFormat"] == "CycloneDX"
    components = [bill["metadata"]["component"], *bill["components"]]
    listed = {(c["name"].lower().replace("_", "-"), c["version"]) for c in components}
    python = inside(engine, image, "python", "-c", VERSIONS)
    for name, version in json.loads(python):
        assert (name.lower().replace("_", "-"), version) in listed
    debian = inside(engine, image, "dpkg-query", "-Wf", "${Package} ${Version}\\n")
    for line in debian.splitlines():
        assert tuple(line.split()) in listed


def test_every_module_has_bytecode_that_counts(engine: Engine, image: str) -> None:
    """Python compiles a module at every start if its bytecode is older than its source."""
    script = Path(__file__).with_name("uncompiled.py").read_text()
    assert inside(engine, image, "python", "-c", script).split() == []


def test_no_caches_and_no_build_tools(engine: Engine, image: str) -> None:
    for pattern in ("/root/.cache", "/var/cache/apt/archives/*.deb", "/var/lib/apt/lists/*_*"):
        assert inside(engine, image, "sh", "-c", f"ls -d {pattern} 2>&1 || true").count("No such")
    for path in ("/opt/tools", "/tmp/build", "/tmp/wheel"):
        assert inside(engine, image, "sh", "-c", f"ls {path} 2>/dev/null || true") == ""
    assert inside(engine, image, "sh", "-c", "command -v uv pip || true") == ""


def test_a_compiler_only_where_one_is_needed(engine: Engine, kind: str, image: str) -> None:
    found = inside(engine, image, "sh", "-c", "command -v g++ cc || true")
    assert bool(found) == (kind == "cpu")


def test_nothing_of_this_machine_is_in_the_image(engine: Engine, image: str) -> None:
    """The image contains neither the certificates nor the wheels of the machine that built it."""
    # root without capabilities cannot read every folder
    found = "find / -xdev -size +0 2>/dev/null '(' -name '*.whl' -o -path '/run/*.crt' ')' || true"
    assert inside(engine, image, "sh", "-c", found) == ""


def test_the_contract_is_in_the_environment(engine: Engine, image: str) -> None:
    printed = inside(engine, image, "inference-server", "plan", "--json")
    plan = json.loads(printed)
    assert plan["model"]["source"] == "cache"
    assert plan["env"]["HF_HUB_OFFLINE"] == "1"
