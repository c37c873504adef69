"""ARG: splitting, spellings, values, and what the errors and notes say."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.errors import SettingError, UnknownOption
from entrypoint.options.arguments import Parsed, parse, split
from entrypoint.options.catalogue import load_catalogue


def read(text: str) -> Parsed:
    return parse(split(text), load_catalogue())


def words(text: str) -> list[str]:
    return [word for argument in read(text).arguments for word in argument.words]


def refusal(text: str) -> SettingError:
    with pytest.raises(SettingError) as caught:
        read(text)
    assert caught.value.variable == "ARG"
    assert caught.value.exit_code == 78
    return caught.value


class TestSplit:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            ("  \n\t ", []),
            ("--a  b\n--c", ["--a", "b", "--c"]),
            ("--chat-template '{{ x }}'", ["--chat-template", "{{ x }}"]),
            ('--x \'{"a": "b c"}\'', ["--x", '{"a": "b c"}']),
            ('--x "{\\"a\\": 1}"', ["--x", '{"a": 1}']),
            (r"--x a\ b", ["--x", "a b"]),
            ("--x ''", ["--x", ""]),
            ("--x a'b c'\"d e\"", ["--x", "ab cd e"]),
            ("--x a#b # c", ["--x", "a#b", "#", "c"]),
            ("--x $HOME `id` *", ["--x", "$HOME", "`id`", "*"]),
            ("--x a;b|c&d(e)", ["--x", "a;b|c&d(e)"]),
        ],
    )
    def test_it_splits_like_a_shell(self, text: str, expected: list[str]) -> None:
        assert split(text) == expected

    @given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
    def test_any_words_survive_quoting(self, expected: list[str]) -> None:
        assert split(shlex.join(expected)) == expected

    @pytest.mark.parametrize(
        ("text", "position"),
        [
            ("--x 'a b", 5),
            ('--x "a b', 5),
            ("--x 'a' 'b", 9),
            ("'it''s", 5),
            ("--x \"it's", 5),
            ('--x "a\\', 5),
            ("--x \\", 5),
            ("'a\\' 'b", 6),
        ],
    )
    def test_an_unclosed_quote_is_refused_with_its_position(self, text: str, position: int) -> None:
        with pytest.raises(SettingError) as caught:
            split(text)
        assert f"at character {position}: {text[position - 1 :]}" in str(caught.value)
        assert caught.value.variable == "ARG"


class TestSpellings:
    @pytest.mark.parametrize(
        "text",
        [
            "--tensor-parallel-size 2",
            "--tensor-parallel-size=2",
            "--tensor_parallel_size 2",
            "--tensor_parallel_size=2",
            "--tensor_parallel-size 2",
            "-tp 2",
            "-tp=2",
            "-t 2",
            "--tensor-par 2",
        ],
    )
    def test_every_spelling_is_the_same_option(self, text: str) -> None:
        assert words(text) == ["--tensor-parallel-size", "2"]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("-qawq", ["--quantization", "awq"]),
            ("-q=awq", ["--quantization", "awq"]),
            ("-n2", ["--nnodes", "2"]),
            ("-ep", ["--enable-expert-parallel"]),
            ("-dph", ["--data-parallel-hybrid-lb"]),
            ("--no-enforce-eager", ["--no-enforce-eager"]),
            ("--no_enforce_eager", ["--no-enforce-eager"]),
            ("--headless", ["--headless"]),
            ("-O3", ["--optimization-level", "3"]),
            ("-O=3", ["--optimization-level", "3"]),
            ("-O 3", ["--optimization-level", "3"]),
            ("--device-memory-utilization 0.5", ["--gpu-memory-utilization", "0.5"]),
            ("-cc.mode 3", ["--compilation-config.mode", "3"]),
            ("-sc.model=a/b", ["--speculative-config.model", "a/b"]),
            ("--hf_overrides.a_b.c_d x", ["--hf-overrides.a_b.c_d", "x"]),
            ("--hf-overrides.a+ x", ["--hf-overrides.a+", "x"]),
        ],
    )
    def test_every_spelling_becomes_the_long_one(self, text: str, expected: list[str]) -> None:
        assert words(text) == expected

    def test_similar_names_are_different_options(self) -> None:
        names = [
            a.option.name for a in read("--tokenizer-mode hf --tokenizer-revision r").arguments
        ]
        assert names == ["--tokenizer-mode", "--tokenizer-revision"]

    @pytest.mark.parametrize(
        ("text", "reading"),
        [
            ("--gpu_mem 0.5", "--gpu_mem is read as --gpu-memory-utilization"),
            ("-t 2", "-t is read as -tp"),
            ("--compilation-c.mode 3", "--compilation-c.mode is read as --compilation-config"),
        ],
    )
    def test_an_abbreviation_leaves_a_note(self, text: str, reading: str) -> None:
        (note,) = read(text).notes
        assert note.level == "info"
        assert reading in note.message

    @pytest.mark.parametrize("text", ["-tp 2", "-qawq", "-O3", "--max_model_len 1", "-cc.mode 3"])
    def test_any_other_spelling_leaves_no_note(self, text: str) -> None:
        assert read(text).notes == ()

    def test_the_users_spelling_is_kept(self) -> None:
        (argument,) = read("-tp=2").arguments
        assert argument.spelled == "-tp"
        assert argument.value == "2"


class TestValues:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("--seed -1", ["--seed", "-1"]),
            ("--seed=-1", ["--seed", "-1"]),
            ("--watermark=-0.5", ["--watermark=-0.5"]),
            ("--response-role=-x", ["--response-role=-x"]),
            ("--response-role '-x y'", ["--response-role=-x y"]),
            ("--response-role -", ["--response-role=-"]),
            ("--response-role=", ["--response-role", ""]),
            ("--response-role ''", ["--response-role", ""]),
            ("--response-role a=b", ["--response-role", "a=b"]),
            ("--response-role=a=b", ["--response-role", "a=b"]),
            ("--chat-template '{{ x }}'", ["--chat-template", "{{ x }}"]),
            ("--hf-overrides '{\"a\": [1]}'", ["--hf-overrides", '{"a": [1]}']),
            ("--served-model-name a b --seed 1", ["--served-model-name", "a", "b", "--seed", "1"]),
            ("--hf-token", ["--hf-token"]),
            ("--hf-token x", ["--hf-token", "x"]),
            ("--middleware a --middleware b", ["--middleware", "a", "--middleware", "b"]),
            ("--speculative-config.model --x", ["--speculative-config.model=--x"]),
        ],
    )
    def test_values_pass_unchanged(self, text: str, expected: list[str]) -> None:
        assert words(text) == expected

    def test_the_value_of_a_list_is_its_last_word(self) -> None:
        (argument,) = read("--served-model-name a b").arguments
        assert argument.value == "b"

    def test_a_flag_has_no_value(self) -> None:
        (argument,) = read("--enforce-eager").arguments
        assert argument.value is None

    @pytest.mark.parametrize(
        "text", ["--seed", "--seed --port 1", "--served-model-name", "--hf-overrides.a", "-tp -x"]
    )
    def test_a_missing_value_is_refused(self, text: str) -> None:
        assert "needs a value" in refusal(text).message

    def test_a_wrong_value_is_refused_with_the_accepted_ones(self) -> None:
        message = refusal("--dtype=int8").message
        assert all(word in message for word in ("--dtype", "'int8'", "bfloat16"))

    def test_a_flag_with_a_value_is_refused(self) -> None:
        error = refusal("--trust-remote-code=false")
        assert "--trust-remote-code takes no value, not 'false'" in error.message
        assert "--no-trust-remote-code" in error.message

    def test_a_word_after_a_flag_is_refused(self) -> None:
        error = refusal("--trust-remote-code false")
        assert "--trust-remote-code takes no value, but 'false' follows it" in error.message
        assert "--no-trust-remote-code" in (error.hint or "")

    def test_a_value_that_needs_a_plugin_leaves_a_warning(self) -> None:
        (note,) = read("--tool-call-parser mistrall").notes
        assert note.level == "warning"
        assert "Did you mean mistral?" in note.message

    def test_a_known_value_leaves_no_warning(self) -> None:
        assert read("--quantization AWQ --load-format safetensors -q None").notes[1:] == ()

    def test_an_unknown_key_is_refused(self) -> None:
        assert "Did you mean mode?" in refusal("--compilation-config.mdoe 3").message

    def test_keys_of_an_option_without_keys_are_refused(self) -> None:
        assert "does not take a JSON object" in refusal("--max-model-len.x 3").message


class TestUnknown:
    def test_the_error_names_the_nearest_option(self) -> None:
        error = refusal("--tensor_paralel_size=2")
        assert isinstance(error, UnknownOption)
        assert error.option == "--tensor_paralel_size"
        assert error.nearest == "--tensor-parallel-size"
        assert "Did you mean --tensor-parallel-size?" in error.message

    @pytest.mark.parametrize("text", ["--zzz", "-z", "-tp4", "-t=4", "-1.5", "--zzz.a 1", "-O"])
    def test_an_unknown_option_is_refused_in_every_form(self, text: str) -> None:
        with pytest.raises(SettingError):
            read(text)

    def test_an_ambiguous_abbreviation_is_refused_with_its_meanings(self) -> None:
        error = refusal("--max-num 4")
        assert not isinstance(error, UnknownOption)
        assert "--max-num-batched-tokens" in error.message
        assert "--max-num-seqs" in error.message


class TestStrayWords:
    @pytest.mark.parametrize("text", ["a/model", "--seed 1 a/model", "a/model --seed 1", "-", "--"])
    def test_a_stray_word_is_refused(self, text: str) -> None:
        assert "does not belong to any option" in refusal(text).message

    def test_a_stray_model_hints_at_model_id(self) -> None:
        assert "MODEL_ID" in (refusal("a/model").hint or "")

    def test_the_models_option_is_accepted(self) -> None:
        assert words("--model a/model") == ["--model", "a/model"]

    @pytest.mark.parametrize("text", ["--help", "-h", "--help=all", "--seed 1 --he"])
    def test_help_is_refused(self, text: str) -> None:
        assert "help" in refusal(text).message


class TestRepeated:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("--seed 1 --port 2 --seed 3", ["--port", "2", "--seed", "3"]),
            ("-tp 1 --tensor_parallel_size=2", ["--tensor-parallel-size", "2"]),
            ("--enforce-eager --no-enforce-eager", ["--no-enforce-eager"]),
            ("--served-model-name a --served-model-name b", ["--served-model-name", "b"]),
        ],
    )
    def test_the_last_occurrence_wins_with_a_note(self, text: str, expected: list[str]) -> None:
        parsed = read(text)
        assert [word for argument in parsed.arguments for word in argument.words] == expected
        (note,) = parsed.notes
        assert note.level == "info"
        assert "more than once" in note.message

    def test_the_note_shows_no_values(self) -> None:
        (note,) = read("--api-key first --api-key second").notes
        assert "first" not in note.message
        assert "second" not in note.message

    def test_keys_are_collected(self) -> None:
        text = "--hf-overrides.a 1 --hf-overrides.b 2"
        assert words(text) == split(text)
        assert read(text).notes == ()

    @pytest.mark.parametrize(
        "text",
        ["--hf-overrides '{}' --hf-overrides.a 1", "--hf-overrides.a 1 --hf-overrides '{}'"],
    )
    def test_keys_win_over_the_object_with_a_warning(self, text: str) -> None:
        assert words(text) == ["--hf-overrides.a", "1"]
        (note,) = read(text).notes
        assert note.level == "warning"


class TestConfigFile:
    def test_an_existing_config_file_is_accepted(self, tmp_path: Path) -> None:
        file = tmp_path / "vllm.yaml"
        file.write_text("seed: 1\n")
        assert words(f"--config={file}") == ["--config", str(file)]

    @pytest.mark.parametrize("name", ["missing.yaml", "there.json", "directory.yaml"])
    def test_any_other_config_file_is_refused(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "there.json").write_text("{}")
        (tmp_path / "directory.yaml").mkdir()
        assert str(tmp_path / name) in refusal(f"--config {tmp_path / name}").message
