"""Detects the hardware without loading an engine, and compares it with the installed vLLM."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from entrypoint.errors import MachineError
from entrypoint.hardware.build import OPENVINO_GENAI, installed_openvino, installed_vllm
from entrypoint.hardware.cpu import allowed_cpus, available_memory, numa_nodes, read_processor
from entrypoint.hardware.cuda import cuda_devices, cuda_driver, cuda_nodes, load_nvml
from entrypoint.hardware.gaudi import Run, gaudi_devices, gaudi_nodes, run_command
from entrypoint.hardware.hardware import Device, Hardware, Kind
from entrypoint.hardware.intel import intel_devices
from entrypoint.hardware.kinds import KINDS, devices_text
from entrypoint.hardware.nodes import first_inaccessible
from entrypoint.hardware.pci import installed_devices
from entrypoint.hardware.preload import preload_libraries
from entrypoint.hardware.rocm import rocm_devices, rocm_driver, rocm_nodes
from entrypoint.hardware.visible import visible_devices
from entrypoint.note import Note
from entrypoint.settings import Accelerator


def detect_hardware(
    requested: Accelerator,
    environ: Mapping[str, str],
    root: Path = Path("/"),
    run: Run = run_command,
    nvml: Callable[[], Any] = load_nvml,
) -> Hardware:
    """Return the hardware that the engine will use.

    Args:
        requested: ACCELERATOR; ``auto`` selects what the installed vLLM was built for.
        environ: The variables that can hide devices.
        root: The folder that contains ``/dev``, ``/proc``, ``/sys`` and ``/usr``.
        run: Runs a driver's tool.
        nvml: Loads NVIDIA's management library; called only if there is an NVIDIA device.

    Raises:
        MachineError: vLLM is not installed, it was built for another accelerator, or this process
            has no device that it may open.
        SettingError: A variable hides every device, or names one that does not exist.
    """
    version, built_for = installed_vllm()
    if version is None or built_for is None:
        raise MachineError(
            "vLLM is not installed in this environment.",
            hint="Use one of this runtime's images, or run: make install",
        )
    kind = _choose_kind(requested, version, built_for)
    cpus = allowed_cpus(root)
    hardware = Hardware(
        kind=kind,
        count=1,
        memory_bytes=available_memory(root),
        cpus=cpus,
        vllm_version=version,
        processor=read_processor(root, cpus),
    )
    if kind == "openvino":
        notes = [_openvino_note()] if requested == "auto" else []
        return replace(
            hardware, devices=intel_devices(root), notes=(*notes, *_unused_devices(root))
        )
    if kind == "cpu":
        return replace(
            hardware,
            count=numa_nodes(root, cpus),
            preload=preload_libraries(root),
            notes=tuple(_unused_devices(root)),
        )
    devices, driver = _devices(kind, root, run, nvml)
    if not devices:
        raise _no_device(kind, version, root)
    inaccessible = first_inaccessible(_nodes(kind, root))
    if inaccessible is not None:
        raise _inaccessible_device(kind, inaccessible)
    devices = visible_devices(kind, devices, environ)
    sizes = [device.memory_bytes for device in devices if device.memory_bytes is not None]
    return replace(
        hardware,
        count=len(devices),
        memory_bytes=min(sizes, default=None),
        devices=devices,
        driver_version=driver,
    )


def _choose_kind(requested: Accelerator, version: str, built_for: Kind) -> Kind:
    has_openvino = built_for == "cpu" and installed_openvino() is not None
    if requested == "auto":
        return "openvino" if has_openvino else built_for
    if requested == built_for or (requested == "openvino" and has_openvino):
        return requested
    if requested == "openvino" and built_for == "cpu":
        text = (
            f"ACCELERATOR=openvino requires the package {OPENVINO_GENAI}, which is not installed "
            "in this environment."
        )
    else:
        text = (
            f"ACCELERATOR={requested} does not match the installed vLLM {version}, which is built "
            f"for {built_for}."
        )
    raise MachineError(
        text,
        variable="ACCELERATOR",
        hint=f"Run the {requested} image ({KINDS[requested].image}), or remove ACCELERATOR.",
    )


def _devices(
    kind: Kind, root: Path, run: Run, nvml: Callable[[], Any]
) -> tuple[tuple[Device, ...], str | None]:
    """Return the devices of a kind that have a node, and their driver's version."""
    if kind == "cuda":
        library = nvml() if cuda_nodes(root) else None
        return cuda_devices(root, library), cuda_driver(library)
    if kind == "rocm":
        return rocm_devices(root), rocm_driver(root)
    return gaudi_devices(root, run)


def _nodes(kind: Kind, root: Path) -> list[Path]:
    if kind == "cuda":
        return cuda_nodes(root)
    return rocm_nodes(root) if kind == "rocm" else gaudi_nodes(root)


def _devices_with_node(root: Path) -> dict[Kind, int]:
    """Return the number of devices of each kind that have a node."""
    counts: dict[Kind, int] = {
        "cuda": len(cuda_nodes(root)),
        "rocm": len(rocm_devices(root)),
        "hpu": len(gaudi_nodes(root)),
    }
    return {kind: count for kind, count in counts.items() if count}


def _openvino_note() -> Note:
    return Note(
        "info",
        "ACCELERATOR",
        f"Using OpenVINO's engine, because {OPENVINO_GENAI} is installed. Set ACCELERATOR=cpu to "
        "use vLLM's own CPU engine.",
    )


def _unused_devices(root: Path) -> list[Note]:
    return [
        Note(
            "info",
            "ACCELERATOR",
            f"This machine has {devices_text(kind, count)}, which the installed vLLM does not use, "
            f"because it is built for cpu. To use them, run the {kind} image "
            f"({KINDS[kind].image}).",
        )
        for kind, count in _devices_with_node(root).items()
    ]


def _no_device(kind: Kind, version: str, root: Path) -> MachineError:
    info = KINDS[kind]
    text = f"vLLM {version} is built for {kind}, and this machine has"
    on_bus = installed_devices(root).get(kind, 0)
    others = _devices_with_node(root)
    if on_bus:
        text = f"{text} {devices_text(kind, on_bus)}, but this container has no device node."
        hint = info.pass_devices
    elif others:
        listed = " and ".join(devices_text(other, count) for other, count in others.items())
        text = f"{text} {listed} and no {info.name}."
        first = next(iter(others))
        hint = f"Run the {first} image ({KINDS[first].image})."
    else:
        text = f"{text} no {info.name}."
        hint = f"{info.pass_devices} Without one, run the cpu image ({KINDS['cpu'].image})."
    return MachineError(text, variable="ACCELERATOR", hint=hint)


def _inaccessible_device(kind: Kind, node: Path) -> MachineError:
    group = node.stat().st_gid
    return MachineError(
        f"User {os.getuid()} is not allowed to open {node}, the {KINDS[kind].name}'s device node. "
        f"It belongs to group {group}.",
        hint=f"Add the group. docker: --group-add {group}. Kubernetes: "
        f"securityContext.supplementalGroups: [{group}].",
    )
