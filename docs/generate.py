"""Writes the pages of docs/ that would drift if people wrote them.

Run as ``python -m docs.generate``; a test holds the pages against the code.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout, suppress
from pathlib import Path
from string import Formatter
from unittest.mock import patch

from entrypoint.cli import main as command
from entrypoint.commands import COMMANDS
from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.errors import InferenceServerError
from entrypoint.settings import PASSED_ON, Settings, is_secret, variables

DOCS = Path(__file__).parent
HEAD = "<!-- Written by `make docs`; do not edit. -->\n"


def _default(field: str) -> str:
    value = Settings.model_fields[field].get_default(call_default_factory=True)
    if value in (None, "", (), {}):
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def configuration() -> str:
    """Return the page of the environment variables."""
    lines = [
        HEAD,
        "# Environment variables",
        "",
        "Empty means unset. Booleans take `1`, `0`, `true`, `false`, `yes`, `no`, `on`, `off` in "
        "any case. What `ARG` says wins over a variable, and a note says so. Where a variable "
        "has older names, the first that is set counts.",
        "",
        "| variable | meaning | default |",
        "| --- | --- | --- |",
    ]
    for field, info in Settings.model_fields.items():
        names = variables(field) or [
            f"{prefix}*" if prefix.endswith("_") else prefix for prefix in PASSED_ON[field]
        ]
        shown = ", ".join(f"`{name}`" for name in names)
        secret = " Secret." if is_secret(field) else ""
        lines.append(f"| {shown} | {info.description}{secret} | {_default(field)} |")
    return "\n".join(lines) + "\n"


def exit_codes() -> str:
    """Return the page of the exit codes."""
    lines = [
        HEAD,
        "# Exit codes",
        "",
        "| code | `error.code` | when |",
        "| --- | --- | --- |",
        "| 0 | | Stopped as asked. |",
    ]
    kinds = [
        (error.exit_code, error.code, str(error.__doc__).splitlines()[0])
        for error in _subclasses(InferenceServerError)
    ]
    kinds += [(failure.exit_code, failure.kind, failure.shown) for failure in FAILURES]
    lines += [f"| {code} | `{kind}` | {when} |" for code, kind, when in sorted(kinds)]
    lines.append("| 128 + n | | Signal n ended the engine, and it was not a stop request. |")
    return "\n".join(lines) + "\n"


def failures() -> str:
    """Return the page of the engine's failures that are known by name."""
    lines = [
        HEAD,
        "# Why the engine ended",
        "",
        "When the engine ends unasked, at its start or later, the first exception that caused it "
        "is "
        "looked for in the output of all its processes, and named. What only follows from it "
        "(`Engine core initialization failed. See root cause above.`, `EngineDeadError`) is passed "
        "over. The kind is `error.code`. Where signal n ended the engine's main process, the exit "
        "code is 128 + n instead; a kind that is not in this list is `engine-failed`, with exit "
        "code "
        "70 and the traceback.",
        "",
        "Words in `<>` are taken from the output.",
        "",
    ]
    for failure in sorted(FAILURES, key=lambda each: (each.exit_code, each.kind)):
        lines += [f"## `{failure.kind}` ({failure.exit_code})", "", failure.shown, ""]
        lines += [_facts_in_brackets(failure.repair), ""]
        more = dict.fromkeys(
            (sign.cause or failure.cause, sign.repair or failure.repair)
            for sign in failure.signs
            if sign.repair
        )
        lines += [f"- *{_facts_in_brackets(c)}*: {_facts_in_brackets(r)}" for c, r in more]
        lines += [""] if more else []
    return "\n".join(lines).rstrip() + "\n"


def _facts_in_brackets(words: str) -> str:
    names = [name for _, name, _, _ in Formatter().parse(words) if name]
    return words.format(**{name: f"`<{name}>`" for name in names})


def _subclasses(error: type[InferenceServerError]) -> list[type[InferenceServerError]]:
    return [s for child in error.__subclasses__() for s in (child, *_subclasses(child))]


def command_line() -> str:
    """Return the page of the command line."""
    parts = [HEAD, "# The command line", ""]
    for words in [[], *([module.__name__.rpartition(".")[2]] for module in COMMANDS)]:
        printed = io.StringIO()
        # argparse wraps at the terminal's width
        width = patch.dict(os.environ, COLUMNS="90")
        with width, redirect_stdout(printed), suppress(SystemExit):
            command([*words, "--help"], {})
        parts += [f"## `{' '.join(['inference-server', *words])}`", ""]
        parts += ["```text", printed.getvalue().rstrip(), "```", ""]
    return "\n".join(parts)


PAGES = {
    "configuration.md": configuration,
    "exit-codes.md": exit_codes,
    "failures.md": failures,
    "command-line.md": command_line,
}


def stale_pages() -> list[str]:
    """Return the names of the pages that are out of step with the code."""
    return [
        name
        for name, page in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text() != page()
    ]


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
