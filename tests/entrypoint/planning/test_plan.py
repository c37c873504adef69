"""The plan: the rules of precedence, what is shown, what is checked. Pure: no files needed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.commands.table import plan_table
from entrypoint.errors import MachineError, RefusedCode, SettingError
from entrypoint.hardware.hardware import Processor
from entrypoint.planning.remote_code import Code, Reference
from tests.support.samples import (
    CPU,
    CUDA,
    GAUDI,
    MODEL,
    POD,
    SNAPSHOT,
    asked,
    option_of,
    plan,
    plan_of,
    value_of,
)

NO_BFLOAT16 = replace(CPU, processor=Processor(flags=frozenset({"sse2", "avx512f"})))
SMALL = replace(MODEL, bytes=1 << 30)


class TestRule1:
    """ARG wins over every variable and default."""

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
    def test_every_spelling_wins_and_a_note_names_the_loser(self, arg: str) -> None:
        made = plan(NUM_SHARD="2", ARG=arg)
        assert made.argv.count("--tensor-parallel-size") == 1
        assert value_of(made, "--tensor-parallel-size") == ["4"]
        shown = option_of(made, "--tensor-parallel-size")
        assert (shown["origin"], shown["overrides"]) == ("ARG", "NUM_SHARD=2")
        notes = [n.message for n in made.notes if n.variable == "NUM_SHARD"]
        assert notes == ["ARG's --tensor-parallel-size wins over NUM_SHARD=2."]

    def test_a_default_loses_without_a_note(self) -> None:
        made = plan(ARG="--port 9001")
        assert value_of(made, "--port") == ["9001"]
        assert made.listen.port == 9001
        assert not made.notes

    def test_an_accelerators_default_loses(self) -> None:
        made = plan_of(MODEL, GAUDI, ARG="--block-size=64")
        assert made.argv.count("--block-size") == 1
        assert value_of(made, "--block-size") == ["64"]
        assert option_of(made, "--block-size")["origin"] == "ARG"

    def test_served_names_of_arg_win(self) -> None:
        made = plan(MODEL_SERVE_NAME="one", ARG="--served-model-name two three")
        assert made.served_model_names == ("two", "three")
        assert value_of(made, "--served-model-name") == ["two", "three"]

    def test_a_shorter_name_of_another_option_does_not_count(self) -> None:
        """The old script compared substrings, and lost TOKENIZER here."""
        made = plan(TOKENIZER="a/b", ARG="--tokenizer-mode hf")
        assert value_of(made, "--tokenizer") == ["a/b"]
        assert value_of(made, "--tokenizer-mode") == ["hf"]

    def test_quoted_values_stay_one_word(self) -> None:
        made = plan(ARG="""--chat-template '{{ x }} "y"'""")
        assert value_of(made, "--chat-template") == ['{{ x }} "y"']


class TestRule2:
    """Within ARG, the last occurrence of an option wins."""

    def test_the_last_port_wins(self) -> None:
        assert plan(ARG="--port 9001 --port 9002").listen.port == 9002

    def test_the_last_switch_wins(self) -> None:
        arg = "--trust-remote-code --no-trust-remote-code"
        assert not asked(ARG=arg).trust_remote_code


class TestConfigFile:
    """The options in ARG's configuration file count as the first ones in ARG (rule 2)."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "vllm.yaml"

    def test_the_file_wins_over_our_defaults(self, file: Path) -> None:
        file.write_text("host: 127.0.0.1\nport: 9001\nserved-model-name: [one, two]\n")
        made = plan(ARG=f"--config {file}")
        assert (made.listen.host, made.listen.port) == ("127.0.0.1", 9001)
        assert made.served_model_names == ("one", "two")
        assert [made.argv.count(o) for o in ("--host", "--port", "--served-model-name")] == [1] * 3
        assert value_of(made, "--host") == ["127.0.0.1"]

    def test_the_file_wins_over_variables_and_an_accelerators_default(self, file: Path) -> None:
        file.write_text("tensor-parallel-size: 4\nblock-size: 64\n")
        made = plan_of(MODEL, GAUDI, NUM_SHARD="2", ARG=f"--config {file}")
        assert value_of(made, "--tensor-parallel-size") == ["4"]
        assert value_of(made, "--block-size") == ["64"]
        assert option_of(made, "--tensor-parallel-size")["overrides"] == "NUM_SHARD=2"
        (note,) = [n.message for n in made.notes if n.variable == "NUM_SHARD"]
        assert note == (f"--tensor-parallel-size (--config {file}, line 1) wins over NUM_SHARD=2.")

    def test_args_own_options_win_over_the_file(self, file: Path) -> None:
        file.write_text("port: 9001\ndtype: float16\n")
        made = plan(ARG=f"--port 9002 --config {file}")
        assert made.listen.port == 9002
        assert value_of(made, "--dtype") == ["float16"]

    def test_the_plan_names_the_file_and_the_engine_does_not_get_it(self, file: Path) -> None:
        file.write_text("dtype: float16\n")
        made = plan(ARG=f"--config {file} --seed 1")
        shown = option_of(made, "--dtype")
        assert (shown["origin"], shown["file"]) == ("config", str(file))
        assert (option_of(made, "--seed")["origin"], option_of(made, "--seed")["file"]) == (
            "ARG",
            None,
        )
        assert "--config" not in made.argv
        assert f"--config {file}" in plan_table(made.as_dict())

    @pytest.mark.parametrize("key", ["model", "revision"])
    def test_its_model_counts_as_args(self, file: Path, key: str) -> None:
        file.write_text(f"{key}: c/d\n")
        read = asked(REVISION="e", ARG=f"--config {file}")
        assert (read.model_id, read.revision) == (
            ("c/d", "e") if key == "model" else ("Meta/Llama", "c/d")
        )

    def test_its_keys_are_masked(self, file: Path) -> None:
        file.write_text("api-key: [secret-key-1, secret-key-2]\nhf_token: secret-token\n")
        made = plan(ARG=f"--config {file}")
        text = json.dumps(made.as_dict())
        assert "secret-" not in text
        assert value_of(made, "--api-key") == ["secret-key-1", "secret-key-2"]

    def test_a_port_out_of_range_names_the_line(self, file: Path) -> None:
        file.write_text("seed: 1\nport: 70000\n")
        with pytest.raises(SettingError, match=r"line 2: --port 70000 must be a number"):
            _ = plan(ARG=f"--config {file}").listen


