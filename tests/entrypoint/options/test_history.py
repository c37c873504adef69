"""Options that are gone: each is known, and is read as what means the same today."""

import json
from pathlib import Path

import pytest

from entrypoint.arg.words import split
from entrypoint.errors import SettingError
from entrypoint.options.arguments import Parsed, parse
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.history import (
    ONCE_BOOLEAN,
    REFUSED_VALUES,
    REMOVED,
    REMOVED_VALUES,
    RENAMED_KEYS,
    RemovedOption,
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


def sample(gone: RemovedOption) -> str:
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
    def test_every_option_of_a_release_exists_or_is_listed_as_removed(self, version: str) -> None:
        known = load_catalogue().by_spelling.keys() | REMOVED.keys()
        assert set(HISTORIC[version]) <= known

    def test_every_removed_option_once_existed(self) -> None:
        assert REMOVED.keys() <= {name for names in HISTORIC.values() for name in names}

    def test_no_existing_option_is_listed_as_removed(self) -> None:
        assert not REMOVED.keys() & load_catalogue().by_spelling.keys()

    def test_entries_about_existing_options_name_existing_ones(self) -> None:
        names = {gone.option for gone in REMOVED_VALUES} | RENAMED_KEYS.keys() | ONCE_BOOLEAN.keys()
        assert names <= load_catalogue().by_spelling.keys()

    @pytest.mark.parametrize("name", RENAMED_KEYS)
    def test_renamed_keys_do_not_exist_and_their_replacements_do(self, name: str) -> None:
        keys = load_catalogue().by_spelling[name].keys
        assert not RENAMED_KEYS[name].keys() & set(keys)
        assert set(RENAMED_KEYS[name].values()) <= set(keys)

    @pytest.mark.parametrize("name", REFUSED_VALUES)
    def test_no_value_that_vllm_accepts_is_refused(self, name: str) -> None:
        assert not REFUSED_VALUES[name].keys() & set(load_catalogue().by_spelling[name].known)

    @pytest.mark.parametrize("gone", REMOVED.values(), ids=REMOVED)
    def test_advice_names_existing_options_only(self, gone: RemovedOption) -> None:
        named = [word.rstrip(";,:.") for word in gone.advice.split() if word.startswith("-")]
        assert all(load_catalogue().find(name) is not None for name in named)


class TestEach:
    @pytest.mark.parametrize(
        "gone",
        [g for g in REMOVED.values() if g.spelling not in REFUSED_ALONE],
        ids=lambda g: g.spelling,
    )
    def test_it_is_read_with_one_note_that_names_it(self, gone: RemovedOption) -> None:
        (note,) = read(sample(gone)).notes
        assert note.level == "warning"
        assert note.variable == "ARG"
        assert gone.spelling in note.message
        assert gone.since in note.message

    @pytest.mark.parametrize(
        "gone",
        [g for g in REMOVED.values() if g.spelling not in REFUSED_ALONE],
        ids=lambda g: g.spelling,
    )
    def test_its_value_is_removed_with_it(self, gone: RemovedOption) -> None:
        after = read(sample(gone) + " --seed 9").arguments[-1]
        assert after.words == ("--seed", "9")

    @pytest.mark.parametrize(
        "gone", [g for g in REMOVED.values() if g.takes != "flag"], ids=lambda g: g.spelling
    )
    def test_a_missing_value_is_refused(self, gone: RemovedOption) -> None:
        with pytest.raises(SettingError, match="needs a value"):
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
    def test_an_ignored_option_leaves_no_argument(self, text: str) -> None:
        assert words(text) == []

    def test_the_note_names_the_alternative(self) -> None:
        (note,) = read("--swap-space 4").notes
        assert "is ignored" in note.message
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
    def test_it_is_read_as_todays_words(self, text: str, translation: str) -> None:
        assert words(text) == split(translation)

    def test_the_note_names_the_replacement(self) -> None:
        (note,) = read("--worker-use-ray").notes
        assert "because vLLM 0.7.0 removed it" in note.message
        assert "--distributed-executor-backend ray" in note.message

    def test_the_argument_keeps_the_users_spelling(self) -> None:
        (argument,) = read("--worker_use_ray").arguments
        assert argument.spelled == "--worker_use_ray"
        assert argument.option.name == "--distributed-executor-backend"

    def test_a_later_existing_option_wins(self) -> None:
        assert words("--worker-use-ray --distributed-executor-backend mp") == [
            "--distributed-executor-backend",
            "mp",
        ]

    def test_an_unknown_task_is_refused(self) -> None:
        with pytest.raises(SettingError, match="any release"):
            read("--task sing")

    def test_a_flag_that_is_neither_true_nor_false_is_refused(self) -> None:
        with pytest.raises(SettingError, match="must be true or false"):
            read("--worker-use-ray=maybe")


class TestIntoAnObject:
    """Keys that stand for options that are gone join the object that the user gives."""

    def test_translated_keys_join_the_users_object(self) -> None:
        text = """--structured-outputs-config '{"backend": "auto"}'
                  --guided-decoding-disable-any-whitespace"""
        assert words(text) == [
            "--structured-outputs-config",
            '{"backend": "auto", "disable_any_whitespace": true}',
        ]

    def test_the_users_object_wins_over_translated_keys(self) -> None:
        text = "--num-redundant-experts 4 --eplb-config '{\"num_redundant_experts\": 2}'"
        assert words(text) == ["--eplb-config", '{"num_redundant_experts": 2}']

    def test_translated_keys_join_the_users_keys(self) -> None:
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

    def test_a_scaling_with_its_theta_is_translated(self) -> None:
        scaling = '{"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}'
        (_, value) = words(f"--rope-scaling '{scaling}'")
        assert json.loads(value) == json.loads(scaling)

    @pytest.mark.parametrize("text", [SCALING, "--rope-theta 5e5", "--rope-scaling dynamic"])
    def test_one_without_the_other_is_refused_with_the_replacement(self, text: str) -> None:
        with pytest.raises(SettingError) as caught:
            read(text)
        assert "rope_parameters" in (caught.value.hint or "")
