"""From an environment to a plan, over real files."""

from pathlib import Path

import pytest

from entrypoint.errors import ModelNotFound, SettingError
from entrypoint.launch import draft, plan_launch, prepare_launch
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


class TestModelId:
    def test_missing(self) -> None:
        with pytest.raises(SettingError) as raised:
            draft({})
        assert raised.value.variable == "MODEL_ID"

    def test_missing_and_a_near_miss_is_there(self) -> None:
        with pytest.raises(SettingError, match="MODELID is"):
            draft({"MODELID": "a/b"})

    def test_from_arg(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        environ = environment(tmp_path, MODEL_ID="", ARG="--model Org/Model")
        assert plan_launch(environ).model.repository == "Org/Model"


class TestPlan:
    def test_a_cache(self, tmp_path: Path) -> None:
        snapshot = write_snapshot(tmp_path / "cache", "Org/Model")
        made = plan_launch(environment(tmp_path))
        assert made.argv[0] == str(snapshot)
        assert made.model.config["architectures"] == ["FalconForCausalLM"]

    def test_a_near_miss_is_noted(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        made = plan_launch(environment(tmp_path, MODEL_SERVED_NAME="x"))
        assert [(n.level, n.variable) for n in made.notes] == [("warning", "MODEL_SERVED_NAME")]
        assert "MODEL_SERVE_NAME" in made.notes[0].message

    def test_it_changes_nothing(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        before = sorted(tmp_path.rglob("*"))
        plan_launch(environment(tmp_path))
        assert sorted(tmp_path.rglob("*")) == before

    def test_the_cache_of_a_relative_path(
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
        prepare_launch(draft(environ), lambda phase: None, ignore_progress)
        assert (tmp_path / "scratch" / "inference-server" / CATALOGUE).is_file()


class TestCacheRoots:
    def test_the_scratch_directory_takes_a_download_that_has_no_other_place(
        self, tmp_path: Path
    ) -> None:
        drafted = draft(environment(tmp_path, HF_HUB_OFFLINE="0"))
        hub = tmp_path / "scratch" / "inference-server" / "hub"
        assert drafted.request.cache_roots == (tmp_path / "cache", hub)

    def test_offline_nothing_can_be_there(self, tmp_path: Path) -> None:
        assert draft(environment(tmp_path)).request.cache_roots == (tmp_path / "cache",)


class TestPrepare:
    def test_the_scratch_directory_is_there_afterwards(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        prepare_launch(draft(environment(tmp_path)), lambda _: None, ignore_progress)
        assert (tmp_path / "scratch" / "inference-server").is_dir()

    def test_a_model_on_the_disk_is_not_fetched(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        phases: list[Phase] = []
        made = prepare_launch(draft(environment(tmp_path)), phases.append, ignore_progress)
        assert made.model.source == "cache"
        assert phases == []

    def test_a_tarball_is_unpacked_once(self, tmp_path: Path) -> None:
        write_files(tmp_path / "packed" / "Model", model_files())
        pack(tmp_path / "packed", tmp_path / "cache" / "Model.tar.gz", "gzip")
        phases: list[Phase] = []
        read: list[Progress] = []
        drafted = draft(environment(tmp_path))
        made = prepare_launch(drafted, phases.append, read.append)
        assert phases == [Phase.UNPACK]
        assert read[-1].done > 0
        assert made.model.path is not None
        assert (made.model.path / "model.safetensors").stat().st_size > 4
        assert made.model.config["architectures"] == ["FalconForCausalLM"]

        again = prepare_launch(drafted, phases.append, ignore_progress)
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
        drafted = draft(
            environment(tmp_path, ACCELERATOR="openvino", OPENVINO_CONVERTER=str(tmp_path))
        )
        phases: list[Phase] = []
        for _ in range(2):
            made = prepare_launch(drafted, phases.append, ignore_progress)
        assert phases == [Phase.CONVERT]
        assert Path(made.env[OPENVINO_MODEL_VARIABLE], "openvino_model.xml").is_file()

    def test_a_miss(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        drafted = draft(environment(tmp_path, MODEL_ID="Org/Modell"))
        with pytest.raises(ModelNotFound, match="Did you mean 'Org/Model'"):
            prepare_launch(drafted, lambda _: None, ignore_progress)


class TestArtifact:
    def test_a_plan_asks_no_store(self, tmp_path: Path, s3: S3StandIn) -> None:
        made = plan_launch(environment(tmp_path, MODEL_ID=URI))
        assert made.served_model_names == ("tiiuae--falcon-7b-instruct",)
        assert made.model_dict()["source"] == "object-store"
        assert made.model_dict()["path"] is None
        assert s3.requests == []
        assert not (tmp_path / "scratch").exists()

    @pytest.mark.parametrize("variable", ["MODEL_ID", "STORAGE_URI"])
    def test_a_start_fetches_it(self, tmp_path: Path, s3: S3StandIn, variable: str) -> None:
        write_snapshot(tmp_path / "source", "Org/Model")
        archive = pack(tmp_path / "source", tmp_path / "a.tar.gz", "gzip")
        open_s3().client.upload_file(str(archive), BUCKET, KEY)
        environ = environment(tmp_path, **{"MODEL_ID": "", variable: URI})
        phases: list[Phase] = []
        made = prepare_launch(draft(environ), phases.append, ignore_progress)
        assert phases == [Phase.DOWNLOAD, Phase.UNPACK]
        assert made.served_model_names == ("Org--Model", "org--model")  # what it holds counts
        assert Path(made.argv[0]).is_relative_to(tmp_path / "scratch")
        again = prepare_launch(draft(environ), phases.append, ignore_progress)
        assert again.argv == made.argv
        assert len(phases) == 2

    def test_a_plain_model_is_called_like_its_tarball(self, tmp_path: Path) -> None:
        archive = tmp_path / "Org--Model.tar.gz"
        pack(write_files(tmp_path / "source", model_files()), archive, "gzip")
        made = plan_launch(environment(tmp_path, MODEL_ID=f"file://{archive}"))
        assert made.served_model_names == ("Org--Model", "org--model")

    def test_no_secret_of_a_uri_is_in_the_plan(self, tmp_path: Path) -> None:
        uri = "https://acc.blob.core.windows.net/c/Org--Model.tar?se=2030&sig=c2VjcmV0"
        made = plan_launch(environment(tmp_path, MODEL_ID=uri))
        assert "sig=" not in str(made.as_dict())
