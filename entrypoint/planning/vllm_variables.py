"""vLLM's own variables: which of them stand for options, and which names vLLM does not read."""

from __future__ import annotations

from collections.abc import Container, Iterator

from entrypoint.hardware.hardware import Hardware
from entrypoint.note import Note
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.values import did_you_mean
from entrypoint.planning.asked import Asked
from entrypoint.planning.option import PlannedOption
from entrypoint.pod.pod import Pod
from entrypoint.secrets import MASK, is_secret_variable
from entrypoint.settings import all_variables
from entrypoint.spelling import nearest

OPTIONS = {
    "VLLM_API_KEY": "--api-key",
    "VLLM_LOGGING_LEVEL": "--log-level",
    "VLLM_LOGGING_CONFIG_PATH": "--log-config-file",
    "VLLM_CONFIGURE_LOGGING": "--logging-config",
}
"""Variables that vLLM reads only if an option is not set."""

REPLACED = {
    "VLLM_ALL2ALL_BACKEND": "--all2all-backend in ARG",
    "VLLM_ATTENTION_BACKEND": "--attention-backend in ARG",
    "VLLM_FLASH_ATTN_VERSION": "--attention-config.flash_attn_version in ARG",
    "VLLM_FLASHINFER_MOE_BACKEND": "--moe-backend in ARG",
    "VLLM_HOST": "HOST",
    "VLLM_MODEL": "MODEL_ID",
    "VLLM_TORCH_PROFILER_DIR": "--profiler-config.torch_profiler_dir in ARG",
}
"""Names that vLLM does not read, and what sets the same."""


def planned_variables(asked: Asked, pod: Pod, shown: Container[str]) -> Iterator[PlannedOption]:
    """Yield the user's variables of vLLM for a plan.

    Args:
        asked: The variables and ARG.
        pod: Its injected variables do not reach the engine.
        shown: Names that the plan shows already.
    """
    for name, value in asked.settings.vllm_environment.items():
        if value and name not in shown and name not in pod.injected:
            text = MASK if is_secret_variable(name) else value
            yield PlannedOption(name, text, "variable", name)


def vllm_variable_notes(asked: Asked, pod: Pod, hardware: Hardware) -> Iterator[Note]:
    """Yield notes about variables of vLLM that an option overrides, or that have no effect."""
    catalogue = load_catalogue()
    known = {*catalogue.variables, *all_variables()}
    same_version = (hardware.vllm_version or "").partition("+")[0] == catalogue.version
    for name, value in asked.settings.vllm_environment.items():
        if not value or name in pod.injected or name in asked.misspelled:
            continue
        winner = asked.arguments.given.get(OPTIONS.get(name, ""))
        if winner is not None:
            wins = winner.source.owned(winner.option.name)
            yield Note("info", name, f"{wins} wins over {name}.")
        elif name == "VLLM_API_KEY" and asked.settings.api_key is not None:
            yield Note("info", name, f"{asked.variable('api_key')} wins over {name}.")
        elif name == "VLLM_PORT":
            yield Note(
                "warning",
                name,
                f"VLLM_PORT={value} is the first port that vLLM's processes use among themselves. "
                "To choose the port of the server, set PORT.",
            )
        elif name in REPLACED and name not in known:
            unread = f"vLLM {catalogue.version} does not read {name}."
            yield Note("warning", name, f"{unread} Set {REPLACED[name]}.")
        elif name not in known:
            similar = nearest(name, known, cutoff=0.85)
            if similar or same_version:
                yield Note(
                    "warning" if similar else "info",
                    name,
                    f"vLLM {catalogue.version} does not read {name}. "
                    + (did_you_mean(name, [similar]).strip() if similar else "A plugin may."),
                )
