"""What each kind of accelerator is called, which image is for it, how a container gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from entrypoint.hardware.hardware import Kind


class Facts(NamedTuple):
    """The words for one kind.

    Attributes:
        name: What one device is called.
        image: How its image is built.
        docker: What ``docker run`` needs to pass its devices.
        kubernetes: The resource that its device plugin offers; None where it has none.
    """

    name: str
    image: str
    docker: str
    kubernetes: str | None

    @property
    def passing(self) -> str:
        """How a container gets the devices, as a sentence."""
        pod = f"; Kubernetes: resources.limits {self.kubernetes}: 1" if self.kubernetes else ""
        return f"Pass the devices to the container: docker run {self.docker}{pod}."


KINDS: Mapping[Kind, Facts] = {
    "cuda": Facts("NVIDIA GPU", "docker build --target cuda .", "--gpus all", "nvidia.com/gpu"),
    "rocm": Facts(
        "AMD GPU",
        "docker build --target rocm .",
        "--device /dev/kfd --device /dev/dri",
        "amd.com/gpu",
    ),
    "hpu": Facts(
        "Gaudi accelerator",
        "docker build -f Dockerfile.hpu .",
        "--runtime habana -e HABANA_VISIBLE_DEVICES=all",
        "habana.ai/gaudi",
    ),
    "openvino": Facts(
        "Intel GPU",
        "docker build -f Dockerfile.openvino .",
        "--device /dev/dri",
        "gpu.intel.com/i915",
    ),
    "cpu": Facts("CPU", "docker build --target cpu .", "", None),
}


def counted(kind: Kind, count: int) -> str:
    """Return a number of devices in words: ``2 NVIDIA GPUs``."""
    return f"{count} {KINDS[kind].name}{'' if count == 1 else 's'}"
