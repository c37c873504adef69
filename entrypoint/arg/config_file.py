"""Reads the YAML file that ``--config`` names: one option of vLLM for each key.

The values are those of ``yaml.safe_load``, which vLLM uses, with the lines that they come from.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrypoint.errors import SettingError

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 256 << 10
"""Many times the size of a file that sets every option."""
MAX_VALUES = 10_000
MAX_DEPTH = 50
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of the file.

    Attributes:
        key: The key, as written.
        value: Its value.
        line: The line of the key.
        written: The text of a scalar, before YAML gives it a type.
        repeated: Whether the same key occurs again below.
    """

    key: str
    value: Any = field(repr=False)
    line: int
    written: str | None = field(default=None, repr=False)
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file.

    Attributes:
        path: Its path.
        entries: Its keys, front to back.
    """

    path: Path
    entries: tuple[Entry, ...]


def read_config_file(written: str) -> ConfigFile:
    """Read a configuration file.

    Args:
        written: The path, as ``--config`` has it.

    Raises:
        SettingError: vLLM cannot read the file, or it does not hold options.
    """
    path = Path(written)
    content = _content(path, written)
    if path.suffix not in SUFFIXES:
        raise _error(
            f"--config {written!r} does not end with .yaml or .yml, as vLLM requires.",
            "Rename the file.",
        )
    entries = tuple(_entries(path, content))
    if not entries:
        raise _error(f"--config {path} is empty.", "Write one option per line: max-model-len: 4096")
    return ConfigFile(path, entries)


_MOUNT = "Mount the file, and use its path in the container."


def _content(path: Path, written: str) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _error(f"--config {written!r} is not a regular file.", _MOUNT)
        if status.st_size > MAX_BYTES:
            raise _error(
                f"--config {written!r} has more than {MAX_BYTES >> 10} KiB.",
                "Use a file that holds only options of vllm serve.",
            )
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        complete = "" if path.is_absolute() else f" The complete path is {path.absolute()}."
        raise _error(f"--config {written!r} does not exist.{complete}", _MOUNT) from None
    except OSError as error:
        raise _error(
            f"--config {written!r} cannot be read: {error.strerror or error}.",
            f"Let uid {os.geteuid()} read the file.",
        ) from None


def _entries(path: Path, content: bytes) -> Iterator[Entry]:
    import yaml  # 15 ms, and few launches use a file

    try:
        loader = yaml.SafeLoader(content)
        root = loader.get_single_node()
        if root is None or root.tag == _NULL:
            return
        if not isinstance(root, yaml.MappingNode):
            raise _error(
                f"--config {path} does not hold options: its content is not a mapping.", _FORM
            )
        own = {id(key) for key, _ in root.value}
        loader.flatten_mapping(root)  # resolves "<<: *anchor"
        pairs = [
            (loader.construct_object(key, deep=True), key, value, id(key) in own)
            for key, value in root.value
        ]
        for position, (key, node, value, is_own) in enumerate(pairs):
            line = node.start_mark.line + 1
            if not isinstance(key, str):
                shown = repr(node.value) if isinstance(node, yaml.ScalarNode) else "that is no text"
                raise _error(
                    f"--config {path}, line {line}: the key {shown} is not an option's name.",
                    "Put the name in quotes, because YAML reads it as another type.",
                )
            later = any(other == key for other, *_ in pairs[position + 1 :])
            if later and not is_own:
                continue  # a merged key that the file overrides
            data = loader.construct_object(value, deep=True)
            if _too_large(data):
                raise _error(
                    f"--config {path}, line {line}: {key} holds more than {MAX_VALUES} values, or "
                    f"is nested more than {MAX_DEPTH} levels deep.",
                    _FORM,
                )
            text = value.value if isinstance(value, yaml.ScalarNode) else None
            yield Entry(key, data, line, text, later)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _error(f"--config {path}{at} is not valid YAML: {error.problem}.", _FORM) from None
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise _error(f"--config {path} is not valid YAML: {reason}.", _FORM) from None
    except RecursionError:
        raise _error(f"--config {path} is nested too deeply.", _FORM) from None


_FORM = "Write one option per line, as NAME: VALUE. Put a value with special characters in quotes."


def _too_large(value: object) -> bool:
    """Whether a value has too many parts to be passed on. Anchors may repeat parts, or itself."""
    left = MAX_VALUES
    rest: list[tuple[object, int]] = [(value, 0)]
    while rest:
        part, depth = rest.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            return True
        if isinstance(part, dict | list):
            children = part.values() if isinstance(part, dict) else part
            rest += [(child, depth + 1) for child in children]
    return False


def _error(message: str, hint: str) -> SettingError:
    return SettingError(f"ARG: {message}", variable="ARG", hint=hint)
