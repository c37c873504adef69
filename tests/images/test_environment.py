"""What is added to a base image, and what is left as it is."""

from importlib.metadata import version
from pathlib import Path

import pytest

from images.environment import main, missing, unmet

LOCK = """\
pydantic==0.0.1 ; python_version > '3' \\
    --hash=sha256:aa
    # via somebody
no-such-distribution==1.0 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via pydantic
zstandard==0.0.1
"""


def test_only_what_is_missing_is_added() -> None:
    """An installed distribution stays, whatever its version."""
    assert missing(LOCK) == (
        "no-such-distribution==1.0 \\\n"
        "    --hash=sha256:bb \\\n"
        "    --hash=sha256:cc\n"
        "    # via pydantic\n"
    )


def test_every_entry_of_the_real_lock_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = (Path(__file__).parents[2] / "requirements" / "image-light.txt").read_text()
    monkeypatch.setattr("images.environment._installed", lambda name: None)
    assert missing(lock) == lock
    monkeypatch.setattr("images.environment._installed", lambda name: "1")
    assert missing(lock) == ""


def test_requirements_that_are_met() -> None:
    assert unmet("inference-server") == []


def test_requirements_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "images.environment.requires",
        lambda name: ["pydantic<0.1", "no-such-distribution", "never; sys_platform == 'never'"],
    )
    assert unmet("anything") == [
        f"pydantic<0.1, and the base has {version('pydantic')}",
        "no-such-distribution, and the base has none",
    ]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lock.txt").write_text(LOCK)
    assert main("missing", str(tmp_path / "lock.txt")) == 0
    assert capsys.readouterr().out == missing(LOCK)
    assert main("check", "inference-server") == 0
