"""The names that the server answers to."""

from __future__ import annotations

import os
from pathlib import Path

from entrypoint.errors import SettingError
from entrypoint.planning.asked import Asked
from entrypoint.store.model import Model
from entrypoint.store.uri import is_uri, name_in_uri


def served_names(asked: Asked, model: Model) -> tuple[str, ...]:
    """Return the names that the server answers to, the preferred one first.

    ARG's ``--served-model-name``, else MODEL_SERVE_NAME, else names derived from the model: its
    repository id with the first ``/`` replaced by ``--``, the same in lower case, and the model
    id. A directory and a URI are named by their last component; a URI itself is not a name.

    Raises:
        SettingError: MODEL_SERVE_NAME contains an empty name.
    """
    argument = asked.arguments.given.get("--served-model-name")
    if argument is not None and argument.words[1:]:
        return argument.words[1:]
    setting = asked.settings.model_serve_name
    if setting is not None:
        names = [name.strip() for name in setting.split(",")]
        if not all(names):
            raise SettingError(
                f"MODEL_SERVE_NAME={setting!r} contains an empty name.",
                variable="MODEL_SERVE_NAME",
                hint="Separate names with exactly one comma.",
            )
        return tuple(dict.fromkeys(names))
    model_id = asked.model_id or ""
    if is_uri(model_id):
        return _derived(model.repository or name_in_uri(model_id))
    if model.path is not None and model.path == Path(os.path.expanduser(model_id)).absolute():
        return _derived(model.path.name, model_id)
    return _derived(model.repository or model_id, model_id)


def _derived(name: str, *more: str) -> tuple[str, ...]:
    derived = name.replace("/", "--", 1)
    return tuple(dict.fromkeys([derived, derived.lower(), *more]))
