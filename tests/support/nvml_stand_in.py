"""A stand-in for ``pynvml`` on a machine without NVIDIA's driver: the calls that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace


class NVMLError(Exception):
    pass


@dataclass
class Nvml:
    """A driver that knows GPUs by their minor numbers, which need not be in order."""

    minors: tuple[int, ...] = (0, 1)
    has_memory: bool = True
    has_failed: bool = False
    NVMLError = NVMLError

    def nvmlDeviceGetCount(self) -> int:
        return len(self.minors)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if self.has_failed:
            raise NVMLError("GPU is lost")
        return self.minors[index]

    def nvmlDeviceGetMinorNumber(self, handle: int) -> int:
        return handle

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "NVIDIA H100 80GB HBM3"

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}aaaa-bbbb"

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:
        return 9, 0

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        if not self.has_memory:
            raise NVMLError("Not Supported")
        return SimpleNamespace(total=(80 << 30) - handle)

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"
