"""Options that are gone: each is known, and is read as what means the same today."""

import json
from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.options.arguments import Parsed, parse, split
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.history import (
    GONE,
    GONE_KEYS,
    GONE_VALUES,
    ONCE_WITH_A_BOOLEAN,
    REFUSED_VALUES,
    GoneOption,
)

# the options that each release had first, from the source releases of vLLM
HISTORIC: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("historic_options.json").read_text(encoding="utf-8")
)

REFUSED_ALONE = {"--rope-scaling", "--rope-theta"}


def read(text: str) -> Parsed:
    return parse(split(text), load_catalogue())


def words(text: str) -> list[str]:
    return [word for argument in read(text).arguments for word in argument.words]


def sample(gone: GoneOption) -> str:
    """A use of an option that is gone, as it was written when it was not."""
    values = {
        "--task": "embed",
        "--guided-decoding-backend": "xgrammar",
        "--chat-template-text-format": "openai",
        "--override-pooler-config": "{}",
        "-O": "{}",
    }
    if gone.takes == "flag":
        return gone.spelling
    return f"{gone.spelling} {values.get(gone.spelling, '4')}"


class TestComplete:
    @pytest.mark.parametrize("version", HISTORIC)
    def test_every_option_of_a_release_is_there_or_known_to_be_gone(self, version: str) -> None:
        known = load_catalogue().by_spelling.keys() | GONE.keys()
        assert set(HISTORIC[version]) <= known

    def test_nothing_is_called_gone_that_never_was(self) -> None:
        assert GONE.keys() <= {name for names in HISTORIC.values() for name in names}

    def test_nothing_is_called_gone_that_is_there(self) -> None:
        assert not GONE.keys() & load_catalogue().by_spelling.keys()

    def test_what_is_said_of_options_that_are_there_names_real_ones(self) -> None:
        names = (
            {gone.option for gone in GONE_VALUES} | GONE_KEYS.keys() | ONCE_WITH_A_BOOLEAN.keys()
        )
        assert names <= load_catalogue().by_spelling.keys()

    @pytest.mark.parametrize("name", GONE_KEYS)
    def test_gone_keys_are_gone_and_their_replacements_there(self, name: str) -> None:
        keys = load_catalogue().by_spelling[name].keys
        assert not GONE_KEYS[name].keys() & set(keys)
        assert set(GONE_KEYS[name].values()) <= set(keys)

    @pytest.mark.parametrize("name", REFUSED_VALUES)
    def test_no_value_is_refused_that_vllm_knows(self, name: str) -> None:
        assert not REFUSED_VALUES[name].keys() & set(load_catalogue().by_spelling[name].known)

    @pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
    def test_advice_names_only_options_that_are_there(self, gone: GoneOption) -> None:
        named = [word.rstrip(";,:.") for word in gone.advice.split() if word.startswith("-")]
        assert all(load_catalogue().find(name) is not None for name in named)


class TestEach:
    @pytest.mark.parametrize(
        "gone",
        [g for g in GONE.values() if g.spelling not in REFUSED_ALONE],
        ids=lambda g: g.spelling,
    )
    def test_is_read_with_one_note_that_names_it(self, gone: GoneOption) -> None:
        (note,) = read(sample(gone)).notes
        assert note.level == "warning"
        assert note.variable == "ARG"
        assert gone.spelling in note.message
        assert gone.since in note.message

    @pytest.mark.parametrize(
        "gone",
        [g for g in GONE.values() if g.spelling not in REFUSED_ALONE],
        ids=lambda g: g.spelling,
    )
    def test_takes_its_value_with_it(self, gone: GoneOption) -> None:
        after = read(sample(gone) + " --seed 9").arguments[-1]
        assert after.words == ("--seed", "9")

    @pytest.mark.parametrize(
        "gone", [g for g in GONE.values() if g.takes != "flag"], ids=lambda g: g.spelling
    )
    def test_lacking_its_value_is_an_error(self, gone: GoneOption) -> None:
        with pytest.raises(SettingError, match="without a value"):
            read(f"{gone.spelling} --seed 9")


class TestDropped:
    @pytest.mark.parametrize(
        "text",
        [
            "--swap-space 4",
            "--swap_space=16",
            "--engine-use-ray",
            "--disable-log-requests",
            "--max-paddings 256",
            "--max-context-len-to-capture 8192",
            "--use-v2-block-manager",
            "--device cuda",
            "--multi-step-stream-outputs False",
            "--no-calculate-kv-scales",
            "--task auto",
            "--prompt-adapters a=b c=d",
            "--override-neuron-config.x 1",
            "--tokenizer-mode slow",
            "--no-worker-use-ray",
        ],
    )
    def test_leaves_nothing(self, text: str) -> None:
        assert words(text) == []

    def test_the_note_says_what_there_is_instead(self) -> None:
        (note,) = read("--swap-space 4").notes
        assert "is dropped" in note.message
        assert "--kv-offloading-size" in note.message


