"""vLLM's options: what each variable becomes."""

from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.shared.handover import TARBALL_VARIABLE
from entrypoint.store.tarballs.packed import Packed
from entrypoint.store.tarballs.tree import PackedFiles
from tests.support.samples import CPU, MODEL, option_of, plan, plan_of, value_of


@pytest.mark.parametrize(
    ("variable", "value", "option", "words"),
    [
        ("HOST", "127.0.0.1", "--host", ["127.0.0.1"]),
        ("PORT", "9000", "--port", ["9000"]),
        ("NUM_SHARD", "2", "--tensor-parallel-size", ["2"]),
        ("NUM_SHARD", "max", "--tensor-parallel-size", ["4"]),
        ("TRUST_REMOTE_CODE", "true", "--trust-remote-code", []),
        ("TOKENIZER", "other/tokenizer", "--tokenizer", ["other/tokenizer"]),
        ("DTYPE", "float16", "--dtype", ["float16"]),
        ("SHUTDOWN_TIMEOUT", "7", "--shutdown-timeout", ["7"]),
    ],
)
def test_a_variable_becomes_an_option(
    variable: str, value: str, option: str, words: list[str]
) -> None:
    made = plan(**{variable: value})
    assert value_of(made, option) == words
    shown = option_of(made, option)
    assert (shown["origin"], shown["variable"]) == ("variable", variable)


def test_remote_code_stays_off() -> None:
    assert "--trust-remote-code" not in plan(TRUST_REMOTE_CODE="false").argv


def test_the_models_own_tokenizer_is_not_passed() -> None:
    assert "--tokenizer" not in plan(TOKENIZER="Meta/Llama").argv


def test_a_dtype_that_vllm_does_not_have_is_refused() -> None:
    with pytest.raises(SettingError) as raised:
        plan(DTYPE="int3")
    assert raised.value.variable == "DTYPE"
    assert "int3" in raised.value.message
    assert "bfloat16" in raised.value.message


@pytest.mark.parametrize("variable", ["API_KEY", "MODEL_SERVE_NAME", "TOKENIZER"])
def test_a_value_that_looks_like_an_option_is_refused(variable: str) -> None:
    with pytest.raises(SettingError) as raised:
        plan(**{variable: "-secret-value"})
    assert raised.value.variable == variable
    assert ("secret-value" in raised.value.message) == (variable != "API_KEY")


class TestPackedModel:
    """A model whose weights the engine loads from inside a tarball."""

    PACKED = Packed(
        PackedFiles(Path("/m/a.tar"), Path("/m/a.tar/x"), {}, {}), frozenset(), frozenset()
    )
    MODEL = replace(MODEL, source="tarball", path=Path("/scratch/a-1/x"), packed=PACKED)

    def test_the_engine_gets_the_loader_and_the_index(self) -> None:
        made = plan_of(self.MODEL, CPU)
        assert value_of(made, "--load-format") == ["tarball"]
        assert made.env[TARBALL_VARIABLE] == "/scratch/a-1/tarball.json"
        assert option_of(made, TARBALL_VARIABLE)["origin"] == "default"

    def test_any_other_model_uses_vllms_loader(self) -> None:
        made = plan_of(MODEL, CPU)
        assert "--load-format" not in made.argv
        assert TARBALL_VARIABLE not in made.env
