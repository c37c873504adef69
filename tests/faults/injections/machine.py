"""What a machine, a pod or another process does to a launch: mounts, limits, ports, clocks."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.faults.stage import Inject, Stage

CGROUPS = Path("/sys/fs/cgroup")


def mounted(folder: str, options: str) -> Inject:
    """One of the launch's folders is a file system of its own, in a mount namespace.

    Args:
        folder: Below the fault's place, or an absolute path.
        options: Of the tmpfs.
    """

    def inject(stage: Stage) -> None:
        path = stage.place / folder
        path.mkdir(parents=True, exist_ok=True)
        stage.mounting(f"mount -t tmpfs -o {options} fault {path}")

    return inject


def read_only(folder: str) -> Inject:
    """One of the launch's folders, with what it holds, is on a file system that is read-only."""

    def inject(stage: Stage) -> None:
        path = stage.place / folder
        path.mkdir(exist_ok=True)
        stage.mounting(f"mount --bind {path} {path}\nmount -o remount,ro,bind {path}")

    return inject


def filled(folder: str, left: int) -> Inject:
    """One of the launch's folders is on a disk with so many bytes left, of many."""

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
    """The kernel's limits for the process, as ``prlimit`` has them."""

    def inject(stage: Stage) -> None:
        stage.within("prlimit", *words)

    return inject


def in_cgroup(controller: str, **limits: str) -> Inject:
    """The launch is in a cgroup of its own with limits.

    Args:
        controller: ``memory``, ``pids`` or ``blkio``.
        limits: By the files' names in either version of cgroups, ``__`` for the dot; the version
            that is there has some of them.

    Raises:
        OSError: No cgroup can be made here: these faults need root, and a cgroup file system that
            can be written to.
    """

    def inject(stage: Stage) -> None:
        own = CGROUPS / controller
        group = (own if own.is_dir() else CGROUPS) / stage.place.name
        group.mkdir()
        stage.cleanup.callback(group.rmdir)
        files = {group / name.replace("__", "."): value for name, value in limits.items()}
        there = [path for path in files if path.exists()]
        assert there, f"{group} has none of {', '.join(limits)}"
        for path in there:
            path.write_text(files[path])
        stage.within("sh", "-ec", f'echo $$ > {group}/cgroup.procs\nexec "$@"', "sh")

    return inject


def slow_disk(rate: int) -> Inject:
    """The disk that the launch's folders are on gives so many bytes a second."""

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
    """The monotonic clock began long before this launch's first look at it."""

    def inject(stage: Stage) -> None:
        stage.within("unshare", "--time", "--fork", "--kill-child", f"--monotonic={seconds}")

    return inject


def nobody_reads(*streams: str) -> Inject:
    """The readers of the command's streams have gone."""

    def inject(stage: Stage) -> None:
        stage.closed |= set(streams)

    return inject


def is_a_folder(variable: str) -> Inject:
    """A variable names a folder where a file is wanted."""

    def inject(stage: Stage) -> None:
        path = stage.place / "folder"
        path.mkdir()
        stage.environ[variable] = str(path)

    return inject


def deep_tmpdir(stage: Stage) -> None:
    """The path of TMPDIR leaves no room for the name of a socket."""
    path = stage.temporary / ("x" * 100)
    path.mkdir()
    stage.environ["TMPDIR"] = str(path)


def without(folder: str) -> Inject:
    """A folder is not there."""

    def inject(stage: Stage) -> None:
        os.rmdir(stage.place / folder)

    return inject
