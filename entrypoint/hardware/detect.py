"""Finds what to run on, without loading an engine, and holds the installed vLLM against it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from entrypoint.errors import MachineError
from entrypoint.hardware.build import OPENVINO_GENAI, installed_openvino, installed_vllm
from entrypoint.hardware.cpu import allowed_cpus, available_memory, numa_nodes, read_processor
from entrypoint.hardware.cuda import cuda_devices, cuda_driver, cuda_nodes, load_nvml
from entrypoint.hardware.gaudi import Run, gaudi_devices, gaudi_nodes, run_command
from entrypoint.hardware.hardware import Device, Hardware, Kind
from entrypoint.hardware.intel import intel_devices
from entrypoint.hardware.kinds import KINDS, counted
from entrypoint.hardware.nodes import closed
from entrypoint.hardware.pci import installed_devices
from entrypoint.hardware.preload import preload_libraries
from entrypoint.hardware.rocm import rocm_devices, rocm_driver, rocm_nodes
from entrypoint.hardware.visible import visible_devices
from entrypoint.note import Note
from entrypoint.settings import Accelerator


def detect_hardware(
    wanted: Accelerator,
    environ: Mapping[str, str],
    root: Path = Path("/"),
    run: Run = run_command,
    nvml: Callable[[], Any] = load_nvml,
) -> Hardware:
    """Find what to run on.

    Args:
        wanted: ACCELERATOR's value; ``auto`` takes what the installed vLLM was built for.
        environ: Where the variables are that hide devices.
        root: Where ``/dev``, ``/proc``, ``/sys`` and ``/usr`` are.
        run: Runs a driver's tool.
        nvml: Loads NVIDIA's management library; called only where NVIDIA's devices are.

    Raises:
        MachineError: There is no vLLM, it was built for another accelerator, or no device is
            there that this process may open.
        SettingError: A variable hides every device, or names one that is not there.
    """
    version, built_for = installed_vllm()
    if version is None or built_for is None:
        raise MachineError(
            "vLLM is not installed in this environment.",
            hint="Use an image of this runtime, or: make install",
        )
    on_openvino = built_for == "cpu" and installed_openvino() is not None
    kind: Kind = wanted if wanted != "auto" else "openvino" if on_openvino else built_for
    if kind == "openvino" and built_for == "cpu" and not on_openvino:
        raise MachineError(
            f"ACCELERATOR=openvino wants the package {OPENVINO_GENAI}, which is not installed in "
            "this environment.",
            variable="ACCELERATOR",
            hint=f"Run the openvino image ({KINDS[kind].image}), or leave ACCELERATOR out.",
        )
    if kind != built_for and not (kind == "openvino" and on_openvino):
        raise MachineError(
            f"ACCELERATOR={wanted} does not fit the installed vLLM {version}, which is built "
            f"for {built_for}.",
            variable="ACCELERATOR",
            hint=f"Run the {kind} image ({KINDS[kind].image}), or leave ACCELERATOR out.",
        )
    cpus = allowed_cpus(root)
    processor = read_processor(root, cpus)
    if kind == "openvino":
        return Hardware(
            kind=kind,
            count=1,
            memory_bytes=available_memory(root),
            cpus=cpus,
            vllm_version=version,
            devices=intel_devices(root),
            processor=processor,
            notes=tuple(_notes(wanted, root)),
        )
    if kind == "cpu":
        return Hardware(
            kind=kind,
            count=numa_nodes(root, cpus),
            memory_bytes=available_memory(root),
            cpus=cpus,
            vllm_version=version,
            processor=processor,
            preload=preload_libraries(root),
            notes=tuple(_unused(root)),
        )
    devices, driver = _devices(built_for, root, run, nvml)
    if not devices:
        raise _no_device(built_for, version, root)
    shut = closed(_nodes(built_for, root))
    if shut is not None:
        raise _closed(built_for, shut)
    devices = visible_devices(built_for, devices, environ)
    sizes = [device.memory_bytes for device in devices if device.memory_bytes is not None]
    return Hardware(
        kind=built_for,
        count=len(devices),
        memory_bytes=min(sizes, default=None),
        cpus=cpus,
        vllm_version=version,
        devices=devices,
        driver_version=driver,
        processor=processor,
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


def _usable(root: Path) -> dict[Kind, int]:
    """Return how many devices of each kind this process has a node of."""
    counts: dict[Kind, int] = {
        "cuda": len(cuda_nodes(root)),
        "rocm": len(rocm_devices(root)),
        "hpu": len(gaudi_nodes(root)),
    }
    return {kind: count for kind, count in counts.items() if count}


def _notes(wanted: Accelerator, root: Path) -> Iterator[Note]:
    if wanted == "auto":
        yield Note(
            "info",
            "ACCELERATOR",
            f"OpenVINO's engine serves, because {OPENVINO_GENAI} is installed. ACCELERATOR=cpu "
            "runs vLLM's own CPU engine.",
        )
    yield from _unused(root)


def _unused(root: Path) -> list[Note]:
    return [
        Note(
            "info",
            "ACCELERATOR",
            f"This machine has {counted(kind, count)}, which the installed vLLM, built for cpu, "
            f"does not use: that takes the {kind} image ({KINDS[kind].image}).",
        )
        for kind, count in _usable(root).items()
    ]


def _no_device(kind: Kind, version: str, root: Path) -> MachineError:
    facts = KINDS[kind]
    text = f"vLLM {version} is built for {kind}, and "
    on_bus = installed_devices(root).get(kind, 0)
    if on_bus:
        return MachineError(
            f"{text}this machine has {counted(kind, on_bus)}, of which this container has no "
            "device node.",
            variable="ACCELERATOR",
            hint=facts.passing,
        )
    others = _usable(root)
    if others:
        listed = " and ".join(counted(other, count) for other, count in others.items())
        first = next(iter(others))
        return MachineError(
            f"{text}this machine has {listed} and no {facts.name}.",
            variable="ACCELERATOR",
            hint=f"Run the {first} image ({KINDS[first].image}).",
        )
    return MachineError(
        f"{text}this machine shows no {facts.name}.",
        variable="ACCELERATOR",
        hint=f"{facts.passing} Without one, run the cpu image ({KINDS['cpu'].image}).",
    )


def _closed(kind: Kind, node: Path) -> MachineError:
    group = node.stat().st_gid
    return MachineError(
        f"The {KINDS[kind].name}'s device node {node} cannot be opened by user {os.getuid()}: it "
        f"belongs to group {group}.",
        hint=f"docker run --group-add {group}; Kubernetes: "
        f"securityContext.supplementalGroups: [{group}].",
    )