class TestRule3:
    """A variable wins over the accelerator's default, which wins over vLLM's."""

    def test_the_accelerators_default_is_passed_with_its_origin(self) -> None:
        made = plan_of(MODEL, GAUDI)
        assert value_of(made, "--block-size") == ["128"]
        assert option_of(made, "--block-size")["origin"] == "accelerator"
        assert made.env["VLLM_BUCKETING_STRATEGY"] == "exp"
        assert option_of(made, "VLLM_BUCKETING_STRATEGY")["origin"] == "accelerator"

    def test_a_variable_wins(self) -> None:
        made = plan_of(MODEL, GAUDI, BLOCK_SIZE="256", MAX_NUM_SEQS="8")
        assert value_of(made, "--block-size") == ["256"]
        assert value_of(made, "--max-num-seqs") == ["8"]
        assert made.argv.count("--block-size") == 1
        assert option_of(made, "--block-size")["variable"] == "BLOCK_SIZE"

    @pytest.mark.parametrize(
        ("variables", "dtype"),
        [
            ({}, ["float32"]),
            ({"DTYPE": "auto"}, ["auto"]),
            ({"DTYPE": "bfloat16"}, ["bfloat16"]),
            ({"ARG": "--dtype bfloat16"}, ["bfloat16"]),
        ],
    )
    def test_the_dtype_is_the_accelerators_unless_set(
        self, variables: dict[str, str], dtype: list[str]
    ) -> None:
        assert value_of(plan_of(SMALL, NO_BFLOAT16, **variables), "--dtype") == dtype

    def test_a_dtype_in_arg_silences_the_accelerators_note(self) -> None:
        model = replace(MODEL, bytes=20 << 30)
        assert [n.variable for n in plan_of(model, NO_BFLOAT16).notes] == ["DTYPE"]
        assert plan_of(model, NO_BFLOAT16, ARG="--dtype bfloat16").notes == ()


