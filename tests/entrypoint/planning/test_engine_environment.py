"""The variables that the engine gets."""

import json
from dataclasses import replace
from pathlib import Path

from entrypoint.openvino.weights import Weights
from entrypoint.planning.remote_code import Code
from entrypoint.shared.handover import CODE_VARIABLE, OPENVINO_MODEL_VARIABLE
from tests.support.samples import CPU, CUDA, MODEL, POD, SNAPSHOT, option_of, plan, plan_of

NO_CODE = Code((), {}, ())


def test_offline_and_telemetry_settings_reach_every_library() -> None:
    env = plan(HF_HUB_OFFLINE="yes", HF_HUB_DISABLE_TELEMETRY="on").env
    assert env["HF_HUB_OFFLINE"] == "1"
    assert env["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert env["VLLM_NO_USAGE_STATS"] == "1"
    assert env["DO_NOT_TRACK"] == "1"
    assert env["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_engine_looks_up_tokenizers_in_the_same_cache() -> None:
    assert plan(HUGGINGFACE_HUB_CACHE="/mnt/models").env["HF_HUB_CACHE"] == "/mnt/models"


def test_caches_go_to_the_scratch_directory() -> None:
    pod = replace(POD, environment={"VLLM_CACHE_ROOT": "/scratch/vllm"})
    made = plan_of(MODEL, CUDA, pod)
    assert made.env["VLLM_CACHE_ROOT"] == "/scratch/vllm"
    assert option_of(made, "VLLM_CACHE_ROOT")["origin"] == "default"


def test_code_may_come_from_the_models_directories_if_trusted() -> None:
    code = {SNAPSHOT: NO_CODE, Path("/t"): NO_CODE}
    trusted = plan_of(MODEL, CUDA, POD, code, TRUST_REMOTE_CODE="1")
    assert json.loads(trusted.env[CODE_VARIABLE]) == [str(SNAPSHOT), "/t"]
    assert json.loads(plan_of(MODEL, CUDA, POD, code).env[CODE_VARIABLE]) == []


def test_the_openvino_model_is_passed() -> None:
    weights = Weights(Path("/scratch/openvino/m"), "fp16")
    made = plan_of(MODEL, replace(CPU, kind="openvino"), POD, {}, weights)
    assert made.env[OPENVINO_MODEL_VARIABLE] == "/scratch/openvino/m"
    assert option_of(made, OPENVINO_MODEL_VARIABLE)["origin"] == "accelerator"
