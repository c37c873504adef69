"""A model directory is complete, or each problem is reported with its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.errors import IncompleteModel
from entrypoint.store.disk.integrity import check_model
from tests.support.models import (
    UNPRIVILEGED,
    model_files,
    pickled,
    run_unprivileged,
    safetensors,
    write_files,
)
from tests.support.problems import texts


def problems_of(directory: Path) -> dict[str, str]:
    with pytest.raises(IncompleteModel) as caught:
        check_model(directory)
    assert all(name in caught.value.message for name in list(caught.value.problems)[:8])
    return texts(caught.value.problems)


class TestComplete:
    def test_the_size_of_all_files_is_returned(self, tmp_path: Path) -> None:
        files = model_files(shards=2)
        write_files(tmp_path, files)
        assert check_model(tmp_path) == sum(map(len, files.values()))

    @pytest.mark.parametrize(
        "files",
        [
            {"params.json": b"{}", "consolidated.safetensors": safetensors()},
            {"falcon.Q4_K_M.gguf": b"GGUF"},
            {"config.json": b"{}", "pytorch_model.bin": pickled(), "training_args.bin": b"x"},
            {"config.json": b"{}", "model.pt": pickled()},
        ],
        ids=["mistral", "gguf", "bin", "pt"],
    )
    def test_each_format_is_accepted(self, tmp_path: Path, files: dict[str, bytes]) -> None:
        assert check_model(write_files(tmp_path, files)) > 0

    def test_harmless_files_may_be_empty(self, tmp_path: Path) -> None:
        files = model_files() | {"README.md": b"", "__init__.py": b"", "sub/__init__.py": b""}
        assert check_model(write_files(tmp_path, files)) > 0

    def test_an_index_of_another_format_is_harmless(self, tmp_path: Path) -> None:
        index = json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}).encode()
        files = model_files(shards=2) | {"pytorch_model.bin.index.json": index}
        assert check_model(write_files(tmp_path, files)) > 0

    def test_hidden_folders_do_not_count(self, tmp_path: Path) -> None:
        files = model_files()
        write_files(tmp_path, files | {".git/config.json": b"", ".cache/model.safetensors": b""})
        assert check_model(tmp_path) == sum(map(len, files.values()))

    def test_links_are_followed(self, tmp_path: Path) -> None:
        write_files(tmp_path / "blobs", model_files())
        (tmp_path / "model").mkdir()
        for name in model_files():
            (tmp_path / "model" / name).symlink_to(f"../blobs/{name}")
        assert check_model(tmp_path / "model") == check_model(tmp_path / "blobs")


class TestMissing:
    def test_a_shard_in_the_index_is_required(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files(shards=3))
        (tmp_path / "model-00002-of-00003.safetensors").unlink()
        assert problems_of(tmp_path) == {
            "model-00002-of-00003.safetensors": "missing, listed in model.safetensors.index.json"
        }

    def test_every_missing_shard_is_reported(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files(shards=2))
        for shard in tmp_path.glob("*.safetensors"):
            shard.unlink()
        assert list(problems_of(tmp_path)) == [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ]

    def test_shards_of_a_pickle_checkpoint_are_required(self, tmp_path: Path) -> None:
        shards = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
        index = json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}).encode()
        files = {"config.json": b"{}", "pytorch_model.bin.index.json": index, shards[1]: pickled()}
        assert list(problems_of(write_files(tmp_path, files))) == [shards[0]]

    def test_without_an_index_a_gap_in_the_numbers_is_reported(self, tmp_path: Path) -> None:
        # the falcon-40b-instruct cache of the deployment guide has no index
        shards = (f"pytorch_model-0000{n}-of-00009.bin" for n in range(1, 10) if n != 4)
        files = dict.fromkeys(shards, pickled())
        write_files(tmp_path, {"config.json": b"{}", **files})
        assert list(problems_of(tmp_path)) == ["pytorch_model-00004-of-00009.bin"]

    def test_the_config_is_required(self, tmp_path: Path) -> None:
        write_files(tmp_path, {"model.safetensors": safetensors()})
        assert problems_of(tmp_path) == {"config.json": "missing"}

    def test_weights_are_required(self, tmp_path: Path) -> None:
        write_files(tmp_path, {"config.json": b"{}", "training_args.bin": b"x"})
        assert list(problems_of(tmp_path)) == ["*.safetensors"]


class TestUnusable:
    def test_a_dangling_link_is_reported_with_its_target(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        (tmp_path / "merges.txt").symlink_to("../../blobs/1234")
        assert problems_of(tmp_path) == {"merges.txt": "dangling link to ../../blobs/1234"}

    @pytest.mark.parametrize(
        "name",
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer.model", "merges.txt"],
    )
    def test_an_empty_file_is_reported(self, tmp_path: Path, name: str) -> None:
        write_files(tmp_path, model_files() | {name: b""})
        assert problems_of(tmp_path) == {name: "empty"}

    def test_an_empty_file_in_a_folder_is_reported(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files() | {"1_Pooling/config.json": b""})
        assert problems_of(tmp_path) == {"1_Pooling/config.json": "empty"}

    @pytest.mark.parametrize("lost", [1, 15, 16, 40, 10_000])
    def test_safetensors_shorter_than_the_header_promises_are_cut_short(
        self, tmp_path: Path, lost: int
    ) -> None:
        whole = safetensors()
        write_files(
            tmp_path, model_files() | {"model.safetensors": whole[: max(9, len(whole) - lost)]}
        )
        assert problems_of(tmp_path)["model.safetensors"].startswith("truncated: ")

    def test_safetensors_longer_than_the_header_promises_are_reported(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files() | {"model.safetensors": safetensors() + b"x"})
        assert problems_of(tmp_path)["model.safetensors"].startswith("too long: ")

    @pytest.mark.parametrize(
        "content",
        [b"<html>404</html>", (2).to_bytes(8, "little") + b"[]", (2).to_bytes(8, "little") + b"{,"],
    )
    def test_other_content_in_a_safetensors_file_is_reported(
        self, tmp_path: Path, content: bytes
    ) -> None:
        write_files(tmp_path, model_files() | {"model.safetensors": content})
        assert problems_of(tmp_path)["model.safetensors"].startswith("not a safetensors file")

    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
    def test_a_git_lfs_pointer_is_reported_with_the_command(
        self, tmp_path: Path, name: str
    ) -> None:
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n"
        write_files(tmp_path, {"config.json": b"{}", name: pointer})
        assert "git lfs pull" in problems_of(tmp_path)[name]

    @pytest.mark.parametrize(
        ("name", "content", "problem"),
        [
            ("config.json", b'{"a": 1', "not valid JSON"),
            ("config.json", b"[]", "not a JSON object"),
            ("config.json", b"\xff\xfe", "not valid JSON"),
            ("model.safetensors.index.json", b'{"weight_map"', "not valid JSON"),
            ("model.safetensors.index.json", b"{}", "weight_map is not an object"),
        ],
    )
    def test_invalid_json_is_reported(
        self, tmp_path: Path, name: str, content: bytes, problem: str
    ) -> None:
        write_files(tmp_path, model_files() | {name: content})
        assert problems_of(tmp_path)[name].startswith(problem)

    def test_an_unreadable_file_is_denied(self, public_path: Path) -> None:
        write_files(public_path, model_files())
        (public_path / "tokenizer.json").chmod(0)
        script = (
            "problems = examine_model(directory_files(Path(sys.argv[1])))[1]\n"
            "print({name: (p.kind.name, p.text) for name, p in problems.items()})"
        )
        done = run_unprivileged(script, public_path)
        problem = f"permission denied for uid {UNPRIVILEGED}"
        assert done.stdout.strip() == str({"tokenizer.json": ("DENIED", problem)})
