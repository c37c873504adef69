"""The words that each key of a configuration file stands for."""

from pathlib import Path

import pytest

from entrypoint.arg.config_file import read_config_file
from entrypoint.errors import SettingError
from entrypoint.note import Note
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.config_words import config_words
from entrypoint.options.source import line_of


def read(tmp_path: Path, content: str) -> tuple[list[str], list[Note]]:
    file = tmp_path / "vllm.yaml"
    file.write_text(content)
    notes: list[Note] = []
    words = [
        word
        for entry in read_config_file(str(file)).entries
        for word in config_words(entry, load_catalogue(), line_of(file, entry.line), notes)
    ]
    return words, notes


class TestWords:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("port: 8001", ["--port=8001"]),
            ("max_model_len: 4k", ["--max_model_len=4k"]),
            ("max-model-len: -1", ["--max-model-len=-1"]),
            ("enforce-eager: true", ["--enforce-eager"]),
            ("enforce-eager: yes", ["--enforce-eager"]),
            ("enforce-eager: false", ["--no-enforce-eager"]),
            ("enable_prefix_caching: off", ["--no-enable-prefix-caching"]),
            ("no-enable-prefix-caching: true", ["--no-enable-prefix-caching"]),
            ("headless: false", []),
            ("hf-token: true", ["--hf-token"]),
            ("hf-token: abc", ["--hf-token=abc"]),
            ("served-model-name: a", ["--served-model-name=a"]),
            ("served-model-name: [a]", ["--served-model-name=a"]),
            ("served-model-name: [a, b]", ["--served-model-name", "a", "b"]),
            ("served-model-name:\n- a\n- b", ["--served-model-name", "a", "b"]),
            ("served-model-name: []", []),
            ("middleware: [a, b]", ["--middleware=a", "--middleware=b"]),
            ('allowed-origins: ["*"]', ['--allowed-origins=["*"]']),
            (
                "compilation-config:\n  mode: 3\n  pass_config: {a: true}",
                ['--compilation-config={"mode": 3, "pass_config": {"a": true}}'],
            ),
            ("compilation-config.mode: 3", ["--compilation-config.mode=3"]),
            ("hf-overrides.a.b: true", ["--hf-overrides.a.b=true"]),
            ("hf-overrides.a: [1, 2]", ["--hf-overrides.a=[1, 2]"]),
            (
                "lora-modules: [{name: a, path: /b}, c=/d]",
                ["--lora-modules", '{"name": "a", "path": "/b"}', "c=/d"],
            ),
            ("compilation-config: '{\"mode\": 3}'", ['--compilation-config={"mode": 3}']),
            ("quantization: null", ["--quantization=None"]),
            ("disable-log-requests: true", ["--disable-log-requests=true"]),
            ("enable-chunked-prefill: 'true'", ["--enable-chunked-prefill=true"]),
            ("unknown-option: true", ["--unknown-option"]),
            ("unknown-option: [1, 2]", ["--unknown-option", "1", "2"]),
        ],
    )
    def test_a_value_becomes_words(self, tmp_path: Path, content: str, expected: list[str]) -> None:
        assert read(tmp_path, content) == (expected, [])

    @pytest.mark.parametrize(
        ("content", "words", "note"),
        [
            ("revision: 1.10", ["--revision=1.1"], "YAML reads revision: 1.10 as 1.1"),
            ("revision: 0123", ["--revision=83"], "YAML reads revision: 0123 as 83"),
            ("tokenizer: 1_0", ["--tokenizer=10"], "YAML reads tokenizer: 1_0 as 10"),
            ("no-enforce-eager: false", [], "Write enforce-eager: true"),
        ],
    )
    def test_what_yaml_or_vllm_changes_leaves_a_warning(
        self, tmp_path: Path, content: str, words: list[str], note: str
    ) -> None:
        read_words, notes = read(tmp_path, content)
        assert read_words == words
        assert [n.level for n in notes] == ["warning"]
        assert note in notes[0].message

    @pytest.mark.parametrize(
        "content", ["revision: '1.10'", "revision: v1.10", "max-num-seqs: 0x10", "seed: 1_0"]
    )
    def test_any_other_value_leaves_no_note(self, tmp_path: Path, content: str) -> None:
        assert read(tmp_path, content)[1] == []


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("dtype:", "dtype has no value"),
            ("max-model-len: ~", "max-model-len has no value"),
            ("unknown:", "unknown has no value"),
            ("enforce-eager:", "enforce-eager takes true or false"),
            ("headless: 1", "headless takes true or false, not 1"),
            ("host: off", "YAML reads off as false"),
            ("max-model-len: true", "YAML reads true as true"),
            ("served-model-name: no", "YAML reads no as false"),
            ("max-model-len: [1, 2]", "max-model-len takes one value, not a list"),
            ("--host: x", "the key '--host' is not an option's name. Did you mean host?"),
            ("max model len: 1", "Did you mean max-model-len?"),
            ("host=x: 1", "is not an option's name"),
            ("config: other.yaml", "cannot name another one"),
            ("model_tag: a/b", "Did you mean model?"),
        ],
    )
    def test_it_names_the_line_and_the_key(
        self, tmp_path: Path, content: str, message: str
    ) -> None:
        with pytest.raises(SettingError) as caught:
            read(tmp_path, f"seed: 1\n{content}\n")
        assert message in caught.value.message
        assert f"--config {tmp_path / 'vllm.yaml'}, line 2: " in caught.value.message
        assert caught.value.variable == "ARG"
