"""Each kind of accelerator: its name, its image, and how to pass its devices to a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from entrypoint.hardware.hardware import Kind


class KindInfo(NamedTuple):
    """The texts for one kind.

    Attributes:
        name: The name of one device.
        image: The command that builds its image.
        docker: The options of ``docker run`` that pass the devices.
        kubernetes: The resource of its device plugin, None if it has none.
    """

    name: str
    image: str
    docker: str
    kubernetes: str | None

    @property
    def pass_devices(self) -> str:
        """How to pass the devices to a container, as sentences."""
        pod = f" Kubernetes: resources.limits: {self.kubernetes}: 1." if self.kubernetes else ""
        return f"Pass the devices to the container. docker: {self.docker}.{pod}"


KINDS: Mapping[Kind, KindInfo] = {
    "cuda": KindInfo("NVIDIA GPU", "docker build --target cuda .", "--gpus all", "nvidia.com/gpu"),
    "rocm": KindInfo(
        "AMD GPU",
        "docker build --target rocm .",
        "--device /dev/kfd --device /dev/dri",
        "amd.com/gpu",
    ),
    "hpu": KindInfo(
        "Gaudi accelerator",
        "docker build -f Dockerfile.hpu .",
        "--runtime habana -e HABANA_VISIBLE_DEVICES=all",
        "habana.ai/gaudi",
    ),
    "openvino": KindInfo(
        "Intel GPU",
        "docker build -f Dockerfile.openvino .",
        "--device /dev/dri",
        "gpu.intel.com/i915",
    ),
    "cpu": KindInfo("CPU", "docker build --target cpu .", "", None),
}


def devices_text(kind: Kind, count: int) -> str:
    """Return a number of devices as text, such as ``2 NVIDIA GPUs``."""
    return f"{count} {KINDS[kind].name}{'' if count == 1 else 's'}"
