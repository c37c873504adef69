"""Names the setting that a failed start follows from, if the launch has one beside the model."""

from __future__ import annotations

from entrypoint.errors import EngineFailed
from entrypoint.planning.option import PlannedOption

USERS = ("variable", "ARG", "config")
"""The origins of what the user set."""

OPTIONS = {
    "tokenizer-unusable": ("--tokenizer",),
    "chat-template-missing": ("--chat-template",),
    "adapter-unusable": ("--lora-modules", "--default-mm-loras"),
    "config-unusable": ("--hf-config-path", "--hf-overrides", "--generation-config"),
    "weights-mismatch": ("--hf-overrides", "--quantization", "--load-format"),
}
"""The options that each kind of failure may follow from, most likely first."""

ADVICE = {
    "tokenizer-unusable": "Check its files, or remove it to use the model's own tokenizer.",
}
"""What to do, for kinds whose own hint is about the model."""


def name_setting(error: EngineFailed, options: tuple[PlannedOption, ...]) -> EngineFailed:
    """Return the error with the user's setting in its hint and as its variable.

    Args:
        error: The diagnosed failure.
        options: The options of the plan, secrets masked.
    """
    for name in OPTIONS.get(error.code, ()):
        for option in options:
            if option.option.partition(".")[0] == name and option.origin in USERS:
                advice = ADVICE.get(error.code, error.hint or "")
                return EngineFailed(
                    error.message,
                    kind=error.code,
                    exit_code=error.exit_code,
                    hint=f"The likely cause is {_setting(option)}. {advice}".strip(),
                    excerpt=error.excerpt,
                    variable=option.variable,
                )
    return error


def _setting(option: PlannedOption) -> str:
    value = option.value or "true"
    if option.file is not None:
        return f"{option.option} {value} (--config {option.file})"
    if option.origin == "ARG":
        return f"{option.option} {value} in ARG"
    return f"{option.variable}={value}"
