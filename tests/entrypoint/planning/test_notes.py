"""The notes of a plan."""

from dataclasses import replace

import pytest

from entrypoint.hardware.hardware import Hardware
from entrypoint.note import Note
from tests.support.samples import CUDA, GAUDI, MODEL, POD, plan, plan_of


def test_notes_about_the_machine_come_first() -> None:
    note = Note("info", None, "This machine is loud.")
    assert plan_of(MODEL, replace(CUDA, notes=(note,)), ADMIN_ROUTES="lora").notes[0] == note


def test_open_routes_are_noted() -> None:
    assert "ADMIN_ROUTES" in [note.variable for note in plan(ADMIN_ROUTES="lora").notes]


@pytest.mark.parametrize("version", ["0.32.0", "0.32.0+cu129"])
def test_the_vllm_of_the_catalogue_needs_no_note(version: str) -> None:
    assert plan_of(MODEL, replace(CUDA, vllm_version=version), ARG="--port 1").notes == ()


def test_another_vllm_is_noted_if_arg_was_checked() -> None:
    assert plan_of(MODEL, GAUDI).notes == ()
    (note,) = plan_of(MODEL, GAUDI, ARG="--max-model-len 4096").notes
    assert note.variable == "ARG"
    assert "0.26.0+gaudi1241" in note.message
    assert "0.32.0" in note.message


def test_variables_of_kubernetes_are_noted() -> None:
    made = plan_of(MODEL, CUDA, replace(POD, injected=("VLLM_PORT", "VLLM_SERVICE_HOST")))
    note = next(note for note in made.notes if note.variable == "VLLM_PORT")
    assert note.message.startswith(
        "The engine does not get VLLM_PORT, VLLM_SERVICE_HOST: Kubernetes sets such"
    )


def test_an_option_that_vllm_removed_is_noted_with_its_successor() -> None:
    (note,) = plan(MAX_SEQ_LEN_TO_CAPTURE="2048").notes
    assert note.variable == "MAX_SEQ_LEN_TO_CAPTURE"
    assert "vLLM 0.11.0 removed --max-seq-len-to-capture" in note.message
    assert "--max-cudagraph-capture-size" in note.message


def test_the_note_names_the_variable_that_the_user_set() -> None:
    made = plan(MODEL_ID="", LLM_MODEL="a/b", ARG="--model c/d")
    assert [note.message for note in made.notes] == ["ARG's --model wins over LLM_MODEL=a/b."]


@pytest.mark.parametrize("name", ["RWForCausalLM", "MPTForCausalLM"])
def test_an_architecture_that_vllm_removed_is_noted_with_the_last_version(name: str) -> None:
    made = plan_of(replace(MODEL, config={**MODEL.config, "architectures": [name]}), CUDA)
    (note,) = made.notes
    assert (note.level, note.variable) == ("warning", "MODEL_ID")
    assert f"no longer has the model's architecture {name}" in note.message
    assert "vLLM 0.28.0" in note.message


@pytest.mark.parametrize("hardware", [GAUDI, replace(CUDA, vllm_version=None)])
def test_nothing_is_known_about_the_architectures_of_another_vllm(hardware: Hardware) -> None:
    model = replace(MODEL, config={**MODEL.config, "architectures": ["RWForCausalLM"]})
    assert plan_of(model, hardware).notes == ()


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "exl2", "bits": 4.0}}, "exl2"),
        ({"quantization": {"bits": 4, "group_size": 64}}, "mlx"),
        ({"quantization_config": {"bits": 4, "group_size": 64}}, "mlx"),
    ],
)
def test_a_quantization_without_code_in_vllm_is_noted(
    config: dict[str, object], method: str
) -> None:
    (note,) = plan_of(replace(MODEL, config={**MODEL.config, **config}), CUDA).notes
    assert (note.level, note.variable) == ("warning", "MODEL_ID")
    assert f"is quantized with {method}" in note.message


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8", "compressed-tensors", "auto-round", None])
def test_a_supported_quantization_is_not_noted(method: str | None) -> None:
    config = {"quantization_config": {"quant_method": method}}
    assert plan_of(replace(MODEL, config={**MODEL.config, **config}), CUDA).notes == ()
