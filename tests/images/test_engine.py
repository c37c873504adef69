"""The search for a container engine, and its error if none works."""

import subprocess
from pathlib import Path

import pytest

from images.engine import Engine, NoEngine, find_engine, private_podman

WORKS = "#!/bin/sh\nexit 0\n"
FAILS = "#!/bin/sh\necho 'cannot connect' >&2\nexit 1\n"
PRINTS_CONFIGURATION = '#!/bin/sh\necho "$CONTAINERS_CONF $CONTAINERS_STORAGE_CONF $*"\n'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only one on PATH, for stand-ins of engines."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def test_docker_comes_first(programs: Path) -> None:
    install(programs, "docker", WORKS)
    install(programs, "podman", WORKS)
    assert find_engine() == Engine("docker")


def test_docker_without_its_server_does_not_count(programs: Path) -> None:
    install(programs, "docker", FAILS)
    install(programs, "podman", WORKS)
    assert find_engine() == Engine("podman")


def test_the_error_names_the_problem_of_each_engine(programs: Path) -> None:
    install(programs, "docker", FAILS)
    with pytest.raises(NoEngine) as raised:
        find_engine()
    assert "`docker info` fails: cannot connect" in str(raised.value)
    assert "podman is not installed" in str(raised.value)


def test_a_private_podman_has_its_own_configuration(programs: Path, tmp_path: Path) -> None:
    install(programs, "podman", PRINTS_CONFIGURATION)
    install(programs, "runc", WORKS)
    install(programs, "aardvark-dns", WORKS)
    install(programs, "iptables", WORKS)
    engine = private_podman(tmp_path / "store", tmp_path / "run")
    printed = engine.run("version").stdout.split()
    assert printed[0] == str(tmp_path / "store" / "containers.conf")
    assert f'graphroot = "{tmp_path}/store/storage"' in Path(printed[1]).read_text()
    assert printed[2] == "version"


def test_the_error_of_a_failed_command_has_its_output(programs: Path) -> None:
    install(programs, "docker", FAILS)
    with pytest.raises(subprocess.CalledProcessError) as raised:
        Engine("docker").run("version")
    assert raised.value.__notes__ == ["cannot connect\n"]


def test_the_error_names_the_packages_that_are_missing(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(NoEngine, match="apt-get install podman runc"):
        private_podman(tmp_path / "store", tmp_path / "run")
