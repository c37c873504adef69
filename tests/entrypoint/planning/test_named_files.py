"""The files and folders that options name are checked before the engine starts."""

import json
from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.note import Note
from entrypoint.options.catalogue import load_catalogue
from entrypoint.planning.named_files import ADAPTERS, CHECKS, MODELS, check_named_files
from tests.support.samples import MODEL, asked


def check(arg: str = "", **variables: str) -> tuple[Note, ...]:
    return check_named_files(asked(ARG=arg, **variables), MODEL)


def refusal(arg: str = "", variable: str = "ARG", **variables: str) -> SettingError:
    with pytest.raises(SettingError) as caught:
        check(arg, **variables)
    assert caught.value.variable == variable
    assert caught.value.message.startswith(f"{variable}: ")
    return caught.value


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    config = {"r": 32, "base_model_name_or_path": "Meta/Llama"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_every_checked_option_exists() -> None:
    assert {*CHECKS, *MODELS, *ADAPTERS} <= load_catalogue().by_spelling.keys()


@pytest.mark.parametrize("option", sorted({*CHECKS, *MODELS}))
def test_a_missing_path_is_refused_with_the_option(option: str) -> None:
    value = "/missing/x.py"
    if option == "--speculative-config":
        value = json.dumps({"model": value, "num_speculative_tokens": 1})
    error = refusal(f"{option}='{value}'")
    assert f"{option} '/missing/x.py' does not exist" in error.message


def test_files_and_folders_that_exist_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text("x = 1\n")
    for name in ("tokenizer.json", "config.json", "generation_config.json"):
        (tmp_path / name).write_text("{}")
    check(
        f"--tool-parser-plugin {file} --reasoning-parser-plugin package.module "
        f"--ssl-ca-certs {file} --allowed-local-media-path {tmp_path} --tokenizer {tmp_path} "
        f"--generation-config {tmp_path} --hf-config-path {tmp_path} "
        f"--speculative-config.model {tmp_path} --speculative-config.num_speculative_tokens 2 "
        f"--log-config-file {file} --chat-template {file}"
    )


@pytest.mark.parametrize(
    "arg",
    [
        "--generation-config auto",
        "--generation-config vllm",
        '--speculative-config \'{"method": "ngram", "num_speculative_tokens": 2}\'',
        "--speculative-config.model ngram",
        "--tokenizer None",
        "--tokenizer other/model",
        "--tokenizer gpt2",
        "--chat-template '{{ messages }}'",
        "--tool-parser-plugin ''",
    ],
)
def test_what_is_no_path_is_accepted(arg: str) -> None:
    assert check(arg) == ()


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--tokenizer", "does not contain a tokenizer"),
        ("--hf-config-path", "does not contain config.json"),
        ("--generation-config", "does not contain generation_config.json"),
        ("--chat-template", "cannot be read: Is a directory"),
        ("--tool-parser-plugin", "is not a file"),
        ("--ssl-ca-certs", "is not a file"),
    ],
)
def test_an_empty_folder_is_refused(tmp_path: Path, option: str, problem: str) -> None:
    assert problem in refusal(f"{option} {tmp_path}").message


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "vocab.txt", "tekken.json"])
def test_a_folder_with_any_tokenizer_is_accepted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    check(f"--tokenizer {tmp_path}")
    check(TOKENIZER=str(tmp_path))


class TestTokenizer:
    def test_the_variable_is_named(self, tmp_path: Path) -> None:
        error = refusal(TOKENIZER=str(tmp_path), variable="TOKENIZER")
        assert "does not contain a tokenizer" in error.message
        assert "does not exist" in refusal(TOKENIZER="/missing", variable="TOKENIZER").message

    def test_the_models_own_is_not_checked(self) -> None:
        check(TOKENIZER="Meta/Llama", HF_HUB_OFFLINE="1")

    def test_the_option_wins_over_the_variable(self, tmp_path: Path) -> None:
        (tmp_path / "tokenizer.json").write_text("{}")
        check(f"--tokenizer {tmp_path}", TOKENIZER="/missing")

    @pytest.mark.parametrize("offline", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
    def test_a_repository_must_be_in_the_cache_without_a_network(
        self, tmp_path: Path, offline: str
    ) -> None:
        variables = {"TOKENIZER": "other/model", "HF_HUB_CACHE": str(tmp_path), offline: "1"}
        error = refusal(variable="TOKENIZER", **variables)
        assert str(tmp_path) in error.message
        assert f"{offline} forbids" in error.message
        assert "inference-server download other/model" in (error.hint or "")
        (tmp_path / "models--other--model").mkdir()
        check(**variables)


class TestAdapters:
    @pytest.mark.parametrize("form", ["sql={}", '{{"name": "sql", "path": "{}"}}'])
    def test_an_adapter_is_accepted_in_every_form(self, adapter: Path, form: str) -> None:
        arg = f"--enable-lora --max-lora-rank 64 --lora-modules '{form.format(adapter)}'"
        assert check(arg) == ()

    def test_a_rank_above_the_limit_names_the_option_that_raises_it(self, adapter: Path) -> None:
        error = refusal(f"--enable-lora --lora-modules sql={adapter}")
        assert "has rank 32, more than --max-lora-rank 16" in error.message
        assert error.hint == "Add --max-lora-rank 32 to ARG."

    def test_a_missing_switch_is_named(self, adapter: Path) -> None:
        for switch in ("", "--no-enable-lora"):
            error = refusal(f"--lora-modules sql={adapter} {switch}")
            assert error.hint == "Add --enable-lora to ARG."

    def test_another_base_model_leaves_a_note(self, adapter: Path) -> None:
        config = {"r": 8, "base_model_name_or_path": "other/base"}
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        (note,) = check(f"--enable-lora --lora-modules sql={adapter}")
        assert note.level == "info"
        assert "was trained for other/base, and the model is Meta/Llama" in note.message

    def test_each_adapter_is_checked(self, adapter: Path) -> None:
        arg = f"--enable-lora --max-lora-rank 32 --lora-modules a={adapter} b=/missing"
        assert "--lora-modules '/missing' does not exist" in refusal(arg).message
        loras = json.dumps({"audio": "/missing"})
        assert "'/missing' does not exist" in refusal(f"--default-mm-loras '{loras}'").message

    def test_a_repository_must_be_in_the_cache_without_a_network(self, tmp_path: Path) -> None:
        arg = "--enable-lora --lora-modules a=org/adapter"
        check(arg, HF_HUB_CACHE=str(tmp_path))
        error = refusal(arg, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="1")
        assert "--lora-modules 'org/adapter' is neither a folder nor in the cache" in error.message


def test_a_path_in_the_configuration_file_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "vllm.yaml"
    file.write_text("seed: 1\nchat-template: /missing\n")
    with pytest.raises(SettingError) as caught:
        check(f"--config {file}")
    assert caught.value.message == (
        f"--config {file}, line 2: --chat-template '/missing' does not exist."
    )
