"""The plan: which option comes from where, who wins, what is shown. Pure: nothing is touched."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import MachineError, SettingError
from entrypoint.hardware.hardware import Hardware, Processor
from entrypoint.planning.plan import (
    LaunchPlan,
    chosen_listen,
    chosen_model,
    loads_in_place,
    make_plan,
)
from entrypoint.pod.pod import Pod
from entrypoint.settings import read_settings
from entrypoint.shared.handover import TARBALL_VARIABLE
from entrypoint.store.model import Model
from entrypoint.store.tarballs.packed import Packed
from entrypoint.store.tarballs.tree import PackedFiles
from tests.support.samples import CUDA, POD, value_of

PATH = Path("/cache/models--Meta--Llama/snapshots/abc")
MODEL = Model("cache", PATH, "Meta/Llama", "abc", None, 6 << 30, ())
CPU = Hardware("cpu", 1, 24 << 30, (0, 1, 2, 3), "0.32.0")


def plan_of(model: Model, hardware: Hardware, pod: Pod = POD, /, **variables: str) -> LaunchPlan:
    environ = {"MODEL_ID": "Meta/Llama", **variables}
    return make_plan(read_settings(environ), model, hardware, pod)


def plan(**variables: str) -> LaunchPlan:
    return plan_of(MODEL, CUDA, POD, **variables)


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


class TestAcceleratorDefaults:
    GAUDI = Hardware("hpu", 8, None, (0, 1), "0.26.0+gaudi1241")

    def test_an_option_and_a_variable_with_their_origin(self) -> None:
        made = plan_of(MODEL, self.GAUDI)
        assert value_of(made, "--block-size") == ["128"]
        assert option_of(made, "--block-size")["origin"] == "accelerator"
        assert made.env["VLLM_BUCKETING_STRATEGY"] == "exp"
        assert option_of(made, "VLLM_BUCKETING_STRATEGY")["origin"] == "accelerator"

    def test_a_variable_wins(self) -> None:
        made = plan_of(MODEL, self.GAUDI, BLOCK_SIZE="256", MAX_NUM_SEQS="8")
        assert value_of(made, "--block-size") == ["256"]
        assert value_of(made, "--max-num-seqs") == ["8"]
        assert made.argv.count("--block-size") == 1
        assert option_of(made, "--block-size")["variable"] == "BLOCK_SIZE"

    def test_arg_wins(self) -> None:
        made = plan_of(MODEL, self.GAUDI, ARG="--block-size=64")
        assert made.argv.count("--block-size") == 1
        assert value_of(made, "--block-size") == ["64"]
        assert option_of(made, "--block-size")["origin"] == "ARG"

    def test_a_variable_of_vllms_own_wins(self) -> None:
        assert "VLLM_CPU_KVCACHE_SPACE" not in plan_of(MODEL, CPU, VLLM_CPU_KVCACHE_SPACE="3").env

    def test_a_librarys_variable_wins(self) -> None:
        processor = Processor(quota=2.0)
        machine = replace(CPU, processor=processor)
        env = plan_of(MODEL, machine, OMP_NUM_THREADS="7").env
        assert "OMP_NUM_THREADS" not in env
        assert env["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"

    def test_preloaded_libraries_are_added_to_the_users(self) -> None:
        machine = replace(CPU, preload={"openmp": "/v/libiomp5.so"})
        env = plan_of(MODEL, machine, LD_PRELOAD="/x/liba.so").env
        assert env["LD_PRELOAD"] == "/x/liba.so:/v/libiomp5.so"

    @pytest.mark.parametrize(
        ("variables", "dtype"),
        [
            ({}, ["float32"]),
            ({"DTYPE": "auto"}, ["auto"]),
            ({"DTYPE": "bfloat16"}, ["bfloat16"]),
            ({"ARG": "--dtype bfloat16"}, ["bfloat16"]),
        ],
    )
    def test_the_type(self, variables: dict[str, str], dtype: list[str]) -> None:
        machine = replace(CPU, processor=Processor(flags=frozenset({"sse2", "avx512f"})))
        model = replace(MODEL, bytes=1 << 30)
        assert value_of(plan_of(model, machine, **variables), "--dtype") == dtype

    def test_a_quantization_chooses_the_type_itself(self) -> None:
        machine = replace(CPU, processor=Processor(flags=frozenset({"sse2"})))
        model = replace(MODEL, bytes=1 << 30)
        assert "--dtype" not in plan_of(model, machine, ARG="--quantization fp8").argv

    def test_a_type_in_arg_is_known_to_the_defaults(self) -> None:
        """No note on what float32 would need where the user chose."""
        machine = replace(CPU, processor=Processor(flags=frozenset({"sse2"})))
        model = replace(MODEL, bytes=20 << 30)
        assert [n.variable for n in plan_of(model, machine).notes] == ["DTYPE"]
        assert plan_of(model, machine, ARG="--dtype bfloat16").notes == ()


class TestOldLaunchScripts:
    def test_what_their_parameters_are_called_here(self) -> None:
        """Port, model, hardware mode, parallel number, block size, sequences, capture length."""
        environ = {
            "PORT": "8008",
            "LLM_MODEL": "Meta/Llama",
            "ACCELERATOR": "hpu",
            "NUM_SHARD": "8",
            "BLOCK_SIZE": "128",
            "MAX_NUM_SEQS": "256",
            "MAX_SEQ_LEN_TO_CAPTURE": "2048",
        }
        settings = read_settings(environ)
        assert chosen_model(settings) == ("Meta/Llama", None)
        made = make_plan(settings, MODEL, TestAcceleratorDefaults.GAUDI, POD)
        assert value_of(made, "--port") == ["8008"]
        assert value_of(made, "--tensor-parallel-size") == ["8"]
        assert "--max-seq-len-to-capture" not in made.argv
        (note,) = (n for n in made.notes if n.variable == "MAX_SEQ_LEN_TO_CAPTURE")
        assert "since 0.11.0" in note.message
        assert "--max-cudagraph-capture-size" in note.message

    def test_the_preferred_name_of_the_model_wins(self) -> None:
        environ = {"MODEL_ID": "a/b", "LLM_MODEL": "c/d"}
        assert chosen_model(read_settings(environ)) == ("a/b", None)


class TestAnotherVllm:
    @pytest.mark.parametrize("version", ["0.32.0", "0.32.0+cu129"])
    def test_the_one_that_the_options_are_of(self, version: str) -> None:
        assert plan_of(MODEL, replace(CUDA, vllm_version=version), ARG="--port 1").notes == ()

    def test_another_is_noted_where_arg_was_checked(self) -> None:
        gaudi = TestAcceleratorDefaults.GAUDI
        assert plan_of(MODEL, gaudi).notes == ()
        (note,) = plan_of(MODEL, gaudi, ARG="--max-model-len 4096").notes
        assert note.variable == "ARG"
        assert "0.26.0+gaudi1241" in note.message
        assert "0.32.0" in note.message


class TestRanks:
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

    @pytest.mark.parametrize(
        ("variables", "variable", "spelled"),
        [
            ({"NUM_SHARD": "8"}, "NUM_SHARD", "NUM_SHARD=8 makes 8 ranks"),
            ({"ARG": "-tp 8"}, "ARG", "ARG's --tensor-parallel-size 8 makes 8 ranks"),
            ({"ARG": "-dp 8"}, "ARG", "ARG's --data-parallel-size 8 makes 8 ranks in all"),
            (
                {"NUM_SHARD": "max", "ARG": "-pp 2"},
                "NUM_SHARD",
                "NUM_SHARD=max with ARG's --pipeline-parallel-size 2 makes 8 ranks in all",
            ),
        ],
    )
    def test_more_than_the_devices(
        self, variables: dict[str, str], variable: str, spelled: str
    ) -> None:
        with pytest.raises(SettingError) as raised:
            plan(**variables)
        assert raised.value.variable == variable
        assert raised.value.message == f"{spelled}, and there are 4 NVIDIA GPUs."
        assert ("NUM_SHARD" in str(raised.value.hint)) == (variable == "NUM_SHARD")

    def test_one_that_does_not_divide_the_heads(self) -> None:
        model = replace(MODEL, config={"num_attention_heads": 32, "num_key_value_heads": 8})
        with pytest.raises(SettingError, match=r"NUM_SHARD=3 .* 32 attention heads"):
            plan_of(model, CUDA, NUM_SHARD="3")

    @pytest.mark.parametrize("arg", ["--nnodes 2", "--distributed-executor-backend ray"])
    def test_devices_of_other_machines_are_not_counted(self, arg: str) -> None:
        assert value_of(plan(NUM_SHARD="8", ARG=arg), "--tensor-parallel-size") == ["8"]


class TestSecrets:
    def test_none_in_what_is_shown(self) -> None:
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

    def test_the_keys_in_a_file_are_read_by_the_gate(self, tmp_path: Path) -> None:
        """It reads them again when they change: the engine gets none of them."""
        (tmp_path / "keys").write_text("in-the-file\n")
        made = plan(API_KEY_FILE=str(tmp_path / "keys"))
        assert "--api-key" not in made.argv
        assert not any("in-the-file" in word for word in made.argv)


class TestCertificate:
    def test_of_the_variables(self) -> None:
        made = plan(TLS_CERT_FILE="/c.pem", TLS_KEY_FILE="/k.pem")
        assert value_of(made, "--ssl-certfile") == ["/c.pem"]
        assert value_of(made, "--ssl-keyfile") == ["/k.pem"]
        assert option_of(made, "--ssl-certfile")["variable"] == "TLS_CERT_FILE"
        assert str(made.listen) == "https://0.0.0.0:8000"
        assert made.listen.tls_variable == "TLS_CERT_FILE"

    def test_arg_wins(self) -> None:
        made = plan(
            TLS_CERT_FILE="/c.pem",
            TLS_KEY_FILE="/k.pem",
            ARG="--ssl-certfile /d.pem --ssl-keyfile /l.pem",
        )
        assert made.listen.tls_certificate == "/d.pem"
        assert made.listen.tls_key == "/l.pem"
        assert made.listen.tls_variable == "ARG"

    @pytest.mark.parametrize("variable", ["TLS_CERT_FILE", "TLS_KEY_FILE"])
    def test_one_without_the_other(self, variable: str) -> None:
        with pytest.raises(SettingError, match="TLS needs both") as raised:
            plan(**{variable: "/some.pem"})
        assert raised.value.variable == variable

    def test_one_of_each(self) -> None:
        made = plan(TLS_CERT_FILE="/c.pem", ARG="--ssl-keyfile /k.pem")
        assert (made.listen.tls_certificate, made.listen.tls_key) == ("/c.pem", "/k.pem")


def test_open_doors_are_noted() -> None:
    noted = [note.variable for note in plan(ADMIN_ROUTES="lora").notes]
    assert "ADMIN_ROUTES" in noted


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
    assert made["accelerator"] == {
        "kind": "cuda",
        "count": 4,
        "memory_bytes": None,
        "driver_version": None,
        "devices": [],
    }
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


class TestTarball:
    """A model whose weights the engine loads out of a tarball."""

    PACKED = Packed(
        PackedFiles(Path("/m/a.tar"), Path("/m/a.tar/x"), {}, {}), frozenset(), frozenset()
    )
    TARBALL = replace(MODEL, source="tarball", path=Path("/scratch/a-1/x"), packed=PACKED)

    def test_the_engine_is_told(self) -> None:
        made = plan_of(self.TARBALL, CPU)
        assert value_of(made, "--load-format") == ["tarball"]
        assert made.env[TARBALL_VARIABLE] == "/scratch/a-1/tarball.json"
        assert option_of(made, TARBALL_VARIABLE)["origin"] == "default"

    def test_any_other_model_is_loaded_as_vllm_does(self) -> None:
        made = plan_of(MODEL, CPU)
        assert "--load-format" not in made.argv
        assert TARBALL_VARIABLE not in made.env

    @pytest.mark.parametrize(
        "arg",
        ["--load-format auto", "--model-loader-extra-config {}", "--quantization bitsandbytes"],
    )
    def test_not_where_the_user_chooses_a_loader(self, arg: str) -> None:
        assert loads_in_place(read_settings({"ARG": "--max-model-len 10"}), CUDA)
        assert not loads_in_place(read_settings({"ARG": arg}), CUDA)

    def test_not_for_openvino(self) -> None:
        assert not loads_in_place(read_settings({}), replace(CPU, kind="openvino"))

    @pytest.mark.parametrize(("version", "used"), [("0.32.0+cpu", True), ("0.26.0", False)])
    def test_not_with_another_vllm(self, version: str, used: bool) -> None:
        assert loads_in_place(read_settings({}), replace(CPU, vllm_version=version)) is used

    def test_a_plain_model_in_a_tarball_is_called_by_model_id(self) -> None:
        made = plan_of(replace(self.TARBALL, repository=None), CPU)
        assert made.served_model_names == ("Meta--Llama", "meta--llama", "Meta/Llama")
