"""Each kind of accelerator has a name, an image, and a way to pass its devices."""

import re
from pathlib import Path
from typing import get_args

import pytest

from entrypoint.hardware.hardware import Kind
from entrypoint.hardware.kinds import KINDS, devices_text

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_image_of_each_kind_can_be_built(kind: Kind) -> None:
    """The command's Dockerfile exists, and has the stage that the command builds."""
    command = KINDS[kind].image
    file = re.search(r"-f (\S+)", command)
    text = (ROOT / (file[1] if file else "Dockerfile")).read_text()
    stage = re.search(r"--target (\S+)", command)
    assert stage is None or re.search(rf"^FROM .* AS {stage[1]}$", text, re.MULTILINE)


def test_passing_devices_is_explained_for_docker_and_kubernetes() -> None:
    assert KINDS["cuda"].pass_devices == (
        "Pass the devices to the container. docker: --gpus all. Kubernetes: resources.limits: "
        "nvidia.com/gpu: 1."
    )


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 AMD GPU"), (2, "2 AMD GPUs"), (0, "0 AMD GPUs")]
)
def test_a_number_of_devices_is_singular_or_plural(count: int, text: str) -> None:
    assert devices_text("rocm", count) == text
