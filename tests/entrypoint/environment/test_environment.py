"""The whole environment: every variable, its name, and who gets the clean value."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.environment.environment import Environment
from entrypoint.environment.value import SECRET, Kind
from entrypoint.errors import SettingError
from entrypoint.planning.asked import read_asked
from entrypoint.settings import (
    CONTRACT_KINDS,
    Settings,
    all_variables,
    kind_of,
    read_environment,
    read_settings,
    variables,
)
from entrypoint.supervision.engine_process import engine_environment
from tests.support.launch import DEMO, DEMO_CACHE, environment, run
from tests.support.samples import plan

LIBRARIES = [
    "VLLM_LOGGING_LEVEL",
    "VLLM_API_KEY",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "HTTP_PROXY",
    "https_proxy",
    "SSL_CERT_FILE",
    "RAY_ADDRESS",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "HF_TOKEN_PATH",
    "HF_XET_CACHE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "TRANSFORMERS_CACHE",
]


def good_values(directory: Path) -> dict[str, str]:
    """Return a good value for every variable of the contract."""
    keys = directory / "keys"
    keys.write_text("file-key\n")
    words = {
        "num_shard": "2",
        "dtype": "float16",
        "host": "127.0.0.1",
        "hf_endpoint": "https://hub.example.org",
        "s3_endpoint": "s3.example.org:9000",
        "accelerator": "cpu",
        "log_format": "json",
        "model_verify": "full",
        "admin_routes": "lora,cache",
        "openvino_device": "CPU",
        "openvino_kv_cache_precision": "f16",
        "api_key_file": str(keys),
        "arg": "--enforce-eager",
    }
    values = {}
    for field, info in Settings.model_fields.items():
        default = info.default
        for name in variables(field):
            kind = CONTRACT_KINDS[name]
            by_type = str(not default) if isinstance(default, bool) else "12"
            by_kind = {
                Kind.MODEL: "org/name",
                Kind.NAME: "release",
                Kind.PATH: "/data/some",
                Kind.TOKEN: "hf_abcdefgh",
                Kind.KEY: "key-4711",
            }
            values[name] = words.get(field) or by_kind.get(kind) or by_type
    return values


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return good_values(tmp_path_factory.mktemp("values"))


@pytest.mark.parametrize("variable", all_variables())
class TestEveryVariable:
    @pytest.mark.parametrize("edge", ["\n", "\r\n", " ", "\t\n"])
    def test_a_line_break_at_the_end_changes_nothing(
        self, good: dict[str, str], variable: str, edge: str
    ) -> None:
        expected = read_asked({variable: good[variable]})
        assert expected.settings != read_settings({})
        asked = read_asked({variable: good[variable] + edge})
        assert asked.arguments == expected.arguments
        if variable != "ARG":  # the edges of its words do not matter
            assert asked.settings == expected.settings

    def test_the_quotes_of_an_env_file_change_nothing_or_are_refused(
        self, good: dict[str, str], variable: str
    ) -> None:
        value = f'"{good[variable]}"\r'
        if CONTRACT_KINDS[variable] is Kind.KEY:
            with pytest.raises(SettingError, match="enclosed in quotes"):
                read_settings({variable: value})
        elif variable == "ARG":  # quotes around one option are a shell's
            assert read_asked({variable: value}).arguments.given.keys() == {"--enforce-eager"}
        else:
            assert read_settings({variable: value}) == read_settings({variable: good[variable]})
            assert any(
                "quotes" in note.message for note in read_environment({variable: value}).notes
            )

    @pytest.mark.parametrize(
        "character", ["\ufeff", "\u200b", "\u00a0", "\u202e", "\x1b", "\x01", "\udce9"]
    )
    @pytest.mark.parametrize("at", ["start", "middle", "end"])
    def test_an_invisible_character_is_named(
        self, good: dict[str, str], variable: str, character: str, at: str
    ) -> None:
        value = good[variable]
        position = {"start": 0, "middle": len(value) // 2, "end": len(value)}[at]
        with pytest.raises(SettingError) as raised:
            read_settings({variable: value[:position] + character + value[position:]})
        assert raised.value.variable == variable
        assert f"at character {position + 1}" in raised.value.message
        if CONTRACT_KINDS[variable] in SECRET:
            assert value not in raised.value.in_words()

    @pytest.mark.parametrize("character", ["\u201d", "\u2014", "\uff11"])
    def test_a_typographic_character_is_named(
        self, good: dict[str, str], variable: str, character: str
    ) -> None:
        value = character + good[variable]
        if CONTRACT_KINDS[variable] is Kind.PATH and variable != "API_KEY_FILE":
            (note,) = read_environment({variable: value}).notes
            assert (note.level, note.variable) == ("warning", variable)
        else:
            with pytest.raises(SettingError) as raised:
                read_settings({variable: value})
            assert raised.value.variable == variable


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "MODEL_ID ",
            " MODEL_ID",
            "\tMODEL_ID",
            "export MODEL_ID",
            "\ufeffMODEL_ID",
            "\ufeffexport MODEL_ID",
            "MODEL_ID\u200b",
            "MODEL_ID\u00a0",
            '"MODEL_ID',
            "'MODEL_ID'",
            "- MODEL_ID",
            "ENV MODEL_ID",
            "$env:MODEL_ID",
            "MODEL_ID:",
            "\uff2d\uff2f\uff24\uff25\uff2c_ID",
            "MODEL\u200b_ID",
        ],
    )
    def test_a_name_with_more_than_the_name_is_refused(self, name: str) -> None:
        with pytest.raises(SettingError) as raised:
            read_settings({name: "a/b"})
        assert "MODEL_ID" in str(raised.value.hint)
        assert repr(name) in raised.value.message

    @pytest.mark.parametrize("name", ["API_KEY", "HF_TOKEN", "VLLM_API_KEY", "AWS_PROFILE"])
    def test_no_key_is_ignored_because_of_a_blank_in_its_name(self, name: str) -> None:
        with pytest.raises(SettingError, match="nothing reads it"):
            read_settings({f"{name} ": "secret-4711"})

    def test_it_is_a_warning_if_the_right_name_is_set_too(self) -> None:
        environ = read_environment({"MODEL_ID ": "a/b", "MODEL_ID": "c/d"})
        assert not environ.problems
        assert environ.notes[0].level == "warning"

    def test_other_variables_are_left_alone(self) -> None:
        raw = {"PS1": "\x1b[1m$ ", "LS_COLORS": " a\n", "BASH_FUNC_x%%": "() {\n}", "A B": "\u200b"}
        environ = read_environment(raw)
        assert dict(environ) == raw
        assert not environ.notes
        assert not environ.problems


class TestLibraries:
    @pytest.mark.parametrize("variable", LIBRARIES)
    def test_the_engine_gets_the_clean_value(self, variable: str) -> None:
        made = plan(**{variable: "value-4711\r\n"})
        assert made.env[variable] == "value-4711"
        asked = read_asked({variable: "value-4711\r\n"})
        engine = engine_environment(asked.environ, (), {}, Path("/run"))
        assert engine[variable] == "value-4711"

    @pytest.mark.parametrize("variable", LIBRARIES)
    def test_an_invisible_character_is_named(self, variable: str) -> None:
        with pytest.raises(SettingError) as raised:
            read_settings({variable: "value\u200b-4711"})
        assert raised.value.variable == variable

    @pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "VLLM_API_KEY", "HF_TOKEN"])
    def test_the_plan_hides_a_clean_secret(self, variable: str) -> None:
        made = plan(**{variable: "value-4711\n"})
        assert "value-4711" not in str(made.as_dict())
        assert made.env[variable] == "value-4711"

    def test_the_prefix_of_vllms_log_lines_keeps_its_blanks_and_colors(self) -> None:
        value = "\x1b[1m[server] "
        assert read_environment({"VLLM_LOGGING_PREFIX": value})["VLLM_LOGGING_PREFIX"] == value


def test_cleaning_twice_changes_nothing() -> None:
    once = read_environment({"MODEL_ID": "'a/b'\n"})
    assert read_environment(once) is once
    again = Environment(once, kind_of)
    assert dict(again) == dict(once)
    assert not again.notes


def test_a_plan_notes_what_was_changed() -> None:
    notes = [note.message for note in plan(DTYPE="float16\n", HOST="'127.0.0.1'").notes]
    assert "DTYPE has a line break at its end, which was removed." in notes
    assert "HOST has quotes around its value, which were removed." in notes


def env_file(text: bytes) -> Iterator[tuple[str, str]]:
    """Read an env file as docker does: a line is NAME=VALUE, and the value is kept as it is."""
    for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        name, equals, value = line.decode().lstrip().partition("=")
        if name and equals and not name.startswith("#"):
            yield name, value


class TestEnvFiles:
    """Whole env files, given to the real command."""

    def plan_from(self, home: Path, text: bytes) -> tuple[int, str]:
        base = environment(home, HF_HUB_CACHE=str(DEMO_CACHE))
        done = run(["plan"], {**base, **dict(env_file(text))})
        return done.returncode, done.stdout + done.stderr

    def test_a_file_from_windows_works(self, tmp_path: Path) -> None:
        text = (
            b"\xef\xbb\xbf# settings\r\n"
            + f'MODEL_ID="{DEMO}"\r\n'.encode()
            + b"HF_TOKEN='hf_abcdefgh'\r\n"
            + b'ARG="--max-model-len 64 --enforce-eager"\r\n'
            + b"API_KEY=key-4711\r\nPORT=8123 \r\nOMP_NUM_THREADS=1\r\n"
        )
        code, output = self.plan_from(tmp_path, text)
        assert code == 0, output
        assert "--max-model-len" in output
        assert "API_KEY has a line break" in output
        assert "key-4711" not in output

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ('API_KEY="key-4711"', "API_KEY is enclosed in quotes"),
            ("PORT=8000 # for the proxy", "Set PORT to: 8000"),
            ("HF_HOME=${HOME}/hub", "HF_HOME='${HOME}/hub' contains a variable"),
            ("ARG=\u2014max-model-len 64", "Set ARG to: --max-model-len 64"),
            ("REVISION=v1\u200b", "ZERO WIDTH SPACE (U+200B) at character 3"),
            ("export API_KEY=key-4711", "Rename it to API_KEY"),
        ],
    )
    def test_a_mistake_is_named(self, tmp_path: Path, line: str, words: str) -> None:
        text = f"MODEL_ID={DEMO}\n{line}\n".encode()
        code, output = self.plan_from(tmp_path, text)
        assert code == 78, output
        assert words in output
        assert "Traceback" not in output
