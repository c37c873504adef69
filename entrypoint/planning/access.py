"""Who may call what, as far as it is known before the start: keys, modes, closed routes."""

from __future__ import annotations

from collections.abc import Iterator

from entrypoint.errors import SettingError
from entrypoint.note import Note
from entrypoint.options.arguments import Parsed
from entrypoint.settings import Settings

KEY_OPTION = "--api-key"
GRPC = "--grpc"
RUST_FRONTEND = "VLLM_USE_RUST_FRONTEND"
LORA_UPDATING = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
DEVELOPMENT = "VLLM_SERVER_DEV_MODE"
"""vLLM's own switches; with those two it has routes that change the server."""


def fixed_keys(settings: Settings, parsed: Parsed) -> tuple[str, ...]:
    """Return the keys that do not change: ARG's, else API_KEY's, else those of vLLM's variable."""
    for argument in parsed.arguments:
        if argument.option.name == KEY_OPTION:
            return tuple(argument.words[1:]) or ((argument.value,) if argument.value else ())
    if settings.api_key is not None:
        return (settings.api_key.get_secret_value(),)
    own = settings.vllm_environment.get("VLLM_API_KEY")
    return (own,) if own else ()


def wants_keys(settings: Settings, parsed: Parsed) -> bool:
    """Whether callers need a key."""
    return bool(fixed_keys(settings, parsed) or settings.api_key_file)


def check_guarded(settings: Settings, parsed: Parsed) -> None:
    """Refuse a mode of vLLM's whose server would ask for no key where there are keys.

    Raises:
        SettingError: It names the mode.
    """
    if not wants_keys(settings, parsed):
        return
    if any(argument.option.name == GRPC for argument in parsed.arguments):
        raise SettingError(
            f"ARG asks for {GRPC}, whose server asks nobody for a key, and keys are set (API_KEY, "
            f"API_KEY_FILE or {KEY_OPTION}).",
            variable="ARG",
            hint=f"Leave {GRPC} out, or serve without keys where only those reach it who may.",
        )
    if _on(settings, RUST_FRONTEND):
        raise SettingError(
            f"{RUST_FRONTEND}={settings.vllm_environment[RUST_FRONTEND]} puts a server before vLLM "
            "that leaves routes open, and keys are set (API_KEY, API_KEY_FILE or "
            f"{KEY_OPTION}).",
            variable=RUST_FRONTEND,
            hint=f"Unset {RUST_FRONTEND}.",
        )


def access_notes(settings: Settings, parsed: Parsed) -> Iterator[Note]:
    """Yield what the user should know: doors that are open to all, switches that open none."""
    if settings.admin_routes and not wants_keys(settings, parsed):
        yield Note(
            "warning",
            "ADMIN_ROUTES",
            f"ADMIN_ROUTES={','.join(settings.admin_routes)} opens routes that change the server, "
            "and no key is set: whoever reaches the port may call them. Set API_KEY or "
            "API_KEY_FILE.",
        )
    if _on(settings, LORA_UPDATING) and "lora" not in settings.admin_routes:
        yield _closed(LORA_UPDATING, "ADMIN_ROUTES=lora")
    if _on(settings, DEVELOPMENT) and not settings.admin_routes:
        yield _closed(DEVELOPMENT, "the groups in ADMIN_ROUTES")


def _closed(variable: str, key: str) -> Note:
    return Note(
        "warning",
        variable,
        f"{variable} is on, and the routes that it adds stay closed: open them with {key}.",
    )


def _on(settings: Settings, variable: str) -> bool:
    return settings.vllm_environment.get(variable, "").strip().lower() not in ("", "0", "false")
