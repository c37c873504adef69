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
    def test_split(self, text: str, expected: list[str]) -> None:
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
    def test_an_open_end_says_where_it_begins(self, text: str, position: int) -> None:
        with pytest.raises(SettingError) as caught:
            split(text)
        assert f"at character {position}, which begins: {text[position - 1 :]}" in str(caught.value)
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
    def test_are_one(self, text: str) -> None:
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
    def test_become_the_long_one(self, text: str, expected: list[str]) -> None:
        assert words(text) == expected

    def test_of_similar_names_are_told_apart(self) -> None:
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
    def test_any_other_spelling_leaves_none(self, text: str) -> None:
        assert read(text).notes == ()

    def test_the_spelling_is_kept(self) -> None:
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
    def test_pass_intact(self, text: str, expected: list[str]) -> None:
        assert words(text) == expected

    def test_the_value_of_a_list_is_its_last_word(self) -> None:
        (argument,) = read("--served-model-name a b").arguments
        assert argument.value == "b"

    def test_a_flag_has_none(self) -> None:
        (argument,) = read("--enforce-eager").arguments
        assert argument.value is None

    @pytest.mark.parametrize(
        "text", ["--seed", "--seed --port 1", "--served-model-name", "--hf-overrides.a", "-tp -x"]
    )
    def test_a_missing_one_is_an_error(self, text: str) -> None:
        assert "without a value" in refusal(text).message

    def test_a_wrong_one_names_option_value_and_what_is_allowed(self) -> None:
        message = refusal("--dtype=int8").message
        assert all(word in message for word in ("--dtype", "'int8'", "bfloat16"))

    def test_a_flag_takes_none(self) -> None:
        error = refusal("--trust-remote-code=false")
        assert "--trust-remote-code the value 'false'" in error.message
        assert "--no-trust-remote-code" in error.message

    def test_a_word_after_a_flag(self) -> None:
        error = refusal("--trust-remote-code false")
        assert "'false' after --trust-remote-code" in error.message
        assert "--no-trust-remote-code" in (error.hint or "")

    def test_a_value_that_vllm_does_not_know_by_itself_leaves_a_warning(self) -> None:
        (note,) = read("--tool-call-parser mistrall").notes
        assert note.level == "warning"
        assert "Did you mean mistral?" in note.message

    def test_a_value_that_it_knows_leaves_none(self) -> None:
        assert read("--quantization AWQ --load-format safetensors -q None").notes[1:] == ()

    def test_an_unknown_key_is_an_error(self) -> None:
        assert "Did you mean mode?" in refusal("--compilation-config.mdoe 3").message

    def test_keys_of_what_has_none(self) -> None:
        assert "takes no JSON object" in refusal("--max-model-len.x 3").message


class TestUnknown:
    def test_names_the_nearest(self) -> None:
        error = refusal("--tensor_paralel_size=2")
        assert isinstance(error, UnknownOption)
        assert error.option == "--tensor_paralel_size"
        assert error.nearest == "--tensor-parallel-size"
        assert "Did you mean --tensor-parallel-size?" in error.message

    @pytest.mark.parametrize("text", ["--zzz", "-z", "-tp4", "-t=4", "-1.5", "--zzz.a 1", "-O"])
    def test_every_shape(self, text: str) -> None:
        with pytest.raises(SettingError):
            read(text)

    def test_an_ambiguous_abbreviation_names_what_it_may_mean(self) -> None:
        error = refusal("--max-num 4")
        assert not isinstance(error, UnknownOption)
        assert "--max-num-batched-tokens" in error.message
        assert "--max-num-seqs" in error.message


class TestStrayWords:
    @pytest.mark.parametrize("text", ["a/model", "--seed 1 a/model", "a/model --seed 1", "-", "--"])
    def test_belong_to_no_option(self, text: str) -> None:
        assert "belongs to no option" in refusal(text).message

    def test_the_model_is_named_by_its_variable(self) -> None:
        assert "MODEL_ID" in (refusal("a/model").hint or "")

    def test_but_the_models_option_is_an_option(self) -> None:
        assert words("--model a/model") == ["--model", "a/model"]

    @pytest.mark.parametrize("text", ["--help", "-h", "--help=all", "--seed 1 --he"])
    def test_help_would_end_the_server(self, text: str) -> None:
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
    def test_the_last_one_counts(self, text: str, expected: list[str]) -> None:
        parsed = read(text)
        assert [word for argument in parsed.arguments for word in argument.words] == expected
        (note,) = parsed.notes
        assert note.level == "info"
        assert "more than once" in note.message

    def test_the_note_keeps_values_to_itself(self) -> None:
        (note,) = read("--api-key first --api-key second").notes
        assert "first" not in note.message
        assert "second" not in note.message

    def test_keys_come_together(self) -> None:
        text = "--hf-overrides.a 1 --hf-overrides.b 2"
        assert words(text) == split(text)
        assert read(text).notes == ()

    @pytest.mark.parametrize(
        "text",
        ["--hf-overrides '{}' --hf-overrides.a 1", "--hf-overrides.a 1 --hf-overrides '{}'"],
    )
    def test_keys_win_over_a_whole_object(self, text: str) -> None:
        assert words(text) == ["--hf-overrides.a", "1"]
        (note,) = read(text).notes
        assert note.level == "warning"


class TestConfigFile:
    def test_one_that_is_there(self, tmp_path: Path) -> None:
        file = tmp_path / "vllm.yaml"
        file.write_text("seed: 1\n")
        assert words(f"--config={file}") == ["--config", str(file)]

    @pytest.mark.parametrize("name", ["missing.yaml", "there.json", "directory.yaml"])
    def test_any_other(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "there.json").write_text("{}")
        (tmp_path / "directory.yaml").mkdir()
        assert str(tmp_path / name) in refusal(f"--config {tmp_path / name}").message
