"""``inference-server verify`` from its command line to what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.hub_cache import write_hub_snapshot
from tests.support.hub_stand_in import blob_id
from tests.support.models import FALCON, model_files, write_files

FOLDER = "models--tiiuae--falcon-7b-instruct"
SHARDS = 24
FILES = model_files(shards=SHARDS)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    write_hub_snapshot(tmp_path / "cache", files=FILES)
    return tmp_path / "cache"


def damage(cache: Path, name: str) -> None:
    blob = cache / FOLDER / "blobs" / blob_id(name, FILES[name])
    blob.write_bytes(FILES[name][:-1] + b"?")


def test_a_complete_model_is_reported_on_one_line(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard output, nothing on standard error."""
    assert main(["verify", str(cache)], {}) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{cache / FOLDER}: complete, {FALCON}, ")
    assert (out.count("\n"), err) == (1, "")


def test_verify_as_json_lists_each_model(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(cache), "--json"], {}) == 0
    document = json.loads(capsys.readouterr().out)
    [model] = document["models"]
    assert model["repository"] == FALCON
    assert model["bytes_hashed"] > 0
    assert model["notes"] == []


def test_every_problem_is_listed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1. Exit code 65. 2. People see the first of them. 3. Programs see all."""
    names = [name for name in FILES if name.endswith(".safetensors")]
    for name in names:
        damage(cache, name)
    assert main(["verify", str(cache)], {}) == 65
    error = capsys.readouterr().err
    assert f"with {SHARDS} problems:\n  {min(names)}: its content has the hash" in error
    assert "and 4 more" in error
    assert main(["verify", str(cache), "--json"], {}) == 65
    document = json.loads(capsys.readouterr().out)["error"]
    assert document["code"] == "failed-verification"
    assert sorted(problem["file"] for problem in document["problems"]) == sorted(names)


def test_a_structure_only_check_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_files(tmp_path / "m", FILES)
    assert main(["verify", str(source)], {}) == 0
    out, err = capsys.readouterr()
    assert "structure only" in out
    assert "without a manifest has no hashes" in err


def test_another_manifest_can_be_given(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that pack has put into a tarball, for the directory that it was made of."""
    source = write_files(tmp_path / "m", FILES)
    tarball = tmp_path / "m.tar"
    assert main(["pack", str(source), "--repository", "a/b", "-o", str(tarball)], {}) == 0
    content = tarball.read_bytes()
    start = content.index(b'{\n "format"')
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(content[start : content.index(b"\n}\n", start) + 3])
    command = ["verify", str(source), "--manifest", str(manifest)]
    assert main(command, {}) == 0
    (source / "config.json").write_bytes(b'{"a": 1}')
    assert main(command, {}) == 65
    assert "config.json: has 8 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{none}"], 66, "does not exist"),
        (["{cache}", "--manifest", "{none}"], 64, "is unusable: No such file or directory."),
        (["{cache}", "--signature", "{none}"], 64, "Add --public-key FILE"),
        (["{cache}", "--public-key", "a", "--certificate-chain", "b"], 64, "not allowed"),
    ],
)
def test_usage_mistakes_are_refused(
    tmp_path: Path,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    places = {"none": str(tmp_path / "none"), "cache": str(cache)}
    assert main(["verify", *(text.format(**places) for text in arguments)], {}) == code
    assert message in capsys.readouterr().err
