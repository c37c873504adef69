"""What the engine will run on, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from entrypoint.note import Note

Kind = Literal["cuda", "rocm", "hpu", "openvino", "cpu"]


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator that can be used now.

    Attributes:
        index: Its number, as the visible-device variables count.
        name: What its driver calls it.
        memory_bytes: Its memory, None where the driver does not say.
        architecture: CUDA's compute capability (``9.0``) or AMD's target (``gfx942``).
        identity: What else a visible-device variable may call it: an NVIDIA UUID, a Gaudi module.
    """

    index: int
    name: str
    memory_bytes: int | None = None
    architecture: str | None = None
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Processor:
    """The machine's processors and main memory, as far as this process may use them.

    Attributes:
        flags: What the processor can do, in the kernel's words: ``avx512_bf16``.
        cores: One logical processor of each physical core that this process may run on.
        quota: Processors' worth of time that the cgroup gives; None without a limit.
        memory_limit: The most bytes that there can ever be: the cgroup's limit or the machine's
            memory, whichever is less.
        memory_limited: Whether that is the cgroup's.
    """

    flags: frozenset[str] = frozenset()
    cores: tuple[int, ...] = ()
    quota: float | None = None
    memory_limit: int | None = None
    memory_limited: bool = False


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the engine will run on.

    Attributes:
        kind: The accelerator.
        count: Devices of that kind that may be used; for the CPU its NUMA nodes.
        memory_bytes: The memory of one device, the least where they differ, None where their
            driver does not say. For the CPU and OpenVINO: the main memory that can be used now, the
            smaller of what the machine has available and what the cgroup leaves.
        cpus: The logical processors that this process may run on.
        vllm_version: The installed vLLM, None without one.
        devices: The devices that ``count`` counts; none for the CPU.
        driver_version: The devices' driver, where it says.
        processor: The processors and main memory.
        preload: ``{name: path}`` of the libraries that vLLM's CPU engine wants loaded first.
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
