"""The packages that are added to a base image, and those that stay."""

from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from images.environment import compile_all, main, missing, unmet

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


def test_every_entry_of_the_lock_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = (Path(__file__).parents[2] / "requirements" / "image-light.txt").read_text()
    monkeypatch.setattr("images.environment._installed", lambda name: None)
    assert missing(lock) == lock
    monkeypatch.setattr("images.environment._installed", lambda name: "1")
    assert missing(lock) == ""


def test_met_requirements_are_no_problem() -> None:
    assert unmet("inference-server") == []


def test_unmet_requirements_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A requirement's own requirements count too."""
    needs = {
        "anything": ["pydantic", "no-such-distribution", "never; sys_platform == 'never'"],
        "pydantic": ["typing-extensions<0.1", "dotenv; extra == 'env'"],
    }
    monkeypatch.setattr("images.environment.requires", needs.get)
    assert unmet("anything") == [
        "anything needs no-such-distribution, found none",
        f"pydantic needs typing-extensions<0.1, found {version('typing-extensions')}",
    ]


def test_modules_are_compiled_and_templates_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "package").mkdir()
    module = tmp_path / "package" / "module.py"
    module.write_text("A = 1\n")
    (tmp_path / "template.py").write_text("{{ not python }}\n")
    compile_all([str(tmp_path), str(tmp_path / "none")])
    assert Path(cache_from_source(str(module))).exists()
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def test_the_command_prints_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lock.txt").write_text(LOCK)
    assert main("missing", str(tmp_path / "lock.txt")) == 0
    assert capsys.readouterr().out == missing(LOCK)
    assert main("check", "inference-server") == 0
