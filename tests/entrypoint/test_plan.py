"""The plan: which option comes from where, who wins, what is shown. Pure: nothing is touched."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import MachineError, SettingError
from entrypoint.hardware.hardware import Hardware
from entrypoint.plan import LaunchPlan, chosen_listen, chosen_model, make_plan
from entrypoint.pod import Pod
from entrypoint.settings import read_settings
from entrypoint.store.model import Model
from tests.entrypoint.samples import POD

PATH = Path("/cache/models--Meta--Llama/snapshots/abc")
MODEL = Model("cache", PATH, "Meta/Llama", "abc", None, 6 << 30, ())
CPU = Hardware("cpu", 1, 24 << 30, (0, 1, 2, 3), "0.32.0")
CUDA = Hardware("cuda", 4, None, (0, 1), "0.32.0")


def plan_of(model: Model, hardware: Hardware, pod: Pod = POD, /, **variables: str) -> LaunchPlan:
    environ = {"MODEL_ID": "Meta/Llama", **variables}
    return make_plan(read_settings(environ), model, hardware, pod)


def plan(**variables: str) -> LaunchPlan:
    return plan_of(MODEL, CUDA, POD, **variables)


def value_of(made: LaunchPlan, option: str) -> list[str]:
    """The words that follow an option in argv."""
    rest = list(made.argv[made.argv.index(option) + 1 :])
    ends = [i for i, word in enumerate(rest) if word.startswith("--")]
    return rest[: ends[0]] if ends else rest


def option_of(made: LaunchPlan, option: str) -> dict[str, Any]:
    return next(o for o in made.as_dict()["options"] if o["option"] == option)


class TestVariables:
    def test_the_least(self) -> None:
        made = plan()
        assert made.argv[0] == str(PATH)
        assert value_of(made, "--host") == ["0.0.0.0"]
        assert value_of(made, "--port") == ["8000"]
        assert "--tensor-parallel-size" not in made.argv
        assert "--trust-remote-code" not in made.argv
        assert option_of(made, "--port")["origin"] == "default"

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
    def test_each(self, variable: str, value: str, option: str, words: list[str]) -> None:
        made = plan(**{variable: value})
        assert value_of(made, option) == words
        shown = option_of(made, option)
        assert (shown["origin"], shown["variable"]) == ("variable", variable)

    def test_remote_code_stays_off(self) -> None:
        assert "--trust-remote-code" not in plan(TRUST_REMOTE_CODE="false").argv

    def test_the_models_own_tokenizer_is_in_its_directory(self) -> None:
        assert "--tokenizer" not in plan(TOKENIZER="Meta/Llama").argv

    def test_a_dtype_that_vllm_does_not_have(self) -> None:
        with pytest.raises(SettingError) as raised:
            plan(DTYPE="int3")
        assert raised.value.variable == "DTYPE"
        assert "int3" in raised.value.message
        assert "bfloat16" in raised.value.message

    def test_an_own_tokenizer_does_not_replace_tokenizer_mode(self) -> None:
        """The old script compared substrings, and lost TOKENIZER here."""
        made = plan(TOKENIZER="a/b", ARG="--tokenizer-mode hf")
        assert value_of(made, "--tokenizer") == ["a/b"]
        assert value_of(made, "--tokenizer-mode") == ["hf"]

    @pytest.mark.parametrize("variable", ["API_KEY", "MODEL_SERVE_NAME", "TOKENIZER"])
    def test_a_value_that_would_be_read_as_an_option(self, variable: str) -> None:
        with pytest.raises(SettingError) as raised:
            plan(**{variable: "-secret-value"})
        assert raised.value.variable == variable
        assert ("secret-value" in raised.value.message) == (variable != "API_KEY")


class TestServedNames:
    def test_derived_in_its_own_case_in_lower_case_and_the_id(self) -> None:
        assert plan().served_model_names == ("Meta--Llama", "meta--llama", "Meta/Llama")

    def test_only_the_first_slash(self) -> None:
        made = plan_of(Model("cache", PATH, "a/b/c", None, None, 0, ()), CUDA, MODEL_ID="a/b/c")
        assert made.served_model_names == ("a--b/c", "a/b/c")

    def test_a_directory_is_called_by_its_last_component(self) -> None:
        model = Model("directory", Path("/data/My-Model"), None, None, None, 0, ())
        made = plan_of(model, CUDA, MODEL_ID="/data/My-Model/")
        assert made.served_model_names == ("My-Model", "my-model", "/data/My-Model/")

    def test_named(self) -> None:
        made = plan(MODEL_SERVE_NAME="one, two,one")
        assert made.served_model_names == ("one", "two")
        assert value_of(made, "--served-model-name") == ["one", "two"]

    def test_an_empty_name(self) -> None:
        with pytest.raises(SettingError, match="MODEL_SERVE_NAME"):
            plan(MODEL_SERVE_NAME="one,,two")

    def test_arg_wins(self) -> None:
        made = plan(MODEL_SERVE_NAME="one", ARG="--served-model-name two three")
        assert made.served_model_names == ("two", "three")
        assert value_of(made, "--served-model-name") == ["two", "three"]


class TestArgWins:
    @pytest.mark.parametrize(
        "arg",
        [
            "--tensor-parallel-size 4",
            "--tensor-parallel-size=4",
            "--tensor_parallel_size 4",
            "--tensor_parallel_size=4",
            "-tp 4",
        ],
    )
    def test_in_every_spelling_with_a_note(self, arg: str) -> None:
        made = plan(NUM_SHARD="2", ARG=arg)
        assert made.argv.count("--tensor-parallel-size") == 1
        assert value_of(made, "--tensor-parallel-size") == ["4"]
        shown = option_of(made, "--tensor-parallel-size")
        assert (shown["origin"], shown["overrides"]) == ("ARG", "NUM_SHARD=2")
        notes = [n.message for n in made.notes if n.variable == "NUM_SHARD"]
        assert notes == ["ARG's --tensor-parallel-size wins over NUM_SHARD=2."]

    def test_over_a_default_without_a_note(self) -> None:
        made = plan(ARG="--port 9001")
        assert value_of(made, "--port") == ["9001"]
        assert made.listen.port == 9001
        assert not made.notes

    def test_the_model(self) -> None:
        settings = read_settings({"MODEL_ID": "a/b", "REVISION": "v1", "ARG": "--model c/d"})
        assert chosen_model(settings) == ("c/d", "v1")
        made = plan(ARG="--model c/d --revision v2")
        assert "--model" not in made.argv
        assert "--revision" not in made.argv
        assert any("--model wins over MODEL_ID=Meta/Llama" in n.message for n in made.notes)

    def test_the_last_one_counts(self) -> None:
        assert plan(ARG="--port 9001 --port 9002").listen.port == 9002

    def test_quoting(self) -> None:
        made = plan(ARG="""--chat-template '{{ x }} "y"'""")
        assert value_of(made, "--chat-template") == ['{{ x }} "y"']

    def test_where_to_listen(self) -> None:
        settings = read_settings(
            {"PORT": "1234", "ARG": "--host ::1 --ssl-certfile c.pem --ssl-keyfile k.pem"}
        )
        assert str(chosen_listen(settings)) == "https://[::1]:1234"


class TestEnvironment:
    def test_offline_and_silent(self) -> None:
        env = plan(HF_HUB_OFFLINE="yes", HF_HUB_DISABLE_TELEMETRY="on").env
        assert env["HF_HUB_OFFLINE"] == "1"
        assert env["HF_HUB_DISABLE_TELEMETRY"] == "1"
        assert env["VLLM_NO_USAGE_STATS"] == "1"
        assert env["RAY_USAGE_STATS_ENABLED"] == "0"

    def test_nothing_that_was_not_asked_for(self) -> None:
        assert plan().env == {}

    def test_the_cache_for_the_engines_own_look_ups(self) -> None:
        assert plan(HUGGINGFACE_HUB_CACHE="/mnt/models").env["HF_HUB_CACHE"] == "/mnt/models"


class TestCpu:
    @pytest.mark.parametrize(
        ("gib", "weights_gib", "shards", "sequence_gib", "space"),
        [
            (24, 6, "1", None, "6"),  # twice 6 of weights: 12 left, half of it
            (24, 6, "2", None, "3"),  # each rank its share
            (24, 6, "1", 0.25, "4"),  # 16 sequences of full length
            (24, 6, "2", 0.25, "2"),
            (24, 6, "1", 10, "6"),  # never more than half of what is left
            (1, 6, "1", None, "1"),  # never less than one
            (24, 6, "1", 0.001, "1"),
        ],
    )
    def test_the_cache(
        self, gib: int, weights_gib: int, shards: str, sequence_gib: float | None, space: str
    ) -> None:
        config = {}
        if sequence_gib is not None:  # one layer with one head of size one: 4 bytes a token
            config = {
                "num_attention_heads": 1,
                "hidden_size": 1,
                "num_hidden_layers": 1,
                "max_position_embeddings": int(sequence_gib * (1 << 30) / 4),
            }
        model = replace(MODEL, bytes=weights_gib << 30, config=config)
        machine = Hardware("cpu", 1, gib << 30, (0, 1), "0.32.0")
        env = plan_of(model, machine, NUM_SHARD=shards).env
        assert env["VLLM_CPU_KVCACHE_SPACE"] == space

    def test_a_variable_of_vllms_own_wins(self) -> None:
        assert plan_of(MODEL, CPU, VLLM_CPU_KVCACHE_SPACE="3").env == {}

    @pytest.mark.parametrize(
        ("cpus", "shards", "binding"),
        [((0, 1, 2, 3), "2", "0,1|2,3"), ((4, 6), "2", "4|6"), ((0,), "2", "nobind")],
    )
    def test_ranks_share_the_cores(self, cpus: tuple[int, ...], shards: str, binding: str) -> None:
        machine = Hardware("cpu", 1, None, cpus, "0.32.0")
        env = plan_of(MODEL, machine, NUM_SHARD=shards).env
        assert env["VLLM_CPU_OMP_THREADS_BIND"] == binding

    @pytest.mark.parametrize(
        "arg", ["-dp 2", "--pipeline-parallel-size 2", "-tp 2", "--data-parallel-size=2"]
    )
    def test_ranks_of_every_kind_count(self, arg: str) -> None:
        env = plan_of(MODEL, CPU, ARG=arg).env
        assert env["VLLM_CPU_OMP_THREADS_BIND"] == "0,1|2,3"

    def test_they_multiply(self) -> None:
        env = plan_of(MODEL, CPU, NUM_SHARD="2", ARG="-dp 2").env
        assert env["VLLM_CPU_OMP_THREADS_BIND"] == "0|1|2|3"

    @pytest.mark.parametrize("option", ["--data-parallel-size", "--tensor-parallel-size"])
    def test_no_rank_at_all(self, option: str) -> None:
        with pytest.raises(SettingError, match=option):
            plan(ARG=f"{option} 0")

    def test_one_rank_is_bound_by_vllm_itself(self) -> None:
        assert "VLLM_CPU_OMP_THREADS_BIND" not in plan_of(MODEL, CPU).env


class TestSecrets:
    def test_none_in_what_is_shown(self, tmp_path: Path) -> None:
        keys = tmp_path / "keys"
        keys.write_text("secret-key-3\nsecret-key-4\n")
        for variables in (
            {"API_KEY": "secret-key-1"},
            {"API_KEY_FILE": str(keys)},
            {"ARG": "--api-key secret-key-5 secret-key-6 --hf-token=secret-token-2"},
            {"API_KEY": "secret-key-1", "ARG": "--api-key secret-key-5"},
            {"ARG": "--api-key=-secret-key-7"},
        ):
            made = plan(HF_TOKEN="secret-token-1", **variables)
            assert "secret-" not in json.dumps(made.as_dict())
            assert "***" in json.dumps(made.as_dict())

    def test_the_engine_gets_them(self) -> None:
        made = plan(HF_TOKEN="token", API_KEY="key")
        assert made.env["HF_TOKEN"] == "token"
        assert value_of(made, "--api-key") == ["key"]


class TestModes:
    @pytest.mark.parametrize("arg", ["--headless", "--grpc"])
    def test_where_vllm_binds_by_itself(self, arg: str) -> None:
        assert plan(ARG=arg).engine_binds

    def test_elsewhere_it_takes_over_the_socket(self) -> None:
        assert not plan(ARG="--api-server-count 2 --data-parallel-size 2").engine_binds


def test_the_fields_for_programs() -> None:
    made = plan().as_dict()
    assert list(made) == [
        "argv",
        "env",
        "served_model_names",
        "model",
        "accelerator",
        "options",
        "notes",
    ]
    assert made["accelerator"] == {"kind": "cuda", "count": 4, "memory_bytes": None}
    assert made["model"]["path"] == str(PATH)
    assert json.loads(json.dumps(made)) == made


class TestPod:
    def test_caches_go_to_the_scratch_directory(self) -> None:
        pod = replace(POD, environment={"VLLM_CACHE_ROOT": "/scratch/vllm"})
        made = plan_of(MODEL, CUDA, pod)
        assert made.env["VLLM_CACHE_ROOT"] == "/scratch/vllm"
        assert option_of(made, "VLLM_CACHE_ROOT")["origin"] == "default"

    def test_injected_variables_are_dropped_with_a_note(self) -> None:
        made = plan_of(MODEL, CUDA, replace(POD, injected=("VLLM_PORT", "VLLM_SERVICE_HOST")))
        assert made.dropped == ("VLLM_PORT", "VLLM_SERVICE_HOST")
        note = next(note for note in made.notes if note.variable == "VLLM_PORT")
        assert note.message.startswith("VLLM_PORT, VLLM_SERVICE_HOST: set by Kubernetes")

    def test_what_the_engine_needs_depends_on_its_ranks(self) -> None:
        pod = replace(POD, shm=None)
        plan_of(MODEL, CUDA, pod)
        with pytest.raises(MachineError, match="no /dev/shm"):
            plan_of(MODEL, CUDA, pod, NUM_SHARD="2")