class TestRule4:
    """Of a variable's several names, the first one wins."""

    def test_model_id_wins_over_llm_model(self) -> None:
        assert asked(MODEL_ID="a/b", LLM_MODEL="c/d").model_id == "a/b"

    def test_the_name_that_the_user_wrote_is_shown(self) -> None:
        made = plan(HUGGING_FACE_HUB_TOKEN="secret-token")
        assert option_of(made, "HF_TOKEN")["variable"] == "HUGGING_FACE_HUB_TOKEN"


class TestRule5:
    """An empty variable counts as unset."""

    def test_empty_variables_change_nothing(self) -> None:
        empty = dict.fromkeys(("NUM_SHARD", "DTYPE", "ARG", "REVISION", "API_KEY", "LLM_MODEL"), "")
        assert plan(**empty) == plan()


class TestRule6:
    """ARG's model wins over MODEL_ID, which wins over STORAGE_URI."""

    def test_args_model_and_revision_win_with_a_note(self) -> None:
        request = asked(MODEL_ID="a/b", REVISION="v1", ARG="--model c/d")
        assert (request.model_id, request.revision) == ("c/d", "v1")
        made = plan(ARG="--model c/d --revision v2")
        assert "--model" not in made.argv
        assert "--revision" not in made.argv
        assert any("--model wins over MODEL_ID=Meta/Llama" in n.message for n in made.notes)

    def test_model_id_wins_over_storage_uri(self) -> None:
        uri = "s3://bucket/model.tar"
        assert asked(STORAGE_URI=uri).model_id == "Meta/Llama"
        assert asked(MODEL_ID="", STORAGE_URI=uri).model_id == uri


