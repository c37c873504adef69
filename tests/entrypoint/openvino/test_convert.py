"""Conversions by a scripted stand-in for optimum-intel, which can fail.

The real converter runs in tests/server/openvino and tests/end_to_end/test_openvino.py.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from entrypoint.errors import ArtifactError, MachineError, StorageError
from entrypoint.openvino import convert as module
from entrypoint.openvino.convert import convert, converter_environment, find_converter
from entrypoint.openvino.weights import Weights, choose_weights
from entrypoint.store.model import Model
from entrypoint.store.writing import room

CONVERTS = """
echo "$@" >> "$LOG"
for folder; do :; done
touch "$folder/openvino_model.xml" "$folder/openvino_model.bin"
"""
FAILS = 'for i in $(seq 30); do echo "line $i" >&2; done; exit 3'
SAYS_NOTHING = "exit 0"
IS_KILLED = "kill -KILL $$"


@pytest.fixture
def model(tmp_path: Path) -> Model:
    source = tmp_path / "model"
    source.mkdir()
    return Model("cache", source, "Org/Model", "abc", None, 1000, ())


@pytest.fixture
def weights(model: Model, tmp_path: Path) -> Weights:
    return choose_weights(model, False, tmp_path / "scratch")


def scripted(tmp_path: Path, script: str) -> Path:
    """Return a converter that runs a shell script."""
    command = tmp_path / "bin" / "optimum-cli"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    return command


def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LOG": str(tmp_path / "log")}


class TestConverting:
    def test_a_model_is_converted_once(
        self, tmp_path: Path, model: Model, weights: Weights
    ) -> None:
        command = scripted(tmp_path, CONVERTS)
        for _ in range(2):
            convert(model, weights, command, environment(tmp_path), trust_remote_code=False)
        assert weights.complete
        (line,) = (tmp_path / "log").read_text().splitlines()
        assert f"export openvino --model {model.path}" in line
        assert "--weight-format fp16" in line
        assert "--trust-remote-code" not in line

    def test_an_int8_conversion_runs_remote_code_from_a_temporary_folder(
        self, tmp_path: Path, model: Model
    ) -> None:
        weights = choose_weights(model, True, tmp_path / "scratch")
        copies = tmp_path / "copies"
        command = scripted(tmp_path, f'echo "$HF_MODULES_CACHE" > {copies}\n{CONVERTS}')
        planted = environment(tmp_path) | {"HF_MODULES_CACHE": str(tmp_path)}
        convert(model, weights, command, planted, trust_remote_code=True)
        line = (tmp_path / "log").read_text()
        assert "--weight-format int8 --trust-remote-code" in line
        # copies of the code are run: in a folder of this conversion's, gone after it
        assert copies.read_text().strip() not in ("", str(tmp_path))
        assert not Path(copies.read_text().strip()).exists()

    def test_one_of_several_processes_converts(
        self, tmp_path: Path, model: Model, weights: Weights
    ) -> None:
        command = scripted(tmp_path, "sleep 0.2\n" + CONVERTS)
        threads = [
            threading.Thread(
                target=convert, args=(model, weights, command, environment(tmp_path), False)
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert weights.complete
        assert len((tmp_path / "log").read_text().splitlines()) == 1

    def test_the_partial_folder_of_a_killed_process_is_removed(
        self, tmp_path: Path, model: Model, weights: Weights
    ) -> None:
        left = weights.path.with_name(f".{weights.path.name}.12345.partial")
        left.mkdir(parents=True)
        convert(model, weights, scripted(tmp_path, CONVERTS), environment(tmp_path), False)
        assert not left.exists()
        assert weights.complete


class TestFailing:
    def test_the_end_of_the_output_is_shown(
        self, tmp_path: Path, model: Model, weights: Weights
    ) -> None:
        with pytest.raises(ArtifactError, match="exit code 3") as raised:
            convert(model, weights, scripted(tmp_path, FAILS), environment(tmp_path), False)
        assert "line 30" in raised.value.message
        assert "line 2\n" not in raised.value.message
        assert not weights.path.exists()
        assert not list(weights.path.parent.glob(".*.partial"))

    def test_a_killed_converter_hints_at_memory(
        self, tmp_path: Path, model: Model, weights: Weights
    ) -> None:
        with pytest.raises(ArtifactError, match="run out of memory"):
            convert(model, weights, scripted(tmp_path, IS_KILLED), environment(tmp_path), False)

    def test_a_converter_that_writes_no_model_has_failed(
        self, tmp_path: Path, model: Model, weights: Weights
    ) -> None:
        with pytest.raises(ArtifactError):
            convert(model, weights, scripted(tmp_path, SAYS_NOTHING), environment(tmp_path), False)
        assert not weights.complete

    def test_too_little_room_is_reported_before_converting(
        self, tmp_path: Path, model: Model, weights: Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "free_bytes", lambda folder: 10)
        with pytest.raises(StorageError, match="only 10 are free"):
            convert(model, weights, scripted(tmp_path, CONVERTS), environment(tmp_path), False)


class TestFinding:
    def test_the_configured_environment_is_used(self, tmp_path: Path) -> None:
        command = scripted(tmp_path, CONVERTS)
        assert find_converter(tmp_path) == command

    def test_a_missing_converter_names_the_variable(self, tmp_path: Path) -> None:
        with pytest.raises(MachineError, match=str(tmp_path)) as raised:
            find_converter(tmp_path)
        assert raised.value.variable == "OPENVINO_CONVERTER"

    def test_the_first_installed_default_environment_is_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = scripted(tmp_path, CONVERTS)
        monkeypatch.setattr(module, "ENVIRONMENTS", (tmp_path / "missing", tmp_path))
        assert find_converter(None) == command


def test_the_converter_runs_offline_with_its_own_packages() -> None:
    environ = {"HOME": "/", "PYTHONPATH": "/x", "HF_HUB_OFFLINE": "0"}
    added = {"HOME": "/scratch/home", "LD_PRELOAD": "/lib/x.so"}
    made = converter_environment(environ, added)
    assert made["HOME"] == "/scratch/home"
    assert made["HF_HUB_OFFLINE"] == "1"
    assert not {"PYTHONPATH", "LD_PRELOAD"} & set(made)
