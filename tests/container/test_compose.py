"""Compose starts the profile cpu of docker-compose.yml, and its smoke client gets an answer."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from images.engine import Engine
from tests.support.deploy_files import COMPOSE, ROOT
from tests.support.deploy_tools import tool
from tests.support.ports import free_port

SECONDS = 1200


@contextmanager
def podman_service(engine: Engine, directory: Path) -> Iterator[str]:
    """Run podman's service with Docker's API; yield its address."""
    socket = directory / "podman.sock"
    url = f"unix://{socket}"
    process = subprocess.Popen(
        [engine.name, "system", "service", "--time", "0", url],
        env={**os.environ, **engine.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


class Project:
    """A separate compose project."""

    def __init__(self, engine: Engine, image: str, host: str | None, directory: Path) -> None:
        self.engine = engine
        self.name = f"inference-server-{uuid.uuid4().hex[:8]}"
        self.server = f"{self.name}-cpu-1"
        # podman names local images localhost/..., but compose looks for them in Docker's registry
        image = image if engine.name == "docker" else f"localhost/{image}"
        override = directory / "override.yml"
        override.write_text(
            yaml.safe_dump({"services": {name: {"image": image} for name in ("cpu", "cpu-smoke")}})
        )
        self.words = [
            *(tool("docker-compose"), "--project-name", self.name, "--env-file", os.devnull),
            *("--project-directory", str(ROOT), "--file", str(COMPOSE), "--file", str(override)),
            *("--profile", "cpu-smoke"),
        ]
        self.environ = {**os.environ, "RESTART": "no", "PUBLISH": f"127.0.0.1:{free_port()}"}
        if host is not None:
            self.environ["DOCKER_HOST"] = host

    def compose(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.words, *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )


@pytest.fixture
def project(engine: Engine, cpu_image: str, tmp_path: Path) -> Iterator[Project]:
    with podman_service(engine, tmp_path) if engine.name == "podman" else _as_it_is() as host:
        started = Project(engine, cpu_image, host, tmp_path)
        try:
            yield started
        finally:
            started.compose("down", "--volumes", "--timeout", "60")


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield None


@contextmanager
def health_checks(project: Project) -> Iterator[None]:
    """Run the server's health check every few seconds, which podman leaves to systemd."""
    done = threading.Event()

    def check() -> None:
        while not done.wait(5):
            project.engine.run("healthcheck", "run", project.server, check=False)

    thread = threading.Thread(target=check)
    if project.engine.name == "podman":
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.is_alive():
            thread.join()


def test_the_smoke_client_gets_its_answer(project: Project) -> None:
    with health_checks(project):
        asked = project.compose("run", "--rm", "cpu-smoke")
    logs = project.engine.run("logs", project.server, check=False)
    assert asked.returncode == 0, asked.stderr + logs.stdout + logs.stderr
    assert "inference-server--Demo-Llama: This is an inference server" in asked.stdout
    stopped = project.compose("stop")
    assert stopped.returncode == 0, stopped.stderr
    code = project.engine.run("inspect", "--format", "{{.State.ExitCode}}", project.server).stdout
    assert code.strip() == "0"
