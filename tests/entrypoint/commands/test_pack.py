"""``inference-server pack`` from its command line to what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.hub_cache import write_hub_snapshot
from tests.support.models import COMMIT, FALCON, model_files, write_files


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hub_snapshot(tmp_path / "cache")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_a_repository_of_the_cache_that_the_variables_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard output, nothing on standard error."""
    assert main(["pack", FALCON], {"HF_HUB_CACHE": str(tmp_path / "cache")}) == 0
    target = tmp_path / "here" / "tiiuae--falcon-7b-instruct.tar"
    out, err = capsys.readouterr()
    assert out.startswith(f"{target} (")
    assert out.endswith(f"{FALCON} {COMMIT}, 4 files\n")
    assert err == ""
    assert target.is_file()


@pytest.mark.parametrize(
    ("option", "suffix"), [([], ".tar"), (["--zstd"], ".tar.zst"), (["--gzip"], ".tar.gz")]
)
def test_pack_as_json_describes_the_tarball(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str], suffix: str
) -> None:
    assert main(["pack", str(tmp_path / "cache"), "--json", *option], {}) == 0
    target = tmp_path / "here" / f"tiiuae--falcon-7b-instruct{suffix}"
    assert json.loads(capsys.readouterr().out) == {
        "path": str(target),
        "bytes": target.stat().st_size,
        "compression": {".tar": "none", ".tar.zst": "zstd", ".tar.gz": "gzip"}[suffix],
        "repository": FALCON,
        "commit": COMMIT,
        "files": 4,
    }


def test_a_plain_directory_is_packed_to_the_given_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path / "m", model_files())
    target = tmp_path / "out.tar"
    command = ["pack", str(tmp_path / "m"), "--repository", "a/b", "-o", str(target)]
    assert main([*command, "--threads", "3"], {}) == 0
    assert target.is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{m}"], 64, "--repository org/name"),
        (["{cache}", "--revision", "none"], 66, "--revision is 'none'"),
        (["org/none"], 66, "is neither in a cache nor a directory"),
        (["{cache}", "--threads", "0"], 64, "'0' is not a number from 1 to"),
        (["{cache}", "--zstd", "--gzip"], 64, "not allowed with"),
        (["{cache}", "-o", "{none}/a.tar"], 74, "does not exist"),
    ],
)
def test_an_error_names_what_to_correct(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    write_files(tmp_path / "m", model_files())
    places = {name: str(tmp_path / name) for name in ("m", "cache", "none")}
    assert main(["pack", *(text.format(**places) for text in arguments)], {}) == code
    assert message in capsys.readouterr().err