class TestRule7:
    """In the engine's environment, the user's variables win over the accelerator's defaults."""

    def test_a_variable_of_vllm_wins(self) -> None:
        assert "VLLM_CPU_KVCACHE_SPACE" not in plan_of(MODEL, CPU, VLLM_CPU_KVCACHE_SPACE="3").env

    def test_a_librarys_variable_wins(self) -> None:
        machine = replace(CPU, processor=Processor(quota=2.0))
        env = plan_of(MODEL, machine, OMP_NUM_THREADS="7").env
        assert "OMP_NUM_THREADS" not in env
        assert env["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"

    def test_preloaded_libraries_are_added_to_the_users(self) -> None:
        machine = replace(CPU, preload={"openmp": "/v/libiomp5.so"})
        env = plan_of(MODEL, machine, LD_PRELOAD="/x/liba.so").env
        assert env["LD_PRELOAD"] == "/x/liba.so:/v/libiomp5.so"


class TestRule8:
    """A quantization in ARG chooses the dtype itself."""

    def test_no_dtype_is_passed(self) -> None:
        assert "--dtype" not in plan_of(SMALL, NO_BFLOAT16, ARG="--quantization fp8").argv

    def test_a_dtype_that_is_set_still_wins(self) -> None:
        made = plan_of(SMALL, NO_BFLOAT16, ARG="--quantization fp8", DTYPE="bfloat16")
        assert value_of(made, "--dtype") == ["bfloat16"]


def test_only_model_id_is_required() -> None:
    made = plan()
    assert made.argv[0] == str(SNAPSHOT)
    assert value_of(made, "--host") == ["0.0.0.0"]
    assert value_of(made, "--port") == ["8000"]
    assert "--tensor-parallel-size" not in made.argv
    assert "--trust-remote-code" not in made.argv
    assert option_of(made, "--port")["origin"] == "default"
    assert made.env == {}


def test_parameters_of_old_launch_scripts_are_understood() -> None:
    made = plan_of(
        MODEL,
        GAUDI,
        MODEL_ID="",
        PORT="8008",
        LLM_MODEL="Meta/Llama",
        ACCELERATOR="hpu",
        NUM_SHARD="8",
        BLOCK_SIZE="128",
        MAX_NUM_SEQS="256",
        MAX_SEQ_LEN_TO_CAPTURE="2048",
    )
    assert value_of(made, "--port") == ["8008"]
    assert value_of(made, "--tensor-parallel-size") == ["8"]
    assert value_of(made, "--max-num-seqs") == ["256"]
    assert "--max-seq-len-to-capture" not in made.argv


class TestSecrets:
    def test_a_plan_as_json_hides_them(self) -> None:
        for variables in (
            {"API_KEY": "secret-key-1"},
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

    def test_keys_in_a_file_are_not_passed_to_the_engine(self, tmp_path: Path) -> None:
        """The gate reads the file, and again when it changes."""
        (tmp_path / "keys").write_text("in-the-file\n")
        made = plan(API_KEY_FILE=str(tmp_path / "keys"))
        assert "--api-key" not in made.argv
        assert not any("in-the-file" in word for word in made.argv)


class TestSockets:
    @pytest.mark.parametrize("arg", ["--headless", "--grpc"])
    def test_some_modes_of_vllm_open_their_own(self, arg: str) -> None:
        assert plan(ARG=arg).engine_binds

    def test_other_modes_take_over_ours(self) -> None:
        assert not plan(ARG="--api-server-count 2 --data-parallel-size 2").engine_binds


def test_the_json_document_keeps_its_fields() -> None:
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
    assert made["accelerator"] == {
        "kind": "cuda",
        "count": 4,
        "memory_bytes": None,
        "driver_version": None,
        "devices": [],
    }
    assert made["model"]["path"] == str(SNAPSHOT)
    assert json.loads(json.dumps(made)) == made


class TestChecks:
    def test_ranks_must_divide_the_heads(self) -> None:
        model = replace(MODEL, config={"num_attention_heads": 32, "num_key_value_heads": 8})
        with pytest.raises(SettingError, match=r"NUM_SHARD=3 .* 32 attention heads"):
            plan_of(model, CUDA, NUM_SHARD="3")

    @pytest.mark.parametrize("arg", ["--nnodes 2", "--distributed-executor-backend ray"])
    def test_ranks_on_other_machines_need_no_device_here(self, arg: str) -> None:
        assert value_of(plan(NUM_SHARD="8", ARG=arg), "--tensor-parallel-size") == ["8"]

    def test_shared_memory_is_needed_for_several_ranks_only(self) -> None:
        pod = replace(POD, shm=None)
        plan_of(MODEL, CUDA, pod)
        with pytest.raises(MachineError, match="/dev/shm"):
            plan_of(MODEL, CUDA, pod, NUM_SHARD="2")

    def test_openvino_runs_one_rank(self) -> None:
        with pytest.raises(SettingError, match="NUM_SHARD=2: OpenVINO"):
            plan_of(MODEL, replace(CPU, kind="openvino"), NUM_SHARD="2")

    def test_code_of_another_repository_may_not_run(self) -> None:
        reference = Reference("config.json", "AutoModel", "org/name--module.Class")
        code = {SNAPSHOT: Code((reference,), {}, ())}
        plan_of(MODEL, CUDA, POD, code)
        with pytest.raises(RefusedCode, match="org/name--module"):
            plan_of(MODEL, CUDA, POD, code, TRUST_REMOTE_CODE="1")


def test_injected_variables_are_dropped() -> None:
    made = plan_of(MODEL, CUDA, replace(POD, injected=("VLLM_PORT", "VLLM_SERVICE_HOST")))
    assert made.dropped == ("VLLM_PORT", "VLLM_SERVICE_HOST")