class TestTranslated:
    @pytest.mark.parametrize(
        ("text", "translation"),
        [
            ("--worker-use-ray", "--distributed-executor-backend ray"),
            ("--no-disable-log-requests", "--enable-log-requests"),
            ("--guided-decoding-backend outlines", "--structured-outputs-config.backend outlines"),
            (
                "--guided-decoding-backend xgrammar:no-fallback,disable-any-whitespace",
                "--structured-outputs-config.backend xgrammar "
                "--structured-outputs-config.disable_any_whitespace true",
            ),
            (
                "--guided-decoding-disable-any-whitespace",
                "--structured-outputs-config.disable_any_whitespace true",
            ),
            (
                "--guided-decoding-disable-any-whitespace False",
                "--structured-outputs-config.disable_any_whitespace false",
            ),
            ("--task embedding", "--runner pooling --convert embed"),
            ("--task reward", "--runner pooling"),
            ("--task generate", "--runner generate"),
            ("--speculative-model m", "--speculative-config.model m"),
            ("--speculative-model [ngram]", "--speculative-config.method ngram"),
            ("--num_speculative_tokens=5", "--speculative-config.num_speculative_tokens 5"),
            ("-spec-draft-tp 1", "--speculative-config.draft_tensor_parallel_size 1"),
            ("--eplb-log-balancedness", "--eplb-config.log_balancedness true"),
            ("--disable-mm-preprocessor-cache", "--mm-processor-cache-gb 0"),
            ("--enable-multimodal-encoder-data-parallel", "--mm-encoder-tp-mode data"),
            ("--cuda-graph-sizes 256", "--max-cudagraph-capture-size 256"),
            ("--cuda-graph-sizes 1 2 4", "--cudagraph-capture-sizes 1 2 4"),
            ("--no-use-gpu-for-pooling-score", "--no-enable-flash-late-interaction"),
            ("--chat-template-text-format openai", "--chat-template-content-format openai"),
            ("--override-pooler-config.pooling_type MEAN", "--pooler-config.pooling_type MEAN"),
            ("-O '{\"mode\": 3}'", "--compilation-config '{\"mode\": 3}'"),
            ("--compilation-config 3", "--compilation-config.mode 3"),
            (
                "--limit-mm-per-prompt image=2,video=1",
                '--limit-mm-per-prompt \'{"image": 2, "video": 1}\'',
            ),
            ("--collect-detailed-traces model,worker", "--collect-detailed-traces model worker"),
            ("--prefix-caching-hash-algo builtin", "--prefix-caching-hash-algo sha256"),
            ("--enable-chunked-prefill False", "--no-enable-chunked-prefill"),
            ("--enable-chunked-prefill=true", "--enable-chunked-prefill"),
        ],
    )
    def test_reads_as(self, text: str, translation: str) -> None:
        assert words(text) == split(translation)

    def test_the_note_names_the_replacement(self) -> None:
        (note,) = read("--worker-use-ray").notes
        assert "--worker-use-ray is gone since vLLM 0.7.0" in note.message
        assert "--distributed-executor-backend ray" in note.message

    def test_the_argument_says_how_it_was_spelled(self) -> None:
        (argument,) = read("--worker_use_ray").arguments
        assert argument.spelled == "--worker_use_ray"
        assert argument.option.name == "--distributed-executor-backend"

    def test_a_later_option_of_today_wins(self) -> None:
        assert words("--worker-use-ray --distributed-executor-backend mp") == [
            "--distributed-executor-backend",
            "mp",
        ]

    def test_a_task_that_never_was(self) -> None:
        with pytest.raises(SettingError, match="no release"):
            read("--task sing")

    def test_a_flag_that_is_neither_on_nor_off(self) -> None:
        with pytest.raises(SettingError, match="neither true nor false"):
            read("--worker-use-ray=maybe")


class TestIntoAnObject:
    """Keys that stand for options that are gone join the object that the user gives."""

    def test_joins(self) -> None:
        text = """--structured-outputs-config '{"backend": "auto"}'
                  --guided-decoding-disable-any-whitespace"""
        assert words(text) == [
            "--structured-outputs-config",
            '{"backend": "auto", "disable_any_whitespace": true}',
        ]

    def test_what_the_object_says_stays(self) -> None:
        text = "--num-redundant-experts 4 --eplb-config '{\"num_redundant_experts\": 2}'"
        assert words(text) == ["--eplb-config", '{"num_redundant_experts": 2}']

    def test_joins_the_users_keys(self) -> None:
        text = "--num-redundant-experts 4 --eplb-config.window_size 9"
        assert words(text) == split(
            "--eplb-config.num_redundant_experts 4 --eplb-config.window_size 9"
        )


class TestRope:
    SCALING = '--rope-scaling \'{"type": "dynamic", "factor": 2.0}\''

    def test_both_become_rope_parameters(self) -> None:
        assert words(f"{self.SCALING} --rope-theta 5e5") == [
            "--hf-overrides.rope_parameters",
            '{"factor": 2.0, "rope_type": "dynamic"}',
            "--hf-overrides.rope_parameters.rope_theta",
            "5e5",
        ]

    def test_both_join_the_users_overrides(self) -> None:
        (_, value) = words(f"--rope-theta 5e5 {self.SCALING} --hf-overrides '{{\"a\": 1}}'")
        assert json.loads(value) == {
            "a": 1,
            "rope_parameters": {"rope_theta": 5e5, "rope_type": "dynamic", "factor": 2.0},
        }

    def test_a_scaling_that_has_its_theta(self) -> None:
        scaling = '{"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}'
        (_, value) = words(f"--rope-scaling '{scaling}'")
        assert json.loads(value) == json.loads(scaling)

    @pytest.mark.parametrize("text", [SCALING, "--rope-theta 5e5", "--rope-scaling dynamic"])
    def test_one_alone_is_refused_with_what_to_write(self, text: str) -> None:
        with pytest.raises(SettingError) as caught:
            read(text)
        assert "rope_parameters" in (caught.value.hint or "")
