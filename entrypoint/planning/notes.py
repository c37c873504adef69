"""What the user should know about a launch, and what does not stop it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from entrypoint.hardware.hardware import Hardware
from entrypoint.note import Note
from entrypoint.openvino.weights import Weights
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.history import REMOVED
from entrypoint.planning.access import access_notes
from entrypoint.planning.asked import Asked
from entrypoint.planning.openvino import openvino_notes, unused_openvino_notes
from entrypoint.planning.option import RequestedOption
from entrypoint.planning.remote_code import Code, code_notes
from entrypoint.planning.vllm_variables import vllm_variable_notes
from entrypoint.pod.pod import Pod
from entrypoint.store.model import Model

UNSUPPORTED_QUANTIZATIONS = frozenset(
    {
        *("aqlm", "bitnet", "bitsandbytes", "eetq", "exl2", "exl3", "gguf", "higgs", "hqq"),
        *("marlin", "mlx", "quanto", "spqr", "vptq"),
    }
)
"""Methods in ``quantization_config`` that the pinned vLLM has no code for. MLX states no method."""
CAPTURE = "--max-seq-len-to-capture"
DATASETS_OFFLINE = "HF_DATASETS_OFFLINE"


def plan_notes(
    asked: Asked,
    model: Model,
    hardware: Hardware,
    pod: Pod,
    code: Mapping[Path, Code],
    weights: Weights | None,
    overridden: Mapping[str, RequestedOption],
    others: tuple[Note, ...],
) -> Iterator[Note]:
    """Yield the notes of a plan.

    Args:
        asked, model, hardware, pod, code, weights: As :func:`~.plan.make_plan` takes them.
        overridden: The options of variables that ARG wins over, by ``--name``.
        others: More notes, about the accelerator's defaults and named files.
    """
    yield from asked.notes()
    yield from hardware.notes
    yield from asked.arguments.notes
    yield from access_notes(asked)
    yield from vllm_variable_notes(asked, pod, hardware)
    yield from _version_notes(asked, hardware)
    yield from _architecture_notes(asked, model, hardware)
    yield from _quantization_notes(asked, model, hardware)
    yield from pod.notes
    if pod.injected:
        yield Note(
            "info",
            pod.injected[0],
            f"The engine does not get {', '.join(pod.injected)}: Kubernetes sets such "
            "variables for a Service of that name, and vLLM reads them as its own settings. To "
            "stop this, set enableServiceLinks: false or rename the Service.",
        )
    yield from _override_notes(asked, overridden)
    yield from _ignored_notes(asked)
    yield from others
    if code:
        signed = asked.settings.model_signature_key is not None
        yield from code_notes(model, code, asked.trust_remote_code, signed)
    if weights is not None:
        yield from openvino_notes(asked, weights)
    else:
        yield from unused_openvino_notes(asked, hardware.kind)


def _version_notes(asked: Asked, hardware: Hardware) -> Iterator[Note]:
    known, installed = load_catalogue().version, hardware.vllm_version or ""
    if asked.settings.arg and installed.partition("+")[0] != known:
        yield Note(
            "info",
            "ARG",
            f"ARG was checked against the options of vLLM {known}, but vLLM {installed} is "
            "installed. It checks ARG again when it starts.",
        )


def _architecture_notes(asked: Asked, model: Model, hardware: Hardware) -> Iterator[Note]:
    catalogue = load_catalogue()
    if (hardware.vllm_version or "").partition("+")[0] != catalogue.version:
        return
    for name in model.config.get("architectures") or ():
        if last := catalogue.removed_architectures.get(name):
            yield Note(
                "warning",
                asked.variable("model_id"),
                f"vLLM {catalogue.version} no longer has the model's architecture {name}, so the "
                f"start will probably fail. Use a newer revision of the model, another model, or "
                f"an image with vLLM {last}, which was the last to have it.",
            )


def _quantization_notes(asked: Asked, model: Model, hardware: Hardware) -> Iterator[Note]:
    version = load_catalogue().version
    if hardware.kind == "openvino" or (hardware.vllm_version or "").partition("+")[0] != version:
        return
    quantization = model.config.get("quantization_config") or model.config.get("quantization")
    if not isinstance(quantization, Mapping):
        return
    method = quantization.get("quant_method")
    if method is None and "bits" in quantization and "group_size" in quantization:
        method = "mlx"
    if method in UNSUPPORTED_QUANTIZATIONS:
        yield Note(
            "warning",
            asked.variable("model_id"),
            f"The model is quantized with {method}, which vLLM {version} does not support without "
            "a plugin, so the start will probably fail. Use the unquantized model, or one "
            "quantized with AWQ, GPTQ, FP8 or compressed-tensors.",
        )


def _override_notes(asked: Asked, overridden: Mapping[str, RequestedOption]) -> Iterator[Note]:
    losers = {
        name: (option.variable, option.shown)
        for name, option in overridden.items()
        if option.variable is not None
    }
    for name, field, used in (
        ("--model", "model_id", asked.model_id),
        ("--revision", "revision", asked.revision),
    ):
        value = getattr(asked.settings, field)
        if value not in (None, used):
            losers[name] = (asked.variable(field), value)
    for name, (variable, value) in losers.items():
        winner = asked.arguments.given[name].source.owned(name)
        yield Note("info", variable, f"{winner} wins over {variable}={value or 'true'}.")


def _ignored_notes(asked: Asked) -> Iterator[Note]:
    if asked.environ.get(DATASETS_OFFLINE) and not asked.settings.hf_hub_offline:
        yield Note(
            "info",
            DATASETS_OFFLINE,
            f"{DATASETS_OFFLINE} is only about data sets, and models may be downloaded. To forbid "
            "that, set HF_HUB_OFFLINE=1.",
        )
    if asked.settings.max_seq_len_to_capture is not None:
        removed = REMOVED[CAPTURE]
        yield Note(
            "info",
            "MAX_SEQ_LEN_TO_CAPTURE",
            f"MAX_SEQ_LEN_TO_CAPTURE is ignored: vLLM {removed.since} removed {CAPTURE}, and "
            f"{removed.advice}.",
        )
    if asked.settings.disable_custom_kernels:
        yield Note(
            "info",
            "DISABLE_CUSTOM_KERNELS",
            "DISABLE_CUSTOM_KERNELS is ignored: vLLM has no such option.",
        )
