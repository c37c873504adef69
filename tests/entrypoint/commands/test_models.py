"""``inference-server models``: what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from entrypoint.store.tarballs.catalogue import CATALOGUE
from tests.support.environments import environment
from tests.support.models import COMMIT, pack, write_snapshot


def test_each_model_is_a_row_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_snapshot(tmp_path / "cache", "b/c")
    write_snapshot(tmp_path / "source", "a/b")
    archive = pack(tmp_path / "source", tmp_path / "a.tar")
    assert main(["models"], environment(tmp_path, MODEL_TARBALL=str(archive))) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["model", "revision", "size", "format", "where", "note"]
    assert first.split()[:3] == ["a/b", COMMIT, "main"]
    assert first.endswith(f"safetensors  {archive}")
    assert second.split()[0] == "b/c"


def test_json_has_every_field_of_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = write_snapshot(tmp_path / "cache", "a/b")
    assert main(["models", "--json"], environment(tmp_path, MODEL_ID="")) == 0
    printed = capsys.readouterr()
    (model,) = json.loads(printed.out)["models"]
    assert model.pop("bytes") > 0
    assert model == {
        "model": "a/b",
        "revision": COMMIT,
        "refs": ["main"],
        "formats": ["safetensors"],
        "source": "cache",
        "path": str(snapshot),
        "problem": None,
        "settings": {"MODEL_ID": "a/b"},
    }
    assert printed.err == ""


def test_the_listed_variables_plan_each_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_snapshot(tmp_path / "source", "a/b")
    write_snapshot(tmp_path / "source", "c/d")
    pack(tmp_path / "source", tmp_path / "many" / "two.tar.zst", "zstd")
    environ = environment(tmp_path, MODEL_ID="", MODEL_TARBALL=str(tmp_path / "many"))
    main(["models", "--full", "--json"], environ)
    models = json.loads(capsys.readouterr().out)["models"]
    assert [model["model"] for model in models] == ["a/b", "c/d"]
    for model in models:
        assert main(["plan", "--json"], {**environ, **model["settings"]}) == 0
        planned = json.loads(capsys.readouterr().out)["model"]
        assert (planned["repository"], planned["revision"]) == (model["model"], COMMIT)


def test_contents_of_tarballs_are_remembered_in_scratch(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "source", "a/b")
    pack(tmp_path / "source", tmp_path / "cache" / "a.tar")
    main(["models"], environment(tmp_path))
    assert (tmp_path / "scratch" / "inference-server" / CATALOGUE).is_file()


def test_without_models_the_searched_places_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"], environment(tmp_path)) == 0
    assert capsys.readouterr().out == f"no models in {tmp_path / 'cache'}\n"


def test_a_missing_tarball_is_a_setting_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"], environment(tmp_path, MODEL_TARBALL="/none.tar")) == 78
    assert "MODEL_TARBALL is '/none.tar'" in capsys.readouterr().err
