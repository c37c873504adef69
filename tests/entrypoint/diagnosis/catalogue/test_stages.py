"""The part of the engine that failed identifies the kind of failure of an unknown exception."""

import pytest

from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.diagnosis.catalogue.stages import STAGES, find_stage

SITE = "/opt/venv/lib/python3.11/site-packages"


def frame(place: str) -> list[str]:
    file, _, function = place.partition(":")
    return [f'  File "{SITE}/{file}", line 7, in {function}', "    work()", "    ^^^^^^"]


@pytest.mark.parametrize(
    ("places", "kind"),
    [
        (["vllm/engine/arg_utils.py:create_engine_config"], "invalid-option"),
        (["vllm/utils/argparse_utils.py:load_config_file"], "invalid-option"),
        (["vllm/config/model.py:__post_init__", "re.py:match"], "invalid-option"),
        (["vllm/utils/cpu_resource_utils.py:parse_id_list"], "invalid-option"),
        (
            ["vllm/config/model.py:__post_init__", "vllm/transformers_utils/config.py:get_config"],
            "config-unusable",
        ),
        (
            ["vllm/compilation/decorators.py:__init__", "vllm/model_executor/models/a.py:__init__"],
            "config-unusable",
        ),
        (["transformers/models/llama/configuration_llama.py:validate"], "config-unusable"),
        (["transformers/models/clip/processing_clip.py:__init__"], "config-unusable"),
        (
            ["transformers/dynamic_module_utils.py:load", "transformers_modules/m/a.py:__init__"],
            "remote-code-failed",
        ),
        (["vllm/model_executor/models/a.py:load_weights"], "weights-mismatch"),
        (["vllm/tokenizers/registry.py:get", "json/decoder.py:decode"], "tokenizer-unusable"),
        (["vllm/entrypoints/chat_utils.py:load_chat_template"], "chat-template-missing"),
        (["vllm/lora/worker_manager.py:load"], "adapter-unusable"),
        (["vllm/model_executor/layers/quantization/new.py:create"], "quantization-unsupported"),
        (["vllm/v1/attention/backends/new.py:build"], "attention-unsupported"),
        (["torch/_inductor/graph.py:run"], "compile-failed"),
        (["torch/distributed/rendezvous.py:open"], "collective-failed"),
        (["vllm/distributed/kv_transfer/new.py:start"], "connector-failed"),
        (["uvicorn/config.py:create_ssl_context"], "tls-unusable"),
        (["vllm/model_executor/model_loader/new.py:__init__"], "invalid-option"),
        (["ray/worker.py:init"], "ray-unreachable"),
        (["scipy/__init__.py:<module>"], "library-broken"),
    ],
)
def test_the_innermost_known_stage_decides(places: list[str], kind: str) -> None:
    frames = [line for place in ["vllm/v1/engine/core.py:run", *places] for line in frame(place)]
    found = find_stage(FAILURES, frames, "ValueError: a")
    assert found is not None
    assert found[0].kind == kind


@pytest.mark.parametrize(
    ("place", "raised", "kind"),
    [
        (
            "vllm/utils/network_utils.py:make_zmq_socket",
            'zmq.error.ZMQError: No such file or directory for ipc path "/gone/a"',
            "invalid-option",
        ),
        (
            "vllm/model_executor/model_loader/weight_utils.py:read",
            "OSError: No such device (os error 19)",  # a folder with the name of a weight file
            "weights-corrupt",
        ),
        (
            "vllm/model_executor/model_loader/weight_utils.py:read",
            "IsADirectoryError: [Errno 21] Is a directory: 'model.bin'",
            "weights-corrupt",
        ),
    ],
)
def test_the_exception_decides_between_the_kinds_of_a_stage(
    place: str, raised: str, kind: str
) -> None:
    found = find_stage(FAILURES, frame(place), raised)
    assert found is not None
    assert found[0].kind == kind


@pytest.mark.parametrize(
    "place", ["vllm/v1/engine/core.py:run", "vllm/__init__.py:<module>", "asyncio/base.py:run"]
)
def test_a_frame_of_no_stage_decides_nothing(place: str) -> None:
    assert find_stage(FAILURES, frame(place), "ValueError: a") is None
    assert find_stage(FAILURES, [], "ValueError: a") is None


def test_each_stage_belongs_to_a_known_kind() -> None:
    assert {stage.kind for stage in STAGES} <= {failure.kind for failure in FAILURES}
    assert all("{what}" in stage.cause for stage in STAGES)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("ValueError: a", "weights-mismatch"),
        ("EOFError", "weights-corrupt"),
        ("struct.error: unpack requires 8 bytes", "weights-corrupt"),
        ("FileNotFoundError: [Errno 2] a", "model-missing"),
        ("ValueError: Could not find checkpoint files 'a'", "model-missing"),
    ],
)
def test_an_exception_while_weights_are_loaded_decides_too(raised: str, kind: str) -> None:
    found = find_stage(FAILURES, frame("vllm/model_executor/models/a.py:load_weights"), raised)
    assert found is not None
    assert found[0].kind == kind
