"""Faults of the machine, the pod or another process: mounts, limits, ports, clocks."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.faults.stage import Inject, Stage

CGROUPS = Path("/sys/fs/cgroup")


def mounted(folder: str, options: str) -> Inject:
    """One of the launch's folders is a separate file system.

    Args:
        folder: Relative to the row's directory, or an absolute path.
        options: Mount options of the tmpfs.
    """

    def inject(stage: Stage) -> None:
        path = stage.place / folder
        path.mkdir(parents=True, exist_ok=True)
        stage.mounting(f"mount -t tmpfs -o {options} fault {path}")

    return inject


def read_only(folder: str) -> Inject:
    """One of the launch's folders, with its content, is on a read-only file system."""

    def inject(stage: Stage) -> None:
        path = stage.place / folder
        path.mkdir(exist_ok=True)
        stage.mounting(f"mount --bind {path} {path}\nmount -o remount,ro,bind {path}")

    return inject


def filled(folder: str, left: int) -> Inject:
    """One of the launch's folders is on a disk with ``left`` free bytes."""

    def inject(stage: Stage) -> None:
        path = stage.place / folder
        path.mkdir(exist_ok=True)
        stage.mounting(
            f"mount -t tmpfs -o size={left + (1 << 20)} fault {path}\n"
            f"head -c {1 << 20} /dev/zero > {path}/others"
        )

    return inject


def taken_port(stage: Stage) -> None:
    """Another process listens on the port."""
    other = stage.cleanup.enter_context(socket.socket())
    other.bind(("127.0.0.1", stage.port))
    other.listen()


def limited(*words: str) -> Inject:
    """The process has limits, given as options of ``prlimit``."""

    def inject(stage: Stage) -> None:
        stage.within("prlimit", *words)

    return inject


def in_cgroup(controller: str, **limits: str) -> Inject:
    """The launch is in its own cgroup with limits.

    Args:
        controller: ``memory``, ``pids`` or ``blkio``.
        limits: Files of both versions of cgroups, with ``__`` for the dot, and their values. The
            files that exist are written.

    Raises:
        OSError: The cgroup cannot be created: these faults require root and a writable cgroup file
            system.
    """

    def inject(stage: Stage) -> None:
        own = CGROUPS / controller
        group = (own if own.is_dir() else CGROUPS) / stage.place.name
        group.mkdir()
        stage.cleanup.callback(group.rmdir)
        files = {group / name.replace("__", "."): value for name, value in limits.items()}
        existing = [path for path in files if path.exists()]
        assert existing, f"{group} has none of {', '.join(limits)}"
        for path in existing:
            path.write_text(files[path])
        stage.within("sh", "-ec", f'echo $$ > {group}/cgroup.procs\nexec "$@"', "sh")

    return inject


def slow_disk(rate: int) -> Inject:
    """The disk of the launch's folders reads ``rate`` bytes per second."""

    def inject(stage: Stage) -> None:
        device = os.stat(stage.place).st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        limits = {
            "blkio__throttle__read_bps_device": f"{number} {rate}",
            "io__max": f"{number} rbps={rate}",
        }
        in_cgroup("blkio", **limits)(stage)

    return inject


def time_namespace(seconds: int) -> Inject:
    """The monotonic clock started long before the launch."""

    def inject(stage: Stage) -> None:
        stage.within("unshare", "--time", "--fork", "--kill-child", f"--monotonic={seconds}")

    return inject


def nobody_reads(*streams: str) -> Inject:
    """The command's streams have no reader."""

    def inject(stage: Stage) -> None:
        stage.closed |= set(streams)

    return inject


def is_a_folder(variable: str) -> Inject:
    """A variable that requires a file names a folder."""

    def inject(stage: Stage) -> None:
        path = stage.place / "folder"
        path.mkdir()
        stage.environ[variable] = str(path)

    return inject


def deep_tmpdir(stage: Stage) -> None:
    """The path of TMPDIR is too long for a socket in it."""
    path = stage.temporary / ("x" * 100)
    path.mkdir()
    stage.environ["TMPDIR"] = str(path)


def without(folder: str) -> Inject:
    """A folder is missing."""

    def inject(stage: Stage) -> None:
        os.rmdir(stage.place / folder)

    return inject
