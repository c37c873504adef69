"""From an environment to a plan, over real files."""

import importlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import ModelNotFound, SettingError
from entrypoint.launch import loads_in_place, plan_launch, prepare_launch, read_inputs
from entrypoint.shared.handover import OPENVINO_MODEL_VARIABLE, Phase
from entrypoint.store.progress import Progress, ignore_progress
from entrypoint.store.tarballs.catalogue import CATALOGUE
from tests.support.environments import environment
from tests.support.models import (
    model_files,
    pack,
    write_files,
    write_snapshot,
)
from tests.support.object_stores import BUCKET, KEY, URI, S3StandIn, open_s3
from tests.support.samples import CPU, CUDA, asked


class TestModelId:
    def test_it_is_required(self) -> None:
        with pytest.raises(SettingError) as raised:
            read_inputs({})
        assert raised.value.variable == "MODEL_ID"

    def test_a_misspelled_model_id_is_named(self) -> None:
        with pytest.raises(SettingError, match="MODELID is"):
            read_inputs({"MODELID": "a/b"})

    def test_arg_may_give_it(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        environ = environment(tmp_path, MODEL_ID="", ARG="--model Org/Model")
        assert plan_launch(environ).model.repository == "Org/Model"


class TestPlan:
    def test_a_cached_model_is_planned_with_its_path(self, tmp_path: Path) -> None:
        snapshot = write_snapshot(tmp_path / "cache", "Org/Model")
        made = plan_launch(environment(tmp_path))
        assert made.argv[0] == str(snapshot)
        assert made.model.config["model_type"] == "falcon"

    def test_a_misspelled_variable_is_noted(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        made = plan_launch(environment(tmp_path, MODEL_SERVED_NAME="x"))
        assert [(n.level, n.variable) for n in made.notes] == [("warning", "MODEL_SERVED_NAME")]
        assert "MODEL_SERVE_NAME" in made.notes[0].message

    def test_planning_changes_no_file(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        before = sorted(tmp_path.rglob("*"))
        plan_launch(environment(tmp_path))
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_relative_cache_path_becomes_absolute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        monkeypatch.chdir(tmp_path)
        made = plan_launch(environment(tmp_path, HF_HUB_CACHE="cache"))
        assert Path(made.argv[0]).is_absolute()


class TestCatalogue:
    def test_serve_keeps_what_it_found_in_tarballs_and_plan_makes_no_folder_for_it(
        self, tmp_path: Path
    ) -> None:
        write_snapshot(tmp_path / "source", "Org/Model")
        pack(tmp_path / "source", tmp_path / "cache" / "a.tar.gz", "gzip")
        environ = environment(tmp_path)
        plan_launch(environ)
        assert not (tmp_path / "scratch").exists()
        prepare_launch(read_inputs(environ), lambda phase: None, ignore_progress)
        assert (tmp_path / "scratch" / "inference-server" / CATALOGUE).is_file()


class TestCacheRoots:
    def test_the_scratch_directory_takes_a_download_that_has_no_other_place(
        self, tmp_path: Path
    ) -> None:
        inputs = read_inputs(environment(tmp_path, HF_HUB_OFFLINE="0"))
        hub = tmp_path / "scratch" / "inference-server" / "hub"
        assert inputs.request.cache_roots == (tmp_path / "cache", hub)

    def test_offline_the_scratch_directory_is_no_cache_root(self, tmp_path: Path) -> None:
        assert read_inputs(environment(tmp_path)).request.cache_roots == (tmp_path / "cache",)


class TestPrepare:
    def test_the_scratch_directory_is_made(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        prepare_launch(read_inputs(environment(tmp_path)), lambda _: None, ignore_progress)
        assert (tmp_path / "scratch" / "inference-server").is_dir()

    def test_a_model_on_the_disk_is_not_fetched(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        phases: list[Phase] = []
        made = prepare_launch(read_inputs(environment(tmp_path)), phases.append, ignore_progress)
        assert made.model.source == "cache"
        assert phases == []

    def test_a_tarball_is_unpacked_once(self, tmp_path: Path) -> None:
        write_files(tmp_path / "packed" / "Model", model_files())
        pack(tmp_path / "packed", tmp_path / "cache" / "Model.tar.gz", "gzip")
        phases: list[Phase] = []
        read: list[Progress] = []
        inputs = read_inputs(environment(tmp_path))
        made = prepare_launch(inputs, phases.append, read.append)
        assert phases == [Phase.UNPACK]
        assert read[-1].done > 0
        assert made.model.path is not None
        assert (made.model.path / "model.safetensors").stat().st_size > 4
        assert made.model.config["model_type"] == "falcon"

        again = prepare_launch(inputs, phases.append, ignore_progress)
        assert phases == [Phase.UNPACK]
        assert again.model.path == made.model.path

    def test_a_model_for_openvino_is_converted_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a scripted converter: the real one is used end to end."""
        monkeypatch.setattr("entrypoint.hardware.detect.installed_openvino", lambda: "2026.4.1.0")
        write_snapshot(tmp_path / "cache", "Org/Model")
        converter = tmp_path / "bin" / "optimum-cli"
        converter.parent.mkdir()
        converter.write_text(
            "#!/bin/sh\nfor folder; do :; done\n"
            'touch "$folder/openvino_model.xml" "$folder/openvino_model.bin"\n'
        )
        converter.chmod(0o755)
        inputs = read_inputs(
            environment(tmp_path, ACCELERATOR="openvino", OPENVINO_CONVERTER=str(tmp_path))
        )
        phases: list[Phase] = []
        for _ in range(2):
            made = prepare_launch(inputs, phases.append, ignore_progress)
        assert phases == [Phase.CONVERT]
        assert Path(made.env[OPENVINO_MODEL_VARIABLE], "openvino_model.xml").is_file()

    def test_a_missing_model_fails_with_the_nearest_name(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        inputs = read_inputs(environment(tmp_path, MODEL_ID="Org/Modell"))
        with pytest.raises(ModelNotFound, match="Did you mean 'Org/Model'"):
            prepare_launch(inputs, lambda _: None, ignore_progress)


class TestArtifact:
    def test_a_plan_does_not_access_the_store(self, tmp_path: Path, s3: S3StandIn) -> None:
        made = plan_launch(environment(tmp_path, MODEL_ID=URI))
        assert made.served_model_names == ("tiiuae--falcon-7b-instruct",)
        assert made.model_dict()["source"] == "object-store"
        assert made.model_dict()["path"] is None
        assert s3.requests == []
        assert not (tmp_path / "scratch").exists()

    @pytest.mark.parametrize("variable", ["MODEL_ID", "STORAGE_URI"])
    def test_a_start_fetches_the_artifact_once(
        self, tmp_path: Path, s3: S3StandIn, variable: str
    ) -> None:
        write_snapshot(tmp_path / "source", "Org/Model")
        archive = pack(tmp_path / "source", tmp_path / "a.tar.gz", "gzip")
        open_s3().client.upload_file(str(archive), BUCKET, KEY)
        credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS")}
        environ = environment(tmp_path, **credentials, **{"MODEL_ID": "", variable: URI})
        phases: list[Phase] = []
        made = prepare_launch(read_inputs(environ), phases.append, ignore_progress)
        assert phases == [Phase.DOWNLOAD, Phase.UNPACK]
        assert made.served_model_names == ("Org--Model", "org--model")  # what it holds counts
        assert Path(made.argv[0]).is_relative_to(tmp_path / "scratch")
        again = prepare_launch(read_inputs(environ), phases.append, ignore_progress)
        assert again.argv == made.argv
        assert len(phases) == 2

    def test_a_plain_model_is_named_like_its_tarball(self, tmp_path: Path) -> None:
        archive = tmp_path / "Org--Model.tar.gz"
        pack(write_files(tmp_path / "source", model_files()), archive, "gzip")
        made = plan_launch(environment(tmp_path, MODEL_ID=f"file://{archive}"))
        assert made.served_model_names == ("Org--Model", "org--model")

    def test_a_plan_hides_the_signature_in_a_uri(self, tmp_path: Path) -> None:
        uri = "https://acc.blob.core.windows.net/c/Org--Model.tar?se=2030&sig=c2VjcmV0"
        made = plan_launch(environment(tmp_path, MODEL_ID=uri))
        assert "sig=" not in str(made.as_dict())


class TestLoadsInPlace:
    """Whether the engine loads weights from inside a tarball."""

    @pytest.mark.parametrize(
        "arg",
        ["--load-format auto", "--model-loader-extra-config {}", "--quantization bitsandbytes"],
    )
    def test_not_if_the_user_chooses_a_loader(self, arg: str) -> None:
        assert loads_in_place(asked(ARG="--max-model-len 10"), CUDA)
        assert not loads_in_place(asked(ARG=arg), CUDA)

    def test_not_with_openvino(self) -> None:
        assert not loads_in_place(asked(), replace(CPU, kind="openvino"))

    @pytest.mark.parametrize(("version", "used"), [("0.32.0+cpu", True), ("0.26.0", False)])
    def test_only_with_the_vllm_that_was_tested(self, version: str, used: bool) -> None:
        assert loads_in_place(asked(), replace(CPU, vllm_version=version)) is used


class TestOnce:
    def test_a_cached_model_is_planned_once_and_arg_parsed_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        calls: list[str] = []
        for module, name in (
            ("planning.asked", "read_arguments"),
            ("launch", "make_plan"),
            ("launch", "read_codes"),
        ):
            original = getattr(importlib.import_module(f"entrypoint.{module}"), name)

            def counted(*args: Any, name: str = name, original: Any = original) -> Any:
                calls.append(name)
                return original(*args)

            monkeypatch.setattr(f"entrypoint.{module}.{name}", counted)
        environ = environment(tmp_path, ARG="--max-model-len 10", TRUST_REMOTE_CODE="1")
        prepare_launch(read_inputs(environ), lambda _: None, ignore_progress)
        assert calls == ["read_arguments", "read_codes", "make_plan"]
