"""A container engine: Docker or podman, whichever works on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


class NoEngine(Exception):
    """No container engine works. The message gives the reason and what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine's command line.

    Attributes:
        name: The engine's command.
        environ: Variables for its commands, in addition to this process's environment.
    """

    name: Literal["docker", "podman"]
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *words: str | Path,
        check: bool = True,
        capture: bool = True,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine.

        Raises:
            subprocess.CalledProcessError: The command failed, and ``check`` is set.
        """
        done = subprocess.run(
            [self.name, *map(str, words)],
            capture_output=capture,
            text=True,
            timeout=timeout,
            env={**os.environ, **self.environ},
            # if memory runs out, podman's monitor leaves a file in its working directory
            cwd=self.environ.get("TMPDIR"),
        )
        if check and done.returncode != 0:
            error = subprocess.CalledProcessError(done.returncode, done.args)
            error.add_note(done.stderr or "")
            raise error
        return done

    def has_image(self, image: str) -> bool:
        """Return whether the engine's store has an image."""
        return self.run("image", "inspect", image, check=False).returncode == 0

    def problem(self) -> str | None:
        """Return why the engine does not work, None if it does."""
        if shutil.which(self.name) is None:
            return f"{self.name} is not installed"
        done = self.run("info", check=False)
        return None if done.returncode == 0 else f"`{self.name} info` fails: {done.stderr.strip()}"


def find_engine() -> Engine:
    """Return a working engine without installing one; Docker is preferred.

    Raises:
        NoEngine: Neither works.
    """
    problems = []
    for engine in (Engine("docker"), Engine("podman")):
        problem = engine.problem()
        if problem is None:
            return engine
        problems.append(problem)
    raise NoEngine("; ".join(problems) + ". Install Docker or podman.")


PODMAN_PACKAGES = ("podman", "runc", "netavark", "aardvark-dns", "iptables")
"""Debian's packages for podman under root. No package depends on the last two, but netavark calls
iptables, and containers find each other's names through aardvark-dns."""
PODMAN_COMMANDS = ("podman", "runc", "aardvark-dns", "iptables")
PODMAN_HELPERS = ("/usr/lib/podman", "/usr/libexec/podman")
"""Folders with podman's own programs, in addition to PATH."""

CONTAINERS_CONF = """\
[containers]
# podman's default may exceed the kernel's maximum
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
# crun and systemd do not work with hybrid cgroups or without init; these do
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def private_podman(store: Path, run: Path) -> Engine:
    """Return a podman with a separate store and configuration; the machine's remain unchanged.

    Installs podman if it is missing, which needs root and Debian.

    Args:
        store: Folder for images, kept between runs.
        run: Folder for the state of containers, kept until the machine restarts.

    Raises:
        NoEngine: podman cannot be installed, or does not work.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *PODMAN_HELPERS])
    if not all(shutil.which(command, path=path) for command in PODMAN_COMMANDS):
        install(PODMAN_PACKAGES)
    for folder in (store / "tmp", run):
        folder.mkdir(parents=True, exist_ok=True)
    containers = store / "containers.conf"
    containers.write_text(CONTAINERS_CONF)
    storage = store / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{store}/storage"\nrunroot = "{run}"\n'
    )
    engine = Engine(
        "podman",
        {
            "CONTAINERS_CONF": str(containers),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "TMPDIR": str(store / "tmp"),
        },
    )
    problem = engine.problem()
    if problem is not None:
        raise NoEngine(f"{problem}.")
    return engine


def install(packages: tuple[str, ...]) -> None:
    """Install Debian packages as root.

    Raises:
        NoEngine: The packages cannot be installed.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NoEngine(
            f"Missing packages: install them as root with apt-get install {' '.join(packages)}"
        )
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(words, env=environ, capture_output=True, text=True)
        if done.returncode != 0:
            raise NoEngine(f"`{' '.join(words)}` fails: {done.stderr.strip()}")
