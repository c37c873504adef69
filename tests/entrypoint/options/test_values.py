"""Values of options, checked like vLLM does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.errors import SettingError
from entrypoint.options.catalogue import Option, load_catalogue
from entrypoint.options.source import OptionSource
from entrypoint.options.values import check_value, human_int


def option(name: str) -> Option:
    return load_catalogue().by_spelling[name]


def refusal(name: str, value: str, variable: str = "ARG") -> SettingError:
    with pytest.raises(SettingError) as caught:
        check_value(option(name), value, OptionSource(variable, variable))
    return caught.value


class TestTaken:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("--seed", "7"),
            ("--seed", "-7"),
            ("--seed", " 1_000 "),
            ("--watermark", "1e-3"),
            ("--host", ""),
            ("--dtype", "bfloat16"),
            ("--moe-backend", "DEEP-GEMM"),
            ("--max-model-len", "auto"),
            ("--max-model-len", "-1"),
            ("--max-model-len", "32k"),
            ("--max-num-batched-tokens", "25.6k"),
            ("--kv-cache-memory-bytes", "2G"),
            ("--kv-cache-memory-bytes", "None"),
            ("--max-lora-rank", "16"),
            ("--speculative-config", '{"model": "x"}'),
            ("--speculative-config", "None"),
            ("--kv-transfer-config", '{"kv_port": 14k}'),
            ("--compilation-config", '{"mode": 3}'),
            ("--hf-overrides", '{"a": 1}'),
            ("--hf-overrides", "a.module"),
            ("--lora-modules", "name=path"),
            ("--lora-modules", '{"name": "a", "path": "b"}'),
            ("--collect-detailed-traces", "model"),
            ("--load-format", "a-plugin's"),
        ],
    )
    def test_valid_values_are_accepted(self, name: str, value: str) -> None:
        check_value(option(name), value)


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("--seed", "x"),
            ("--seed", "1.0"),
            ("--seed", ""),
            ("--seed", "None"),
            ("--watermark", "a"),
            ("--dtype", "int8"),
            ("--dtype", ""),
            ("--moe-backend", "slow"),
            ("--max-model-len", "32x"),
            ("--max-num-batched-tokens", "auto"),
            ("--max-num-batched-tokens", "1.5K"),
            ("--max-lora-rank", "7"),
            ("--speculative-config", "{"),
            ("--speculative-config", '{"a": 2k}'),
            ("--compilation-config", "[]"),
            ("--compilation-config", "null"),
            ("--compilation-config", '{"mod": 3}'),
            ("--hf-overrides", "{a}"),
            ("--lora-modules", "name"),
            ("--lora-modules", '{"name": "a"}'),
            ("--lora-modules", '{"name": "a", "path": "b", "pth": "c"}'),
        ],
    )
    def test_invalid_values_are_refused(self, name: str, value: str) -> None:
        refusal(name, value)


class TestWords:
    def test_the_error_names_the_option_the_value_and_the_choices(self) -> None:
        error = refusal("--dtype", "int8")
        assert "--dtype" in error.message
        assert "'int8'" in error.message
        assert "auto, bfloat16, float, float16, float32, half" in error.message
        assert error.exit_code == 78

    def test_the_error_suggests_the_nearest_choice(self) -> None:
        assert "Did you mean bfloat16?" in refusal("--dtype", "bflaot16").message

    def test_the_error_names_the_variable(self) -> None:
        error = refusal("--tensor-parallel-size", "two", "NUM_SHARD")
        assert error.variable == "NUM_SHARD"
        assert error.message.startswith("NUM_SHARD: --tensor-parallel-size")

    def test_the_error_names_the_last_release_that_accepted_it(self) -> None:
        error = refusal("--quantization", "squeezellm")
        assert "vLLM removed --quantization squeezellm after 0.6.0" in error.message
        assert "awq" in error.message

    def test_the_error_gives_the_position_in_json(self) -> None:
        error = refusal("--speculative-config", '{"model": "x" "y": 1}')
        assert "at character 15" in error.message

    def test_the_error_suggests_the_nearest_key_and_lists_all(self) -> None:
        error = refusal("--compilation-config", '{"cudagraph_mod": 1}')
        assert "Did you mean cudagraph_mode?" in error.message
        assert "splitting_ops" in (error.hint or "")

    def test_the_error_names_the_replacement_of_a_removed_key(self) -> None:
        error = refusal("--compilation-config", '{"level": 3}')
        assert "Use mode." in error.message


class TestHumanInt:
    @pytest.mark.parametrize(
        ("text", "number"),
        [("16", 16), ("2k", 2000), ("2K", 2048), ("1.5m", 1_500_000), ("1T", 1 << 40)],
    )
    def test_suffixes_multiply(self, text: str, number: int) -> None:
        assert human_int(text) == number

    @pytest.mark.parametrize("text", ["", "k", "1.5K", "2kk", "2 k", "-2k"])
    def test_other_forms_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            human_int(text)

    @given(st.integers())
    def test_a_plain_number_is_read_unchanged(self, number: int) -> None:
        assert human_int(str(number)) == number


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()))
def test_an_open_json_option_accepts_every_object(data: dict[str, object]) -> None:
    check_value(option("--speculative-config"), json.dumps(data))
    check_value(option("--hf-overrides"), json.dumps(data))
