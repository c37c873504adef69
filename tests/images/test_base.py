"""The base image is used if present, pulled, or else made with debootstrap."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.base import LOCAL_IMAGE, PUBLIC_IMAGE, base_image
from images.engine import Engine, NoEngine

ENGINE = """\
#!/bin/sh
echo "$*" >> {log}
case "$*" in {works}) exit 0 ;; *) exit 1 ;; esac
"""
DEBOOTSTRAP = '#!/bin/sh\necho "debootstrap $*" >> {log}\n'
TAR = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of the calls of stand-ins, which are in ``bin``, the only folder on PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "log"


def install(log: Path, name: str, script: str, **values: str) -> None:
    program = log.with_name("bin") / name
    program.write_text(script.format(log=log, **values))
    program.chmod(0o755)


@pytest.mark.parametrize("image", [PUBLIC_IMAGE, LOCAL_IMAGE])
def test_an_image_in_the_store_is_used(log: Path, image: str) -> None:
    install(log, "docker", ENGINE, works=f"'image inspect {image}'")
    assert base_image(Engine("docker")) == image
    assert "pull" not in log.read_text()


def test_a_missing_image_is_pulled(log: Path) -> None:
    install(log, "docker", ENGINE, works=f"'pull {PUBLIC_IMAGE}'")
    assert base_image(Engine("docker")) == PUBLIC_IMAGE


def test_an_image_is_made_if_no_registry_answers(log: Path) -> None:
    install(log, "docker", ENGINE, works="import*")
    install(log, "debootstrap", DEBOOTSTRAP)
    install(log, "tar", TAR)
    assert base_image(Engine("docker")) == LOCAL_IMAGE
    calls = log.read_text().splitlines()
    assert calls[-2].startswith("debootstrap --variant=minbase bookworm ")
    assert calls[-1].startswith("import ")
    assert calls[-1].endswith(f" {LOCAL_IMAGE}")


def test_the_error_names_debootstrap_if_it_is_missing(log: Path) -> None:
    install(log, "docker", ENGINE, works="import*")
    with pytest.raises(NoEngine, match="apt-get install debootstrap"):
        base_image(Engine("docker"))
