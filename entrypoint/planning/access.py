"""Who may call what, as far as it is known before the start: keys, modes, closed routes."""

from __future__ import annotations

import json
from collections.abc import Iterator

from entrypoint.errors import SettingError
from entrypoint.note import Note
from entrypoint.planning.asked import Asked
from entrypoint.shared.cors import ANY, Cors

KEY_OPTION = "--api-key"
GRPC = "--grpc"
CREDENTIALS = "--allow-credentials"
RUST_FRONTEND = "VLLM_USE_RUST_FRONTEND"
LORA_UPDATING = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
DEVELOPMENT = "VLLM_SERVER_DEV_MODE"
"""vLLM's own switches. The last two add routes that change the server."""


def fixed_keys(asked: Asked) -> tuple[str, ...]:
    """Return the API keys that do not change: ARG's, else API_KEY's, else VLLM_API_KEY's."""
    argument = asked.arguments.given.get(KEY_OPTION)
    if argument is not None:
        return argument.words[1:] or ((argument.value,) if argument.value else ())
    if asked.settings.api_key is not None:
        return (asked.settings.api_key.get_secret_value(),)
    key = asked.settings.vllm_environment.get("VLLM_API_KEY")
    return (key,) if key else ()


def allowed_pages(asked: Asked) -> Cors:
    """Return which web pages may read the server's answers, from ARG."""
    given = asked.arguments.given

    def value(name: str) -> object:
        argument = given.get(name)
        return json.loads(argument.value) if argument and argument.value else [ANY]

    credentials = given.get(CREDENTIALS)
    return Cors.from_options(
        value("--allowed-origins") if "--allowed-origins" in given else [],
        value("--allowed-methods"),
        value("--allowed-headers"),
        credentials is not None and credentials.words[0] == CREDENTIALS,
    )


def requires_keys(asked: Asked) -> bool:
    """Whether callers need a key."""
    return bool(fixed_keys(asked) or asked.settings.api_key_file)


def check_access(asked: Asked) -> None:
    """Refuse a mode in which vLLM would ignore the configured keys.

    Raises:
        SettingError: It names the mode.
    """
    if not requires_keys(asked):
        return
    keys = f"API keys are set (API_KEY, API_KEY_FILE or {KEY_OPTION})"
    if (grpc := asked.arguments.given.get(GRPC)) is not None:
        raise grpc.source.error(
            f"{GRPC} starts a server that does not check API keys, but {keys}.",
            hint=f"Remove {GRPC}, or remove the keys and restrict access to the port.",
        )
    if _on(asked, RUST_FRONTEND):
        raise SettingError(
            f"{RUST_FRONTEND}={asked.settings.vllm_environment[RUST_FRONTEND]} starts a frontend "
            f"that leaves routes open, but {keys}.",
            variable=RUST_FRONTEND,
            hint=f"Unset {RUST_FRONTEND}.",
        )


def access_notes(asked: Asked) -> Iterator[Note]:
    """Yield warnings about routes open to everyone, and switches that open no route."""
    routes = asked.settings.admin_routes
    if routes and not requires_keys(asked):
        yield Note(
            "warning",
            "ADMIN_ROUTES",
            f"ADMIN_ROUTES={','.join(routes)} opens routes that change the server, and no API key "
            "is set: anyone who reaches the port can call them. Set API_KEY or API_KEY_FILE.",
        )
    if _on(asked, LORA_UPDATING) and "lora" not in routes:
        yield _closed(LORA_UPDATING, "ADMIN_ROUTES=lora")
    if _on(asked, DEVELOPMENT) and not routes:
        yield _closed(DEVELOPMENT, "the groups in ADMIN_ROUTES")


def _closed(variable: str, opener: str) -> Note:
    return Note(
        "warning",
        variable,
        f"{variable} is on, but the routes that it adds stay closed. Open them with {opener}.",
    )


def _on(asked: Asked, variable: str) -> bool:
    value = asked.settings.vllm_environment.get(variable, "")
    return value.strip().lower() not in ("", "0", "false")
