"""Whether the engine can load a folder, and the next step if it cannot.

``tests/server/test_loader_rules.py`` compares the same folders with vLLM's own loaders.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.errors import IncompleteModel, InferenceServerError, UnloadableModel
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.loadable import check_directory, examine_loadable, read_weights
from entrypoint.store.disk.loading import Loading
from tests.support.layouts import CONFIG, LAYOUTS, Layout, look_alike
from tests.support.models import model_files, run_unprivileged, safetensors, write_files

BASE = {"config.json": json.dumps(CONFIG).encode()}


def refusal(folder: Path, loading: Loading | None = None) -> InferenceServerError:
    """Return the error of a folder that the engine cannot load."""
    with pytest.raises(InferenceServerError) as caught:
        check_directory(folder, loading or Loading())
    return caught.value


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_each_folder_is_accepted_or_the_error_names_the_next_step(
    layout: Layout, tmp_path: Path
) -> None:
    folder = layout.write(tmp_path / "model", look_alike)
    if layout.expected is None:
        assert check_directory(folder, Loading(layout.load_format)) > 0
        return
    error = refusal(folder, Loading(layout.load_format))
    assert error.exit_code == 65
    assert layout.expected in error.in_words()


class TestAdapters:
    @pytest.mark.parametrize(
        ("adapter", "says"),
        [
            (
                {"peft_type": "LORA", "r": 64, "base_model_name_or_path": "o/b"},
                "--max-lora-rank 64",
            ),
            ({"peft_type": "LORA"}, "MODEL_ID=<its base model>"),
            ({"peft_type": "PROMPT_TUNING", "base_model_name_or_path": "o/b"}, "merge_and_unload"),
            ([], "--enable-lora --lora-modules model="),
        ],
    )
    @pytest.mark.parametrize("base", [{}, BASE], ids=["alone", "with config.json"])
    def test_an_adapter_names_its_base_model_and_the_option(
        self, adapter: object, says: str, base: dict[str, bytes], tmp_path: Path
    ) -> None:
        files = {"adapter_config.json": json.dumps(adapter).encode()}
        files |= {"adapter_model.safetensors": safetensors(), **base}
        error = refusal(write_files(tmp_path / "model", files))
        assert isinstance(error, UnloadableModel)
        assert says in error.in_words()

    def test_an_adapter_in_a_cache_has_the_name_of_its_repository(self, tmp_path: Path) -> None:
        folder = tmp_path / "models--me--sql" / "snapshots" / "abc"
        error = refusal(write_files(folder, {"adapter_config.json": b"{}"}))
        assert f"--lora-modules sql={folder}" in str(error.hint)


class TestConfiguration:
    def test_weights_without_a_configuration_are_incomplete(self, tmp_path: Path) -> None:
        error = refusal(write_files(tmp_path, {"model.safetensors": safetensors()}))
        assert isinstance(error, IncompleteModel)
        assert "config.json from the model that it was made from" in str(error.hint)

    def test_a_type_may_come_from_an_option(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files() | {"config.json": b'{"architectures": ["A"]}'})
        assert check_directory(tmp_path, Loading(own_config=False)) > 0
        assert "has no model_type" in refusal(tmp_path, Loading(own_config=True)).message

    def test_a_missing_tokenizer_has_its_own_hint(self, tmp_path: Path) -> None:
        write_files(tmp_path, BASE | {"model.safetensors": safetensors()})
        assert check_directory(tmp_path, Loading()) > 0
        error = refusal(tmp_path, Loading(own_tokenizer=True))
        assert "TOKENIZER" in str(error.hint)
        assert "--skip-tokenizer-init" in str(error.hint)


class TestNested:
    @pytest.mark.parametrize("below", ["model", "snapshots/abc", "a/b"])
    def test_a_model_below_is_named(self, below: str, tmp_path: Path) -> None:
        write_files(tmp_path / below, model_files())
        assert f"MODEL_ID={tmp_path / below}." in str(refusal(tmp_path).hint)

    def test_several_models_below_are_listed(self, tmp_path: Path) -> None:
        for number in (500, 1000):
            write_files(tmp_path / f"checkpoint-{number}", model_files())
        error = refusal(tmp_path)
        assert "checkpoint-500, checkpoint-1000" in error.message
        assert "checkpoint-1000." in str(error.hint)


class TestFilesThatAreNotRead:
    @pytest.mark.parametrize(
        "name",
        ["original/params.json", "onnx/model.onnx", "README.md", "lost.bin", ".cache/config.json"],
    )
    def test_a_dangling_link_that_is_not_read_is_harmless(self, name: str, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to("nowhere")
        assert check_directory(tmp_path, Loading()) > 0

    @pytest.mark.parametrize("name", ["1_Pooling/config.json", "additional_chat_templates/a.jinja"])
    def test_files_of_modules_and_templates_are_read(self, name: str, tmp_path: Path) -> None:
        modules = [{"path": ""}, {"path": "1_Pooling"}]
        files = {"modules.json": json.dumps(modules).encode(), name: b""}
        error = refusal(write_files(tmp_path, model_files() | files))
        assert f"{name} (empty)" in error.message

    def test_loops_of_links_are_harmless(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        (tmp_path / "loop").symlink_to(".")
        (tmp_path / "self.md").symlink_to("self.md")
        assert check_directory(tmp_path, Loading()) > 0

    @pytest.mark.parametrize("name", ["lost+found", ".snapshot", ".Trash", "original"])
    def test_an_unreadable_folder_that_is_not_read_is_harmless(
        self, name: str, public_path: Path
    ) -> None:
        write_files(public_path, model_files())
        (public_path / name).mkdir(mode=0)
        script = (
            "from entrypoint.store.disk.loadable import check_directory\n"
            "from entrypoint.store.disk.loading import Loading\n"
            "print(check_directory(Path(sys.argv[1]), Loading()))"
        )
        done = run_unprivileged(script, public_path)
        assert int(done.stdout) > 0, done.stderr


def test_only_the_weights_that_are_read_are_counted(tmp_path: Path) -> None:
    write_files(tmp_path, model_files(shards=2) | {"extra.safetensors": b"x", "pytorch.bin": b"x"})
    names = read_weights(directory_files(tmp_path), "auto")
    assert names == [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    assert read_weights(directory_files(tmp_path), "dummy") == []


def test_thousands_of_files_are_listed_but_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, model_files() | {f"data/{n % 50}/{n}.json": b"" for n in range(5000)})
    files = directory_files(tmp_path)
    read: list[str] = []
    plain = type(files).read

    def counted(self: object, name: str, count: int = -1, offset: int = 0) -> bytes:
        read.append(name)
        return plain(files, name, count, offset)

    monkeypatch.setattr(type(files), "read", counted)
    assert examine_loadable(files, Loading())[1] == {}
    assert set(read) == {"config.json", "model.safetensors"}
