"""ARG: spellings, values, and what the errors and notes say."""

from pathlib import Path

import pytest

from entrypoint.arg.words import split
from entrypoint.errors import SettingError, UnknownOption
from entrypoint.options.arguments import Parsed, parse
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


class TestEquals:
    @pytest.mark.parametrize(
        ("text", "corrected"),
        [
            ("--dtype = auto --seed 1", "--dtype auto --seed 1"),
            ("--dtype =auto", "--dtype auto"),
            ("--seed 1 --dtype= auto", "--seed 1 --dtype auto"),
            ("--served-model-name = a b", "--served-model-name a b"),
            ("--compilation-config.mode = 3", "--compilation-config.mode 3"),
            ("--compilation-config.mode= 3", "--compilation-config.mode 3"),
        ],
    )
    def test_a_blank_beside_it_is_refused_with_the_corrected_text(
        self, text: str, corrected: str
    ) -> None:
        error = refusal(text)
        assert "a blank beside its =" in error.message
        assert error.hint == f"Corrected: ARG={corrected}"
        read(corrected)


class TestQuotes:
    @pytest.mark.parametrize(
        ("text", "corrected"),
        [
            ("--limit-mm-per-prompt {image:4}", """--limit-mm-per-prompt '{"image": 4}'"""),
            ("--limit-mm-per-prompt={image:4}", """--limit-mm-per-prompt '{"image": 4}'"""),
            (
                "--limit-mm-per-prompt {image: 4, video: 2} --seed 1",
                """--limit-mm-per-prompt '{"image": 4, "video": 2}' --seed 1""",
            ),
            (
                '--limit-mm-per-prompt "{"image": 4}"',
                """--limit-mm-per-prompt '{"image": 4}'""",
            ),
            (
                r"--limit-mm-per-prompt '{\"image\": 4}'",
                """--limit-mm-per-prompt '{"image": 4}'""",
            ),
            (
                r"--limit-mm-per-prompt {\"image\": 4}",
                """--limit-mm-per-prompt '{"image": 4}'""",
            ),
            (
                "--limit-mm-per-prompt \"{'image': 4}\"",
                """--limit-mm-per-prompt '{"image": 4}'""",
            ),
            (
                "--limit-mm-per-prompt '{“image”: 4}'",
                """--limit-mm-per-prompt '{"image": 4}'""",
            ),
            (
                "--hf-overrides {a: {b: true, c: None}, d: [-1, x]}",
                """--hf-overrides '{"a": {"b": true, "c": null}, "d": [-1, "x"]}'""",
            ),
            ("--allowed-origins [*]", """--allowed-origins '["*"]'"""),
            (
                "--lora-modules {name:a,path:/b} {name:c,path:/d}",
                """--lora-modules '{"name": "a", "path": "/b"}' '{"name": "c", "path": "/d"}'""",
            ),
            ("--chat-template {{ x }}", "--chat-template '{{ x }}'"),
            ("'--seed 1 --port 2'", "--seed 1 --port 2"),
            ("'--seed 1' --port 2", "--seed 1 --port 2"),
        ],
    )
    def test_lost_ones_are_refused_with_the_corrected_text(self, text: str, corrected: str) -> None:
        error = refusal(text)
        assert "quotes" in error.message
        assert error.hint == f"Corrected: ARG={corrected}"
        read(corrected)

    @pytest.mark.parametrize(
        "text",
        [
            """--hf-overrides '{"a": "}"}'""",
            """--additional-config '{"a": {"b": [1, "x"]}}'""",
            "--chat-template '{{ x }} {'",
            "--max-num-seqs 4 --stop-x",
        ],
    )
    def test_complete_values_are_not_changed(self, text: str) -> None:
        if "--stop-x" in text:
            assert isinstance(refusal(text), UnknownOption)
        else:
            assert words(text) == split(text)

    @pytest.mark.parametrize(
        ("text", "advice"),
        [
            ("vllm serve a/b --seed 1", "Set MODEL_ID=a/b and ARG=--seed 1"),
            ("vllm serve --model a/b", "Set ARG=--model a/b"),
            ("python3 -m vllm.entrypoints.openai.api_server --port 1", "Set ARG=--port 1"),
        ],
    )
    def test_an_entire_command_line_is_refused_with_its_options(
        self, text: str, advice: str
    ) -> None:
        assert refusal(text).hint == advice


class TestConfigFile:
    """What the file's keys mean is in test_config_words.py."""

    def test_its_options_come_first_with_their_line(self, tmp_path: Path) -> None:
        file = tmp_path / "vllm.yaml"
        file.write_text("# ours\nseed: 1\nmax_model_len: 4k\n")
        parsed = read(f"--port 1 --config={file}")
        assert [a.words for a in parsed.arguments] == [
            ("--seed", "1"),
            ("--max-model-len", "4k"),
            ("--port", "1"),
            ("--config", str(file)),
        ]
        assert [a.source.name for a in parsed.arguments] == [
            f"--config {file}, line 2",
            f"--config {file}, line 3",
            "ARG",
            "ARG",
        ]

    def test_arg_wins_wherever_the_file_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "vllm.yaml"
        file.write_text("seed: 1\nmiddleware: a\n")
        for text in (f"--seed 2 --config {file}", f"--config {file} --seed 2"):
            parsed = read(text)
            assert parsed.value("--seed") == "2"
            (note,) = parsed.notes
            assert note.message == f"--config {file}, line 1: ARG's --seed wins."
        assert words(f"--config {file} --middleware b")[1:5] == [
            *("1", "--middleware", "a"),
            "--config",
        ]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("max-model-length: 3", "max-model-length, which vLLM"),
            ("max-model-len: big", "line 1: --max-model-len 'big' is not an integer"),
            ("\n\ndtype: int8", "line 3: vLLM does not accept --dtype 'int8'"),
            ("compilation-config:\n  mdoe: 3", "does not have the key 'mdoe'. Did you mean mode?"),
            ("max-num: 4", "--max-num is ambiguous"),
            ("task: sing", "line 1: --task sing is not a task"),
            ("rope-theta: 3", "line 1: vLLM 0.11.1 combined"),
            ("help: true", "makes vLLM print its help"),
        ],
    )
    def test_its_mistakes_are_refused_with_the_line(
        self, tmp_path: Path, content: str, message: str
    ) -> None:
        file = tmp_path / "vllm.yaml"
        file.write_text(content)
        error = refusal(f"--config {file}")
        assert message in error.message
        assert f"--config {file}, line" in error.message

    def test_removed_options_are_translated(self, tmp_path: Path) -> None:
        file = tmp_path / "vllm.yaml"
        file.write_text(
            "disable-log-requests: true\ntask: embed\nguided-decoding-backend: xgrammar\n"
        )
        parsed = read(f"--config {file}")
        assert [word for a in parsed.arguments for word in a.words][:-2] == [
            *("--runner", "pooling", "--convert", "embed"),
            *("--structured-outputs-config.backend", "xgrammar"),
        ]
        assert {note.message.partition(":")[0] for note in parsed.notes} == {
            f"--config {file}, line {line}" for line in (1, 2, 3)
        }

    def test_two_files_are_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "vllm.yaml"
        file.write_text("seed: 1\n")
        assert "occurs 2 times" in refusal(f"--config {file} --config={file}").message
