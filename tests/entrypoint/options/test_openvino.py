from __future__ import annotations

import pytest

from entrypoint.errors import SettingError
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.openvino import (
    FRONT_END,
    REFUSED,
    SUPPORTED,
    check_options,
)
from tests.support.samples import asked


class TestRefused:
    @pytest.mark.parametrize(
        "arg",
        [
            "--quantization awq",
            "--enable-lora",
            "--kv-cache-dtype fp8",
            "--scheduling-policy priority",
            "--api-server-count 2",
            "--hf-overrides '{}'",
        ],
    )
    def test_options_that_change_the_answers_are_refused(self, arg: str) -> None:
        with pytest.raises(SettingError, match=arg.split()[0]) as raised:
            check_options(asked(ARG=arg).arguments.arguments)
        assert raised.value.variable == "ARG"
        assert "ACCELERATOR=cpu" in (raised.value.hint or "")

    @pytest.mark.parametrize(
        "arg", ["--kv-cache-dtype auto", "--scheduling-policy fcfs", "--api-server-count 1"]
    )
    def test_harmless_values_are_accepted(self, arg: str) -> None:
        assert check_options(asked(ARG=arg).arguments.arguments) == ()


class TestNotes:
    @pytest.mark.parametrize("arg", ["--enforce-eager", "--block-size 16", "--seed 3"])
    def test_options_without_effect_are_noted(self, arg: str) -> None:
        (note,) = check_options(asked(ARG=arg).arguments.arguments)
        assert arg.split()[0] in note.message
        assert note.level == "warning"

    @pytest.mark.parametrize(
        "arg",
        [
            "",
            "--max-model-len 1024 --max-num-seqs 4 --no-enable-prefix-caching --dtype float32",
            "--enable-auto-tool-choice --tool-call-parser hermes --uvicorn-log-level warning",
            "--reasoning-parser qwen3 --disable-log-stats",
        ],
    )
    def test_supported_options_are_not_noted(self, arg: str) -> None:
        assert check_options(asked(ARG=arg).arguments.arguments) == ()


def test_every_listed_option_exists_in_vllm() -> None:
    known = {option.name: option.group for option in load_catalogue().options}
    assert set(REFUSED) | SUPPORTED <= set(known)
    assert set(FRONT_END) <= set(known.values())
    assert not set(REFUSED) & SUPPORTED
