"""The Dockerfiles keep what every image promises, in the parts that they cannot share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from images.build import DOCKERFILES, ROOT

CONTRACT = {
    "HUGGINGFACE_HUB_CACHE": "/mnt/models",
    "HF_HOME": "/nonexistent",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def instructions(kind: str) -> list[str]:
    """Return the instructions of an image's last stage, each on one line."""
    text = (ROOT / DOCKERFILES[kind]).read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)
    stage = next(s for s in stages if re.match(rf"FROM \S+ AS {kind}\n", s))
    return [re.sub(r"\s+", " ", line) for line in stage.splitlines() if line]


@pytest.fixture(params=DOCKERFILES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_every_image_sets_the_default_variables(kind: str) -> None:
    environ: dict[str, str] = {}
    for line in instructions(kind):
        if line.startswith("ENV "):
            environ |= dict(re.findall(r"(\w+)=(\S+)", line))
    assert CONTRACT.items() <= environ.items()


def test_every_image_runs_serve_as_an_unprivileged_user(kind: str) -> None:
    found = instructions(kind)
    assert "USER 65534:65534" in found
    assert 'ENTRYPOINT ["inference-server"]' in found
    assert 'CMD ["serve"]' in found
    assert any(line.startswith("HEALTHCHECK ") for line in found)


def test_all_images_end_with_the_same_instructions(kind: str) -> None:
    """After the bill of materials, they differ only in one word of the description."""

    def ending(name: str) -> list[str]:
        lines = instructions(name)
        start = next(i for i, line in enumerate(lines) if line == "ARG VERSION")
        words = "\n".join(lines[start:])
        return re.sub(r'description="[^"]*"', "", words).splitlines()

    assert ending(kind) == ending("cpu")


def test_cuda_is_the_default_target() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE)[-1] == "cuda"


def test_the_images_have_the_pinned_vllm() -> None:
    pinned = re.search(r'"vllm==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert pinned
    assert f"ARG VLLM_VERSION={pinned[1]}\n" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("path", sorted({ROOT / name for name in DOCKERFILES.values()}))
def test_podman_reads_the_syntax(path: Path) -> None:
    """Neither syntax that podman 4.3 lacks, nor a front end from a registry."""
    text = path.read_text()
    assert "# syntax=" not in text
    assert "--link" not in re.sub(r"--link-mode", "", text)
    assert "<<" not in text
