"""What this process's cgroup leaves it of the machine: memory, processors, and its killed ones.

A limit may stand on any level between the process's own cgroup and the root that the container
sees, so each level is read and the least counts. Both versions' files are described in Linux,
``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1/``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

UNLIMITED = 1 << 62
"""Version 1 writes no limit as the largest multiple of a page: anything near it is none."""


class Level(NamedTuple):
    """One cgroup: its directory, and which version's files it has."""

    path: Path
    version: int


def memory_limit(root: Path) -> int | None:
    """Return the bytes that this process's cgroup may use in all, None without a limit."""
    return _least(_limit(level) for level in _levels(root, "memory"))


def memory_left(root: Path) -> int | None:
    """Return the bytes that the cgroup still leaves, None without a limit.

    Cached files that the kernel would drop first are not counted as used.
    """
    return _least(_left(level) for level in _levels(root, "memory"))


def cpu_quota(root: Path) -> float | None:
    """Return how many processors' worth of time the cgroup gives, None without a limit."""
    quotas = (_quota(level) for level in _levels(root, "cpu"))
    return min((quota for quota in quotas if quota is not None), default=None)


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return how many processes of this cgroup were killed for want of memory; None if unknown."""
    own = next(iter(_levels(root, "memory")), None)
    if own is None:
        return None
    name = "memory.events" if own.version == 2 else "memory.oom_control"
    return _table(own.path / name).get("oom_kill")


def _limit(level: Level) -> int | None:
    name = "memory.max" if level.version == 2 else "memory.limit_in_bytes"
    limit = _number(level.path / name)
    return None if limit is None or limit >= UNLIMITED else limit


def _left(level: Level) -> int | None:
    limit = _limit(level)
    if limit is None:
        return None
    usage = "memory.current" if level.version == 2 else "memory.usage_in_bytes"
    cached = "inactive_file" if level.version == 2 else "total_inactive_file"
    used = (_number(level.path / usage) or 0) - _table(level.path / "memory.stat").get(cached, 0)
    return max(0, limit - max(0, used))


def _quota(level: Level) -> float | None:
    if level.version == 2:
        quota, _, period = _text(level.path / "cpu.max").partition(" ")
    else:
        quota = _text(level.path / "cpu.cfs_quota_us")
        period = _text(level.path / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit():  # "max", -1, or no file
        return None
    return int(quota) / int(period)


def _levels(root: Path, controller: str) -> list[Level]:
    """Return this process's cgroup of a controller and those above it, its own first."""
    mounts = _mounts(root)
    own = _own(root)
    for name, version in ((controller, 1), ("", 2)):
        if name not in mounts:
            continue
        mounted, point = mounts[name]
        path = PurePosixPath(own.get(name, "/"))
        # without a cgroup namespace the path is the host's, and the mount shows a part of it
        below = path.relative_to(mounted) if path.is_relative_to(mounted) else PurePosixPath()
        top = root / point.lstrip("/")
        folders = [top / below, *(top / parent for parent in below.parents)]
        return [Level(folder, version) for folder in dict.fromkeys(folders) if folder.is_dir()]
    return []


def _mounts(root: Path) -> dict[str, tuple[str, str]]:
    """Return ``{controller, or "" for version 2: (root in the hierarchy, mount point)}``.

    Of a machine that has both versions, each controller is in one of them.
    """
    found: dict[str, tuple[str, str]] = {}
    for line in _text(root / "proc/self/mountinfo").splitlines():
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


def _own(root: Path) -> dict[str, str]:
    """Return ``{controller, or "" for version 2: this process's path}``."""
    found = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _table(path: Path) -> dict[str, int]:
    """Return the numbers of a file of ``name number`` lines."""
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _least(numbers: Iterable[int | None]) -> int | None:
    return min((number for number in numbers if number is not None), default=None)
