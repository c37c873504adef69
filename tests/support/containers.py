"""Containers that run as in a strict cluster: only their volumes are writable."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from images.engine import Engine, find_engine, private_podman
from tests.support.launch import DEMO, DEMO_CACHE, START_SECONDS
from tests.support.ports import free_port

NAME = "inference-server-test"
"""The start of the names of all containers."""

NOBODY = "65534:65534"
ARBITRARY = "1000680000:0"
"""A user as OpenShift picks one: no line in /etc/passwd, and the group root."""

TMP = "/tmp:rw,exec,nosuid,nodev,size=4g,mode=1777"
MODELS = f"{DEMO_CACHE}:/mnt/models:ro"

STORE = Path("/var/tmp/inference-server-containers")
RUN = Path("/run/inference-server-containers")
LEAST_FREE = 12 << 30
"""Bytes of disk that the images of a run need; with less, old layers are removed."""


def container_engine() -> Engine:
    """Return Docker if it runs, else a podman with its own store.

    Raises:
        NoEngine: No container can run here.
    """
    if os.geteuid() != 0 or Engine("docker").problem() is None:
        return find_engine()
    return private_podman(STORE, RUN)


def remove_leftovers(engine: Engine) -> None:
    """Remove what an interrupted run left in the private podman's store."""
    if "CONTAINERS_STORAGE_CONF" not in engine.environ:
        return
    named = ("--filter", f"name=^{NAME}-")
    left = engine.run("ps", "--all", "--quiet", *named).stdout.split()
    if left:
        engine.run("rm", "--force", "--time", "0", *left)
    # layers that no image uses, except those that a build of today may reuse
    engine.run("image", "prune", "--force", "--filter", "until=24h")
    if shutil.disk_usage(STORE).free < LEAST_FREE:
        engine.run("system", "prune", "--all", "--force")


def health_check(engine: Engine, image: str) -> list[str]:
    """Return the command of an image's HEALTHCHECK, its kind (CMD) first."""
    found = json.loads(engine.run("image", "inspect", image).stdout)[0]
    check = found["Healthcheck"] if engine.name == "podman" else found["Config"]["Healthcheck"]
    command: list[str] = check["Test"]
    return command


def words(
    engine: Engine,
    environ: dict[str, str],
    user: str,
    tmp: str | None,
    shm: str | None,
    volumes: Sequence[str],
    options: Sequence[str],
) -> list[str]:
    """Return the options of ``run``.

    Args:
        engine: What runs it.
        environ: Its variables.
        user: User and group, as numbers.
        tmp: The memory file system for /tmp; None for none.
        shm: The size of /dev/shm; None for the engine's default, 64 MiB.
        volumes: What is mounted.
        options: Further ones.
    """
    found = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    found += ["--network", "host", "--user", user]
    if engine.name == "podman":
        # what podman adds would hide what the image lacks
        found += ["--read-only-tmpfs=false", "--passwd=false"]
    found += ["--tmpfs", tmp] if tmp else []
    found += ["--shm-size", shm] if shm else []
    for volume in volumes:
        found += ["--volume", volume]
    for name, value in environ.items():
        found += ["--env", f"{name}={value}"]
    return [*found, *options]


def run(
    engine: Engine,
    image: str,
    command: Sequence[str] = (),
    *,
    environ: dict[str, str] | None = None,
    user: str = NOBODY,
    tmp: str | None = TMP,
    shm: str | None = "1g",
    volumes: Sequence[str] = (MODELS,),
    options: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a container to its end, with the demo model unless ``environ`` names another."""
    variables = {"MODEL_ID": DEMO, "HOST": "127.0.0.1", "PORT": str(free_port()), **(environ or {})}
    name = f"{NAME}-{uuid.uuid4().hex[:8]}"
    given = words(engine, variables, user, tmp, shm, volumes, ["--name", name, *options])
    try:
        return engine.run(
            "run", "--rm", *given, image, *command, check=False, timeout=START_SECONDS
        )
    finally:
        engine.run("rm", "--force", name, check=False)


class Pod:
    """A container that serves the demo model."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        *,
        environ: dict[str, str] | None = None,
        user: str = NOBODY,
        tmp: str | None = TMP,
        shm: str | None = "1g",
        volumes: Sequence[str] = (MODELS,),
        options: Sequence[str] = (),
    ):
        self.engine = engine
        self.port = free_port()
        self.name = f"{NAME}-{uuid.uuid4().hex[:8]}"
        variables = {
            "MODEL_ID": DEMO,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **(environ or {}),
        }
        given = words(engine, variables, user, tmp, shm, volumes, ["--name", self.name, *options])
        self.started = time.monotonic()
        engine.run("run", "--detach", *given, image)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def logs(self) -> str:
        """Return what the container has printed."""
        done = self.engine.run("logs", self.name, check=False)
        return done.stdout + done.stderr

    def inspect(self) -> Any:
        """Return the container's state and configuration."""
        return json.loads(self.engine.run("inspect", self.name).stdout)[0]

    def running(self) -> bool:
        return bool(self.inspect()["State"]["Running"])

    def ask(self, path: str) -> int:
        """Request a path; return the status of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def until_ready(self) -> float:
        """Wait for ``/health/ready``; return the seconds since the start."""
        looked = self.started
        while time.monotonic() < self.started + START_SECONDS:
            try:
                if self.ask("/health/ready") == 200:
                    return time.monotonic() - self.started
            except OSError:
                pass
            # rarely, because it slows the start down
            if time.monotonic() > looked + 5:
                looked = time.monotonic()
                assert self.running(), self.logs()
            time.sleep(0.1)
        raise AssertionError(f"not ready after {START_SECONDS} s:\n{self.logs()}")

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        self.engine.run("kill", "--signal", name, self.name)

    def exit_code(self) -> int:
        """Wait for its end and return its exit code."""
        return int(self.engine.run("wait", self.name, timeout=START_SECONDS).stdout)

    def remove(self) -> None:
        """Kill and remove the container."""
        self.engine.run("rm", "--force", self.name, check=False)
