"""The hardware that the engine runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from entrypoint.note import Note

Kind = Literal["cuda", "rocm", "hpu", "openvino", "cpu"]
"""An accelerator."""


@dataclass(frozen=True, slots=True)
class Device:
    """One available device.

    Attributes:
        index: Its number in variables such as CUDA_VISIBLE_DEVICES.
        name: Its name, by its driver.
        memory_bytes: Its memory, None if the driver does not report it.
        architecture: CUDA's compute capability (``9.0``) or AMD's target (``gfx942``).
        identity: Its other name in such variables: an NVIDIA UUID or a Gaudi module.
    """

    index: int
    name: str
    memory_bytes: int | None = None
    architecture: str | None = None
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Processor:
    """The machine's processors and main memory, within the limits of this process.

    Attributes:
        flags: The processor's features by the kernel's names, such as ``avx512_bf16``.
        cores: One logical processor of each physical core that this process may run on.
        quota: The cgroup's CPU limit in processors, None without a limit.
        memory_limit: The cgroup's limit or the machine's memory in bytes, whichever is less.
        memory_limited: Whether that is the cgroup's limit.
    """

    flags: frozenset[str] = frozenset()
    cores: tuple[int, ...] = ()
    quota: float | None = None
    memory_limit: int | None = None
    memory_limited: bool = False


@dataclass(frozen=True, slots=True)
class Hardware:
    """The hardware that the engine runs on.

    Attributes:
        kind: The accelerator.
        count: The number of available devices of that kind; on CPU, of NUMA nodes.
        memory_bytes: The memory of the smallest device, None if no driver reports it. On CPU and
            with OpenVINO, the available main memory within the cgroup's limit.
        cpus: The logical processors that this process may run on.
        vllm_version: The version of the installed vLLM, None if it is not installed.
        devices: The devices in ``count``; empty on CPU.
        driver_version: The version of the devices' driver, None if it is unknown.
        processor: The processors and main memory.
        preload: ``{name: path}`` of the libraries that vLLM's CPU engine needs to load first.
        notes: What the user should know about the machine.
    """

    kind: Kind
    count: int
    memory_bytes: int | None
    cpus: tuple[int, ...]
    vllm_version: str | None
    devices: tuple[Device, ...] = ()
    driver_version: str | None = None
    processor: Processor = Processor()
    preload: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
