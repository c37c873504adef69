"""The limits of this process's cgroup on memory and processors, and its out-of-memory kills.

Each level between the process's own cgroup and the container's root can have a limit, and the
lowest one counts. Linux documents both versions: ``Documentation/admin-guide/cgroup-v2.rst`` and
``cgroup-v1/``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from entrypoint.hardware.kernel_files import read_number, read_table, read_text

UNLIMITED = 1 << 62
"""Version 1 writes "no limit" as the largest multiple of a page. A number above this one means
that there is no limit."""


class Cgroup(NamedTuple):
    """A cgroup's directory, and the version of its files."""

    path: Path
    version: int


def memory_limit(root: Path) -> int | None:
    """Return the memory limit of this process's cgroup in bytes, None without a limit."""
    return _lowest(_memory_limit(cgroup) for cgroup in _cgroups(root, "memory"))


def memory_left(root: Path) -> int | None:
    """Return the memory that the cgroup has left in bytes, None without a limit.

    Cached files that the kernel can drop count as free.
    """
    return _lowest(_memory_left(cgroup) for cgroup in _cgroups(root, "memory"))


def cpu_quota(root: Path) -> float | None:
    """Return the cgroup's CPU limit in processors, None without a limit."""
    quotas = (_cpu_quota(cgroup) for cgroup in _cgroups(root, "cpu"))
    return min((quota for quota in quotas if quota is not None), default=None)


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return how many of the cgroup's processes the kernel killed for memory, None if unknown."""
    own = next(iter(_cgroups(root, "memory")), None)
    if own is None:
        return None
    name = "memory.events" if own.version == 2 else "memory.oom_control"
    return read_table(own.path / name).get("oom_kill")


def _memory_limit(cgroup: Cgroup) -> int | None:
    name = "memory.max" if cgroup.version == 2 else "memory.limit_in_bytes"
    limit = read_number(cgroup.path / name)
    return None if limit is None or limit >= UNLIMITED else limit


def _memory_left(cgroup: Cgroup) -> int | None:
    limit = _memory_limit(cgroup)
    if limit is None:
        return None
    usage = "memory.current" if cgroup.version == 2 else "memory.usage_in_bytes"
    cached = "inactive_file" if cgroup.version == 2 else "total_inactive_file"
    used = read_number(cgroup.path / usage) or 0
    used -= read_table(cgroup.path / "memory.stat").get(cached, 0)
    return max(0, limit - max(0, used))


def _cpu_quota(cgroup: Cgroup) -> float | None:
    if cgroup.version == 2:
        quota, _, period = read_text(cgroup.path / "cpu.max").partition(" ")
    else:
        quota = read_text(cgroup.path / "cpu.cfs_quota_us")
        period = read_text(cgroup.path / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit():  # "max", -1, or no file
        return None
    return int(quota) / int(period)


def _cgroups(root: Path, controller: str) -> list[Cgroup]:
    """Return this process's cgroup of a controller and its parents, its own first."""
    mounts = _mounts(root)
    own = _own_paths(root)
    for name, version in ((controller, 1), ("", 2)):
        if name not in mounts:
            continue
        mounted, point = mounts[name]
        path = PurePosixPath(own.get(name, "/"))
        # without a cgroup namespace the path is the host's, and the mount shows a part of it
        below = path.relative_to(mounted) if path.is_relative_to(mounted) else PurePosixPath()
        top = root / point.lstrip("/")
        folders = [top / below, *(top / parent for parent in below.parents)]
        return [Cgroup(folder, version) for folder in dict.fromkeys(folders) if folder.is_dir()]
    return []


def _mounts(root: Path) -> dict[str, tuple[str, str]]:
    """Return ``{controller, or "" for version 2: (root in the hierarchy, mount point)}``.

    On a machine with both versions, each controller is in one of them.
    """
    found: dict[str, tuple[str, str]] = {}
    for line in read_text(root / "proc/self/mountinfo").splitlines():
        # id parent device root point options ... - type source options: proc(5)
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            found.setdefault("", (fields[3], fields[4]))
        elif kind[0] == "cgroup":
            for controller in kind[2].split(","):
                found.setdefault(controller, (fields[3], fields[4]))
    return found


def _own_paths(root: Path) -> dict[str, str]:
    """Return ``{controller, or "" for version 2: path of this process's cgroup}``."""
    found = {}
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _lowest(numbers: Iterable[int | None]) -> int | None:
    return min((number for number in numbers if number is not None), default=None)
