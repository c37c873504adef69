"""The catalogue and our reading of ARG against the real parser of the installed vLLM.

Importing vLLM takes half a minute; everything that needs it is in this file.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import string
import warnings
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrypoint.arg.words import split
from entrypoint.errors import SettingError
from entrypoint.options.arguments import parse
from entrypoint.options.catalogue import Option, load_catalogue
from entrypoint.options.history import REMOVED
from server import catalogue

Namespace = dict[str, str]
Reader = Callable[[list[str]], Namespace | None]


@pytest.fixture(scope="module")
def parser() -> ArgumentParser:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return catalogue.make_parser()


@pytest.fixture(scope="module")
def real(parser: ArgumentParser) -> Reader:
    """What the real parser makes of words; None if it refuses them, however it does."""

    def read(words: list[str]) -> Namespace | None:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                namespace = vars(parser.parse_args(list(words)))
            except (SystemExit, Exception):
                return None
        if namespace.pop("model_tag") is not None:
            return None  # a word that belongs to no option; our model comes from MODEL_ID
        # as text, so that nan is nan; one configuration draws an id for itself
        texts = {name: repr(value) for name, value in namespace.items()}
        return {name: re.sub(r"engine_id='[^']*'", "", text) for name, text in texts.items()}

    return read


def ours(text: str) -> list[str] | None:
    """The words that we would give to vLLM for an ARG; None if we refuse it."""
    try:
        arguments = parse(split(text), load_catalogue()).arguments
    except SettingError:
        return None
    return [word for argument in arguments for word in argument.words]


class TestInStep:
    def test_the_committed_file_is_the_installed_vllms(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = catalogue.render(catalogue.make_catalogue())
        assert catalogue.OUTPUT.read_text(encoding="utf-8") == text

    def test_check_names_the_command_to_run(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = tmp_path / "catalogue.json"
        arguments = ["--output", str(output)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert catalogue.main([*arguments, "--check"]) == 1
            assert "python -m server.catalogue" in capsys.readouterr().err
            assert catalogue.main(arguments) == 0
            assert catalogue.main([*arguments, "--check"]) == 0
            output.write_text(output.read_text().replace("--seed", "--sad"))
            assert catalogue.main([*arguments, "--check"]) == 1

    def test_the_catalogue_has_every_spelling_of_the_parser(self, parser: ArgumentParser) -> None:
        spellings = {s for action in parser._actions for s in action.option_strings}
        assert spellings == set(load_catalogue().by_spelling)

    def test_it_is_the_parser_of_the_serve_command(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from vllm.entrypoints.cli.serve import ServeSubcommand
            from vllm.utils.argparse_utils import FlexibleArgumentParser

            subparsers = FlexibleArgumentParser().add_subparsers()
            serve = ServeSubcommand().subparser_init(subparsers)
        spellings = {s for action in serve._actions for s in action.option_strings}
        assert spellings == set(load_catalogue().by_spelling)


class TestDescribe:
    """Options that the parser does not have today, and that must not go unnoticed."""

    @pytest.mark.parametrize(
        "arguments",
        [
            {"nargs": 2},
            {"nargs": "*"},
            {"type": complex},
            {"type": lambda word: word.upper()},
            {"action": "count"},
            {"action": "extend"},
        ],
    )
    def test_an_unsupported_option_stops_the_script(self, arguments: dict[str, Any]) -> None:
        made = ArgumentParser(add_help=False)
        made.add_argument("--x", **arguments)
        with pytest.raises(catalogue.UnsupportedOption, match="x"):
            catalogue.describe_parser(made)

    @pytest.mark.parametrize(
        ("help_text", "sentence"),
        [
            ("One. Two.", "One."),
            ("One, e.g. this. Two.", "One, e.g. this."),
            ("No\n end\n\nnext paragraph.", "No end"),
            ("50%% of v1.5. Two", "50% of v1.5."),
            ("The policy to use:\n\n- fcfs", "The policy to use"),
            ("", ""),
        ],
    )
    def test_help_is_cut_to_its_first_sentence(self, help_text: str, sentence: str) -> None:
        assert catalogue.first_sentence(help_text) == sentence


# both accept each with the same meaning, or both refuse it
SAME = [
    "",
    "--gpu-memory-utilization=0.93",
    "--gpu_memory_utilization 0.93",
    "--device-memory-utilization 0.5",
    "--gpu-mem .5",
    "--max-model-len 4k --max-num-batched-tokens 2K",
    "--max-model-len auto",
    "--max-model-len -1",
    "--max-model-len 1.5K",
    "--max-model-len 1e3",
    "--max-num-batched-tokens auto",
    "--kv-cache-memory-bytes None",
    "--kv-cache-memory-bytes ''",
    "-tp 2 -pp=2 -dp 4",
    "-tp2",
    "-t 2",
    "-t=2",
    "-d 2",
    "-n2 -r 1",
    "-qawq",
    "-q=awq",
    "-q None",
    "-ep -dph",
    "-ep=1",
    "--enforce-eager",
    "--no-enforce-eager",
    "--no_enforce_eager",
    "--enforce",
    "--enforce-eager=true",
    "--enforce-eager true",
    "--enforce-eager --no-enforce-eager",
    "--headless --no-headless",
    "--seed -1",
    "--seed=-1",
    "--seed 1_000",
    "--seed 1.0",
    "--seed ''",
    "--seed",
    "--seed --port 1",
    "--seed 1 --seed 2",
    "--watermark -0.5",
    "--watermark=-0.5",
    "--watermark nan",
    "--dtype half",
    "--dtype int8",
    "--dtype HALF",
    "--max-lora-rank 16",
    "--max-lora-rank 7",
    "--moe-backend DEEP-GEMM",
    "--moe-backend none",
    "--device-ids 0,1",
    "--served-model-name a b --seed 1",
    "--served-model-name=a b",
    "--served-model-name",
    "--api-key a --api-key b c",
    "--middleware a --middleware b",
    "--middleware a b",
    "--hf-token",
    "--hf-token x",
    "--hf-token --seed 1",
    "--chat-template '{{ x }} -y'",
    "--chat-template '- {{ x }}'",
    "--chat-template=-x",
    "--chat-template -x",
    "--chat-template ''",
    "--chat-template -",
    "--response-role a=b",
    "--response-role=a=b.c",
    '--hf-overrides \'{"a": {"b": 1}}\'',
    "--hf-overrides a.b",
    "--hf-overrides '{a}'",
    "--hf-overrides.a.b 1 --hf-overrides.a.c x",
    "--hf-overrides.a+ x --hf-overrides.a+=y,z",
    "--hf_overrides.a_b -x",
    "--hf-overrides.a",
    "--hf-overrides.a --seed",
    "--hf-over.a 1",
    "--hf-overrides '{}' --hf-overrides.a 1",
    '-sc \'{"model": "m"}\'',
    "-sc.model m -sc.num_speculative_tokens 3",
    "-sc '{'",
    "-sc '{\"a\": 1k}'",
    "-cc '{\"mode\": 3}'",
    "-cc.mode 3",
    "-cc.cudagraph_mode NONE -cc.custom_ops+ none",
    "-cc '{\"mod\": 3}'",
    "-cc.mod 3",
    "-cc []",
    "-cc null",
    "--kv-transfer-config '{\"kv_port\": 14k}'",
    "--kv-transfer-config None",
    "--eplb-config.window_size 2k",
    "--limit-mm-per-prompt.image 2",
    "--allowed-origins '[\"*\"]'",
    "--allowed-origins *",
    '--lora-modules a=b \'{"name": "c", "path": "d"}\'',
    "--lora-modules a",
    '--lora-modules \'{"name": "c"}\'',
    "--collect-detailed-traces model worker",
    "--collect-detailed-traces all none",
    "--cudagraph-capture-sizes 1 2 4",
    "--cudagraph-capture-sizes 1 x",
    "--numa-bind-nodes 0 1",
    "-O3",
    "-O=3",
    "-O 3",
    "-O",
    "--optimization-level 1",
    "--data 1",
    "--log-level INFO",
    "--log-level info",
    "--log-config-file x",
    "--zzz",
    "--zzz=1",
    "--zzz.a 1",
    "-z",
    "--help",
    "--model a/b",
    "a/b",
    "-",
]

# what we read otherwise on purpose: ARG, and the words that vLLM should get, if any
DIFFERENT: list[tuple[str, str | None]] = [
    # vLLM takes its own old spellings no more
    ("--swap-space 4", ""),
    ("--worker-use-ray", "--distributed-executor-backend ray"),
    ("-cc 3", "-cc.mode 3"),
    ("--enable-chunked-prefill False", "--no-enable-chunked-prefill"),
    # vLLM keeps the last of the two
    ("-cc.mode 3 --compilation-config.cudagraph_mode NONE", "-cc.mode 3 -cc.cudagraph_mode NONE"),
    # vLLM takes the keys out first, and gives the word after them to the option before them
    ("--seed --hf-overrides.a x 1", None),
    # vLLM makes text of these: a JSON object for a template
    ("--chat-template.a b", None),
    # vLLM takes it, and refuses it a minute later
    ("--quantization squeezellm", None),
    # vLLM lets a word with an unknown name and a blank in its value pass as the model
    ("--zeed='a b'", None),
    # it ends the options, and nothing else than options may follow
    ("--", None),
]


class TestSameAsTheRealParser:
    @pytest.mark.parametrize("text", SAME)
    def test_words_mean_the_same_in_both(self, text: str, real: Reader) -> None:
        words = ours(text)
        expected = real(split(text))
        assert (real(words) if words is not None else None) == expected
        assert (words is None) == (expected is None)

    def test_the_table_has_both_outcomes(self, real: Reader) -> None:
        taken = [text for text in SAME if real(split(text)) is not None]
        assert len(taken) > 60
        assert len(SAME) - len(taken) > 30

    @pytest.mark.parametrize(("text", "equivalent"), DIFFERENT)
    def test_a_known_difference_stays(
        self, text: str, equivalent: str | None, real: Reader
    ) -> None:
        words = ours(text)
        if equivalent is None:
            assert words is None
        else:
            assert words is not None
            assert real(words) == real(split(equivalent)) is not None
        assert words is None or real(split(text)) != real(words)

    @pytest.mark.parametrize(
        "content",
        [
            "port: 12323\n",
            "max_model_len: 4k\nmax-num-seqs: 8\nenforce-eager: true\n",
            "enable-prefix-caching: false\ntrust_remote_code: true\nheadless: false\n",
            "served-model-name: [a, b]\ndtype: bfloat16\nquantization: ~\n",
            "compilation-config:\n  mode: 3\n  cudagraph_mode: NONE\n",
            "compilation-config.mode: 3\nhf-overrides.a.b: 3\n",
            "speculative-config: {method: ngram, num_speculative_tokens: 3}\n",
            "revision: 1.10\nmiddleware: a.b\nhf-token: x\n",
            "seed: 1\nseed: 2\nport: 5\n",
            "limit-mm-per-prompt: '{\"image\": 2}'\nmax-num-batched-tokens: 2K\n",
        ],
    )
    def test_a_configuration_file_means_the_same(
        self, tmp_path: Path, content: str, real: Reader
    ) -> None:
        file = tmp_path / "vllm.yaml"
        file.write_text(content)
        # vLLM looks for --config only in this form, and removes it
        expected = real(["--config", str(file), "--seed", "7"])
        words = ours(f"--seed 7 --config={file}")
        assert words is not None
        assert words[-2:] == ["--config", str(file)]
        assert real(words[:-2]) == expected is not None


class TestRemoved:
    """The installed vLLM has every option that replaces a removed one."""

    @pytest.mark.parametrize("name", sorted(REMOVED.keys() - {"--rope-scaling", "--rope-theta"}))
    def test_every_replacement_is_accepted(self, name: str, real: Reader) -> None:
        values = {
            "--task": "embed",
            "--guided-decoding-backend": "outlines",
            "--chat-template-text-format": "openai",
            "--override-pooler-config": "{}",
            "-O": "{}",
        }
        value = "" if REMOVED[name].takes == "flag" else values.get(name, "4")
        # two of its keys are refused with the default backend
        backend = "--structured-outputs-config.backend guidance" if "-disable-a" in name else ""
        words = ours(f"{name} {value} {backend}")
        assert words is not None
        assert real(words) is not None

    def test_every_task_is_accepted(self, real: Reader) -> None:
        for task in ("auto", "generate", "transcription", "draft", "classify", "score", "reward"):
            words = ours(f"--task {task}")
            assert words is not None
            assert real(words) is not None

    def test_keys_of_objects_that_the_parser_leaves_open(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from vllm.config import SpeculativeConfig
        text = (
            "--speculative-model m --num-speculative-tokens 1 --speculative-max-model-len 1 "
            "--speculative-model-quantization fp8 -spec-draft-tp 1 --ngram-prompt-lookup-max 1 "
            "--ngram-prompt-lookup-min 1"
        )
        keys = {a.key.strip(".") for a in parse(split(text), load_catalogue()).arguments}
        assert len(keys) == 7
        assert keys <= {field.name for field in fields(SpeculativeConfig)}


PLAIN = st.text(string.ascii_letters + string.digits + "/_-. ={}'\"", max_size=12)
TEXT = PLAIN.filter(lambda text: not text.startswith(("-", "{")))
JSON_OBJECT = st.dictionaries(
    st.text(string.ascii_letters, min_size=1), st.integers() | st.text() | st.booleans()
)


def value_of(option: Option) -> st.SearchStrategy[str]:
    if option.name == "--mm-processor-device":
        return st.sampled_from(["auto", "cpu"])  # the others' machines are others
    if option.choices:
        return st.sampled_from([str(choice) for choice in option.choices])
    if option.name == "--quantization":
        return st.sampled_from(option.known)
    match option.type:
        case "int":
            return st.integers().map(str)
        case "float":
            return st.floats(allow_nan=False).map(str).filter(lambda text: text[0] != "-")
        case "human-int" | "human-int-or-auto":
            return st.builds("{}{}".format, st.integers(0, 999), st.sampled_from(["", *"kKmMgGtT"]))
        case "json" | "json-or-str":
            return JSON_OBJECT.map(json.dumps) if not option.keys else st.just("{}")
        case "lora":
            return st.builds("{}={}".format, st.sampled_from("abc"), st.sampled_from("abc"))
        case _:
            return TEXT


@st.composite
def uses(draw: st.DrawFn) -> list[str]:
    """The words of one valid use of one option, in any of its spellings."""
    option = draw(st.sampled_from(USABLE))
    spelling = draw(st.sampled_from(option.spellings))
    if spelling.startswith("--") and draw(st.booleans()):
        spelling = spelling[:2] + spelling[2:].replace("-", "_")
    if option.kind in ("flag", "boolean"):
        return [spelling]
    if option.kind == "optional-value" and draw(st.booleans()):
        return [spelling]
    if option.takes_keys and not option.keys and draw(st.booleans()):
        # in full: vLLM makes different objects of different spellings
        key = draw(st.sampled_from(["a", "b.c", "d_e", "f+"]))
        return [f"{option.name}.{key}", draw(TEXT.filter(bool))]
    value = draw(value_of(option))
    if draw(st.booleans()):
        return [f"{spelling}={value}"]
    if option.kind == "list":
        return [spelling, value, *draw(st.lists(value_of(option), max_size=2))]
    return [spelling, value]


# the one reads a file, the other ends the process
UNUSABLE = {"--config", "--help"}
USABLE = [option for option in load_catalogue().options if option.name not in UNUSABLE]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(written=st.lists(uses(), max_size=6))
def test_any_valid_words_mean_the_same(written: list[list[str]], real: Reader) -> None:
    raw = [word for use in written for word in use]
    expected = real(raw)
    assert expected is not None, "the strategy is wrong, not the parser"
    words = ours(shlex.join(raw))
    assert words is not None
    assert real(words) == expected


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    words=st.lists(
        st.sampled_from(["--seed", "-tp", "--enforce-eager", "--no-enforce", "--served"])
        | st.sampled_from(
            ["--max", "--port=1", "-qawq", "--api-key", "1", "-1", "x", "", "-", "-z"]
        ),
        max_size=6,
    )
)
def test_any_words_are_accepted_by_both_or_by_neither(words: list[str], real: Reader) -> None:
    read = ours(shlex.join(words))
    expected = real(words)
    assert (read is None) == (expected is None)
    assert read is None or real(read) == expected
