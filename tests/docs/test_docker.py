"""docs/docker.md: Docker's client accepts each `docker run`, hardened, and each plans a launch."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from entrypoint.errors import ModelNotFound
from entrypoint.launch import plan_launch, read_inputs
from entrypoint.planning.plan import LaunchPlan
from entrypoint.settings import all_variables, read_settings
from entrypoint.store.search.find import find_model
from tests.support.deploy_files import ENGINES, ROOT, services
from tests.support.deploy_tools import tool
from tests.support.models import COMMIT, write_snapshot
from tests.support.samples import CUDA

PAGE = ROOT / "docs" / "docker.md"
HARDENING = {
    "--read-only": "",
    "--cap-drop": "ALL",
    "--security-opt": "no-new-privileges",
    "--tmpfs": "/tmp:exec",
}
FLAGS_WITHOUT_VALUE = ("--rm", "--read-only", "--detach")
IMAGE = {
    "HUGGINGFACE_HUB_CACHE": "/mnt/models",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""What the images set. HF_HOME=/nonexistent is left out: it adds no place to search."""

SHELL = {"$PWD": str(ROOT), "$MODEL_DIR": "/data/models"}


@dataclass
class Command:
    """A parsed `docker run`."""

    words: list[str]
    options: dict[str, list[str]] = field(default_factory=dict)
    image: str = ""

    def environment(self) -> dict[str, str]:
        """Return the container's variables; one without a value comes from the shell."""
        given = [word.partition("=") for word in self.options["-e"]]
        return IMAGE | {name: value if sep else "from-the-shell" for name, sep, value in given}


def commands() -> list[Command]:
    """Return the page's `docker run` commands, with the shell's expansions done."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.startswith("docker run "):
                continue
            line = re.sub(r"\$\((?:id|stat) [^)]*\)", "993", line)
            for name, value in SHELL.items():
                line = line.replace(name, value)
            found.append(read(shlex.split(line)))
    return found


def read(words: list[str]) -> Command:
    command = Command(words)
    rest = iter(words[2:])
    for word in rest:
        if not word.startswith("-"):
            command.image = word
            assert not list(rest), "words after the image replace its command"
            break
        name, equals, value = word.partition("=")
        if not equals:
            value = "" if name in FLAGS_WITHOUT_VALUE else next(rest)
        command.options.setdefault(name, []).append(value)
    return command


COMMANDS = commands()
EACH = pytest.mark.parametrize(
    "command", COMMANDS, ids=[f"{n}-{c.image.partition(':')[2]}" for n, c in enumerate(COMMANDS)]
)


def test_every_engine_has_a_docker_run() -> None:
    images = {command.image for command in COMMANDS}
    assert images == {services()[engine]["image"] for engine in ENGINES}
    assert len(COMMANDS) >= 9


@EACH
class TestCommand:
    def test_dockers_client_accepts_the_command(self, command: Command) -> None:
        made = created(command)
        assert made["Image"] == command.image
        assert made["StopTimeout"] == int(command.options["--stop-timeout"][0])
        host = made["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert host["Tmpfs"] == {"/tmp": "exec"}
        assert host["ShmSize"] == int(command.options["--shm-size"][0][:-1]) << 30
        devices = [device["PathInContainer"] for device in host["Devices"] or []]
        assert devices == command.options.get("--device", [])
        assert ("--gpus" in command.options) == bool(host["DeviceRequests"])

    def test_the_container_is_hardened(self, command: Command) -> None:
        for name, value in HARDENING.items():
            assert value in command.options[name], name
        assert "--privileged" not in command.options
        [port] = command.options["-p"]
        assert port.startswith("127.0.0.1:")
        assert port.endswith(":8000")

    def test_shared_memory_is_set_and_docker_waits_for_the_shutdown(self, command: Command) -> None:
        [size] = command.options["--shm-size"]
        assert re.fullmatch(r"[1-9]\d*g", size)
        drain = read_settings(command.environment()).shutdown_timeout
        assert int(command.options["--stop-timeout"][0]) > drain + 2

    def test_devices_and_capabilities_are_those_of_compose(self, command: Command) -> None:
        engine = command.image.partition(":")[2]
        service = services()[engine]
        assert command.options.get("--device", []) == service.get("devices", [])
        assert sorted(command.options.get("--cap-add", [])) == sorted(service.get("cap_add", []))
        assert command.options.get("--runtime", [None]) == [service.get("runtime")]
        assert len(command.options.get("--group-add", [])) == len(service.get("group_add", []))
        assert ("--gpus" in command.options) == ("deploy" in service)
        own = set(all_variables()) | set(service["environment"])
        assert set(command.environment()) <= own

    def test_the_variables_plan_a_launch(self, command: Command, tmp_path: Path) -> None:
        """The model is in the mounted folder, and the machine has eight GPUs."""
        plan = planned(command, tmp_path)
        environ = command.environment()
        model = environ["MODEL_ID"]
        assert plan.served_model_names[0] == model.replace("/", "--")
        shards = environ.get("NUM_SHARD")
        assert ("--tensor-parallel-size" in plan.argv) == (shards is not None)
        warned = [note.variable for note in plan.notes if note.level == "warning"]
        assert set(warned) <= {"MAX_SEQ_LEN_TO_CAPTURE"}

    def test_only_the_missing_model_stops_it(self, command: Command, tmp_path: Path) -> None:
        environ = here(command, tmp_path) | {"HF_HUB_OFFLINE": "1"}
        with pytest.raises(ModelNotFound) as raised:
            plan_launch(environ)
        assert environ["MODEL_ID"] in raised.value.message


class _Engine(BaseHTTPRequestHandler):
    """A stand-in for Docker's engine: records the container to create, and creates none."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Ostype", "linux")
        self.send_header("Api-Version", "1.41")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.split("?")[0].endswith("/containers/create"):
            self.asked.append(json.loads(body))
        self.send_response(501)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


def created(command: Command) -> dict[str, Any]:
    """Return the container that Docker's client requests."""
    server = HTTPServer(("127.0.0.1", 0), _Engine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        host = f"tcp://127.0.0.1:{server.server_port}"
        done = subprocess.run(
            [tool("docker"), "--host", host, *command.words[1:]],
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert _Engine.asked, done.stderr
    return _Engine.asked.pop()


def here(command: Command, root: Path) -> dict[str, str]:
    """Return the container's environment, with its folders moved under ``root``."""
    environ = command.environment()
    for mount in command.options["-v"]:
        inside = mount.split(":")[1]
        environ = {
            name: value.replace(inside, str(root / inside[1:])) for name, value in environ.items()
        }
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"):
        if name in environ and not environ[name].startswith(str(root)):
            environ[name] = str(root / "nothing")
    return environ | {"HOME": str(root)}


def planned(command: Command, root: Path) -> LaunchPlan:
    environ = here(command, root)
    [inside] = [mount.split(":")[1] for mount in command.options["-v"]]
    cache = environ["HF_HUB_CACHE" if inside == "/var/tmp" else "HUGGINGFACE_HUB_CACHE"]
    assert Path(cache).is_relative_to(root / inside[1:])
    commit = environ.get("REVISION", COMMIT)
    write_snapshot(Path(cache), environ["MODEL_ID"], commit)
    inputs = replace(read_inputs(environ), hardware=replace(CUDA, count=8))
    return inputs.plan(find_model(inputs.request))
