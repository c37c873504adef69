"""Python code that comes with a model: which code would run, and whether it may.

A model's configurations name such code in ``auto_map``: ``module.Class`` for a file beside them,
``org/name--module.Class`` for a file of another repository. This module finds the code as
transformers does; :mod:`server.remote_code` restricts the engine to it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from entrypoint.errors import RefusedCode
from entrypoint.note import Level, Note
from entrypoint.store.model import Model

CONFIGURATIONS = "*config*.json"
"""``config.json``, and the configurations of the tokenizer and the processors."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RELATIVE_IMPORT = re.compile(r"^\s*(?:import\s+\.(\S+)\s*$|from\s+\.(\S+)\s+import)", re.MULTILINE)
"""The files that transformers copies with a module (``get_relative_imports``)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One class that a configuration names.

    Attributes:
        configuration: The file that names it.
        purpose: The class that it stands in for: ``AutoConfig``.
        name: Its name, as written in the file.
    """

    configuration: str
    purpose: str
    name: str

    @property
    def module(self) -> str:
        """Path of the module's file."""
        return self.name.rpartition(".")[0] + ".py"

    @property
    def foreign(self) -> bool:
        """Whether the code is anywhere but beside the configuration."""
        path = PurePosixPath(self.module)
        return "--" in self.name or path.is_absolute() or ".." in path.parts


@dataclass(frozen=True, slots=True)
class Code:
    """The code of one model, or of one tokenizer.

    Attributes:
        references: The classes that its configurations name.
        files: ``{name: SHA-256}`` of their files, and of the files that those import.
        missing: Named files that do not exist.
    """

    references: tuple[Reference, ...]
    files: Mapping[str, str]
    missing: tuple[str, ...]


def read_code(directory: Path) -> Code:
    """Find the code that a model's configurations name."""
    references = tuple(
        reference
        for path in sorted(directory.glob(CONFIGURATIONS))
        for reference in _references(path)
    )
    files: dict[str, str] = {}
    missing: list[str] = []
    wanted = [reference.module for reference in references if not reference.foreign]
    while wanted:
        name = wanted.pop(0)
        if name in files or name in missing:
            continue
        try:
            content = (directory / name).read_bytes()
        except OSError:
            missing.append(name)
            continue
        files[name] = hashlib.sha256(content).hexdigest()
        imported = _RELATIVE_IMPORT.findall(content.decode(errors="replace"))
        wanted += [
            str(PurePosixPath(name).parent / f"{one or other}.py") for one, other in imported
        ]
    return Code(references, dict(sorted(files.items())), tuple(sorted(missing)))


def _references(path: Path) -> Iterator[Reference]:
    try:
        named = list(_named(json.loads(path.read_bytes())))
    except (OSError, ValueError, RecursionError):
        return  # transformers cannot read it either
    for purpose, name in named:
        yield Reference(path.name, purpose, name)


def _named(document: Any) -> Iterator[tuple[str, str]]:
    """Yield each class that an ``auto_map`` names, at any depth of the configuration."""
    if isinstance(document, list):
        for each in document:
            yield from _named(each)
    elif isinstance(document, dict):
        for key, value in document.items():
            if key == "auto_map" and isinstance(value, dict):
                yield from (
                    (str(use), name) for use, given in value.items() for name in _words(given)
                )
            else:
                yield from _named(value)


def _words(value: Any) -> Iterator[str]:
    """Yield one class, or several: a slow and a fast tokenizer, or one for each backend."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _words(each)


def read_codes(model: Model, tokenizer: Path | None) -> dict[Path, Code]:
    """Read the code of a model on the disk, and of a tokenizer that is not the model's own.

    Args:
        model: The model.
        tokenizer: The tokenizer's directory, if it is not the model's.

    Returns:
        ``{directory: its code}``, the model's first.
    """
    assert model.path is not None
    places = [model.path, *([tokenizer] if tokenizer else [])]
    return {place: read_code(place) for place in places}


def check_code(codes: Mapping[Path, Code]) -> None:
    """Check that code which may run is in the model's own directories.

    Raises:
        RefusedCode: A configuration names code elsewhere.
    """
    for place, code in codes.items():
        foreign = [reference for reference in code.references if reference.foreign]
        if foreign:
            raise RefusedCode(place, [(f.configuration, f.purpose, f.name) for f in foreign])


def code_notes(
    model: Model, codes: Mapping[Path, Code], trusted: bool, signed: bool
) -> Iterator[Note]:
    """Yield which code will run, which will not, and whether its origin is certain.

    Args:
        model: What is served.
        codes: Its code, by directory.
        trusted: Whether code may run.
        signed: Whether the model's signature is checked.
    """
    if trusted and not signed and not is_pinned(model):
        yield Note("warning", "TRUST_REMOTE_CODE", _unpinned(model))
    for place, code in codes.items():
        if trusted and code.files:
            listed = ", ".join(f"{name} (SHA-256 {digest})" for name, digest in code.files.items())
            text = f"TRUST_REMOTE_CODE is on: code in {place} may run: {listed}."
            if place != model.path:
                text += " It is not part of the model, and is not verified with it."
            level: Level = "info" if place == model.path else "warning"
            yield Note(level, "TRUST_REMOTE_CODE", text)
        if trusted and code.missing:
            text = f"The configuration in {place} names missing code: {', '.join(code.missing)}."
            yield Note("warning", "TRUST_REMOTE_CODE", text)
        if not trusted and code.references:
            named = sorted({reference.name for reference in code.references})
            yield Note(
                "info",
                "TRUST_REMOTE_CODE",
                f"{place} comes with code ({', '.join(named)}), which does not run because "
                "TRUST_REMOTE_CODE is off. If vLLM does not support the model itself, it fails "
                "to start.",
            )
    if trusted and codes and not any(code.references for code in codes.values()):
        text = (
            "TRUST_REMOTE_CODE (or --trust-remote-code in ARG) is on, but this model has no code. "
            "Turn it off."
        )
        yield Note("info", "TRUST_REMOTE_CODE", text)


def is_pinned(model: Model) -> bool:
    """Whether REVISION pins the code: the hub serves only one content for a full commit.

    A tarball can claim any commit.
    """
    asked = (model.requested_revision or "").lower()
    return (
        model.source in ("cache", "hub")
        and _COMMIT.fullmatch(asked) is not None
        and model.revision == asked
    )


def _unpinned(model: Model) -> str:
    text = "TRUST_REMOTE_CODE is on, and the code that runs is not pinned: "
    if model.source in ("cache", "hub"):
        commit = f"REVISION={model.revision}" if model.revision else "the full commit in REVISION"
        text += (
            f"REVISION={model.requested_revision} may move"
            if model.requested_revision
            else "REVISION is not set"
        )
        text += f". Pin it with {commit}, or verify its signature with MODEL_SIGNATURE_KEY."
    else:
        text += f"this model is a {model.source}. Verify its signature with MODEL_SIGNATURE_KEY."
    return f"{text} MODEL_VERIFY=full only finds damage: the hashes come with the model."
