"""Writes the pages of docs/ that are made from the code.

Run as ``python -m docs.generate``. A test fails if a page and the code differ.
"""

from __future__ import annotations

import io
import json
import os
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path
from string import Formatter
from unittest.mock import patch

from docs.prose import read_words
from entrypoint.cli import main as command
from entrypoint.commands import COMMANDS
from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.errors import InferenceServerError
from entrypoint.settings import PASSED_ON, Settings, is_secret, variables
from entrypoint.shared.api_errors import CONTEXT_LENGTH, KINDS, Api, error_body
from entrypoint.store.disk.loading import RULES
from entrypoint.store.disk.unloadable import FORMATS
from server.internals import INTERNALS

DOCS = Path(__file__).parent
HEAD = "<!-- Written by `make docs`; do not edit. -->\n"


VALUES = """\
## How values are read

Values come from env files, Secrets, templates and the clipboard. Each value is cleaned before
anything reads it, and the engine gets the clean value too. `plan` notes each change. What could
be meant otherwise is an error, which names the variable, the character and its position, and
shows the corrected value unless it is secret.

| in a value | what happens |
| --- | --- |
| a line break, carriage return, blank or tab at its start or end | removed |
| quotes around it, as `docker run --env-file` keeps them | removed; an error in `API_KEY` |
| an invisible or control character, a byte that is not UTF-8 | error |
| typographic quotes and dashes, full-width letters | error; a warning in a path |
| letters of other scripts | kept, except in numbers, words, tokens and repository ids |
| `${NAME}`, `$(NAME)`, `{{ … }}`: a variable that was not replaced | error |
| `none`, `null`, `<your-token>`, `changeme` | error |
| a token that is still base64, or starts with `Bearer` | error |
| a comment after the value, which `docker run --env-file` keeps | error |

In `ARG`, quoted texts may have any visible characters. A variable whose name has a blank, quotes,
`export` or an invisible character in it is an error, because nothing reads it. This holds for the
variables above, and for those of vLLM, Hugging Face, the accelerators' libraries, the stores'
clients and proxies. Other variables, and `VLLM_LOGGING_PREFIX`, are left alone.
"""


def _default(field: str) -> str:
    value = Settings.model_fields[field].get_default(call_default_factory=True)
    if value in (None, "", (), {}):
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def configuration() -> str:
    """Return the page that lists the environment variables."""
    lines = [
        HEAD,
        "# Environment variables",
        "",
        "An empty variable counts as unset. Booleans accept `1`, `0`, `true`, `false`, `yes`, "
        "`no`, `on` and `off`, in any case. An option in `ARG` overrides a variable, and a note "
        "reports it. If a row lists several names, the first one that is set applies.",
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
    return "\n".join([*lines, "", VALUES]) + ARG


ARG = """
## ARG

`ARG` is split into words as in a POSIX shell, and nothing in it is expanded. In YAML, a block is
easiest:

```yaml
ARG: |
  --max-model-len 4096        # a comment
  --limit-mm-per-prompt '{"image": 4}'
  --config /etc/vllm/options.yaml
```

A line break counts as a blank, with or without a backslash before it. JSON and values with blanks
need quotes. If quotes are lost, the error names the position, and shows `ARG` corrected.

`--config` names a YAML file with one option per line, as vLLM reads it:

```yaml
max-model-len: 4096
enable-prefix-caching: false
compilation-config:
  cudagraph_mode: NONE
```

The highest of these wins:

1. an option in `ARG`
2. an option in the file that `--config` names
3. a variable
4. the accelerator's default
5. vLLM's default

Paths that options name are checked too: the syntax of a chat template, the files of a tokenizer or
an adapter, the adapter's rank. Without network access, a repository must be in the cache.

The file is checked like `ARG`, and errors name its line. The engine gets the options themselves,
not the file. A relative path starts at the server's working directory.
"""


READS = {
    "auto": "as `mistral` if there is a `consolidated*.safetensors`, also in a subfolder; else as "
    "`hf`",
    "dummy": "no weights: it makes them up",
    "ipc_cache": "the weights in another process",
    "modelexpress": "what ModelExpress provides",
    "tensorizer": "the file that `--model-loader-extra-config` names",
}
"""What a load format without a rule reads."""


def formats() -> str:
    """Return the page about the formats of weights that vLLM loads, and about the others."""
    lines = [
        HEAD,
        "# Formats of weights",
        "",
        "`plan` judges a model by the files that vLLM's loader reads, and ignores all others: "
        "files in subfolders, parts in another format, leftovers of a training. `--load-format` in "
        "`ARG` chooses the loader:",
        "",
        "| `--load-format` | reads | binding index |",
        "| --- | --- | --- |",
    ]
    rules = {name: rule for name, rule in RULES.items() if name != "openvino"}
    for name in sorted({*rules, *READS}):
        rule = rules.get(name)
        reads = "; else ".join(f"`{p}`" for p in rule.patterns) if rule else READS[name]
        lines.append(f"| `{name}` | {reads} | {f'`{rule.index}`' if rule and rule.index else ''} |")
    lines += [
        "",
        "Of several patterns, the first one that matches counts: if there is any `.safetensors` "
        "file, no `.bin` file is read. If the index exists, vLLM loads exactly the files that it "
        "lists, and fails if one of them is missing.",
        "",
        "A folder with `adapter_config.json` and no other weights is a LoRA adapter: set "
        "`MODEL_ID` to its base model, and "
        '`ARG="--enable-lora --lora-modules NAME=FOLDER"`.',
        "",
        "vLLM cannot load these as they are. The error states what to do with each:",
        "",
        "| a folder with | recognized by |",
        "| --- | --- |",
    ]
    for known in FORMATS:
        marks = ", ".join(f"`{mark}`" for mark in known.marks)
        lines.append(f"| {known.name} | {marks} |")
    return "\n".join(lines) + "\n"


def exit_codes() -> str:
    """Return the page that lists the exit codes."""
    lines = [
        HEAD,
        "# Exit codes",
        "",
        "| code | `error.code` | when |",
        "| --- | --- | --- |",
        "| 0 | | Stopped on request. |",
    ]
    kinds = [
        (error.exit_code, error.code, str(error.__doc__).splitlines()[0])
        for error in _subclasses(InferenceServerError)
        if "code" in vars(error)  # a subclass without one has the row of its parent
    ]
    kinds += [(failure.exit_code, failure.kind, failure.summary) for failure in FAILURES]
    lines += [f"| {code} | `{kind}` | {when} |" for code, kind, when in sorted(kinds)]
    lines.append("| 128 + n | | Signal n ended the engine without a stop request. |")
    return "\n".join(lines) + "\n"


def failures() -> str:
    """Return the page that lists the engine failures with a known cause."""
    lines = [
        HEAD,
        "# Why the engine ended",
        "",
        "If the engine ends without a stop request, the runtime searches the output of all its "
        "processes for the exception that came first, and logs its cause. It skips what only "
        "follows from it, such as `Engine core initialization failed. See root cause above.` and "
        "`EngineDeadError`. It reads logs of any format: JSON records, logfmt, and lines with the "
        "prefixes of loggers and log collectors.",
        "",
        "If no rule matches an exception during the start, the traceback decides: it names the "
        "part of the engine that failed, such as the tokenizer, and the cause quotes the "
        "exception.",
        "",
        "Each heading below is an `error.code` with its exit code. If signal n ended the engine's "
        "main process, the exit code is 128 + n instead. A failure with an unknown cause is "
        "`engine-failed`, with exit code 70 and the traceback.",
        "",
        "Words in `<>` come from the output.",
        "",
    ]
    for failure in sorted(FAILURES, key=lambda each: (each.exit_code, each.kind)):
        lines += [f"## `{failure.kind}` ({failure.exit_code})", "", failure.summary, ""]
        lines += [_facts_in_brackets(failure.hint), ""]
        more = dict.fromkeys(
            (rule.cause or failure.cause, rule.hint or failure.hint)
            for rule in failure.rules
            if rule.hint
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
    """Return the page that shows the help of every command."""
    parts = [
        HEAD,
        "# The command line",
        "",
        "`python -m entrypoint` works like `inference-server`.",
        "",
    ]
    for words in [[], *([module.__name__.rpartition(".")[2]] for module in COMMANDS)]:
        printed = io.StringIO()
        # argparse wraps at the terminal's width
        width = patch.dict(os.environ, COLUMNS="90")
        with width, redirect_stdout(printed), suppress(SystemExit):
            command([*words, "--help"], {})
        parts += [f"## `{' '.join(['inference-server', *words])}`", ""]
        parts += ["```text", short_options_once(printed.getvalue().rstrip()), "```", ""]
    return "\n".join(parts)


def short_options_once(text: str) -> str:
    """Return argparse's help as Python 3.13 prints it, from any Python: ``-o, --output FILE``."""
    return re.sub(
        r"^  (-\w) (\S+), (--\S+ \2)\n {24}",
        lambda match: f"  {match[1]}, {match[3]}".ljust(24),
        text,
        flags=re.MULTILINE,
    )


def errors() -> str:
    """Return the page that lists the errors of the HTTP API."""
    example = error_body(Api.OPENAI, CONTEXT_LENGTH, "...", param="input_tokens")
    other = error_body(Api.ANTHROPIC, CONTEXT_LENGTH, "...", request_id="16619e9c84574e3e")
    lines = [
        HEAD,
        "# Errors of the HTTP API",
        "",
        "Every error has the format of the API that you called, whoever reports it: this runtime, "
        "vLLM, or the server that answers while the model loads.",
        "",
        "| you call | format |",
        "| --- | --- |",
        "| `/v1/messages` and paths below it; any path with the header `anthropic-version` "
        "| Anthropic's |",
        "| `/cohere/...`, `/v2/embed`, `/v2/rerank` | Cohere's: `id` and `message` |",
        "| everything else, also vLLM's own routes, such as `/tokenize` | OpenAI's |",
        "",
        "```json",
        json.dumps(example),
        json.dumps(other),
        "```",
        "",
        "OpenAI's clients show `code`, `type` and `param`. Anthropic's clients show `type`, and "
        "the code as `error_code`. The HTTP status decides which exception they raise. Health "
        'probes keep their format, `{"status": "..."}`.',
        "",
        "| status | code | `type`, OpenAI | `type`, Anthropic | when |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        statuses = ", ".join(map(str, kind.statuses))
        lines.append(
            f"| {statuses} | `{kind.code}` | `{kind.openai}` | `{kind.anthropic}` | {kind.when} |"
        )
    lines += [
        "",
        "A stream that has started keeps its status 200. Its last event reports the error: "
        '`data: {"error": ...}` and `data: [DONE]` in OpenAI\'s format, `event: error` for '
        "`/v1/messages` and `/v1/responses`. vLLM checks a grammar or a schema only after the "
        "start of a stream.",
        "",
        "The server's log has one line for each request, which ends with the error's code. Only a "
        "failure of the server, not a mistake of a client, adds a traceback. The id in that line "
        "is the answer's `X-Request-Id`.",
    ]
    return "\n".join(lines) + "\n"


def words() -> str:
    """Return the page that lists the words to avoid."""
    lines = [
        HEAD,
        "# Words",
        "",
        "What [our style](style.md) replaces. `python -m docs.prose` finds these.",
        "",
        "| not | but | for example, not |",
        "| --- | --- | --- |",
    ]
    # as code, which the checker skips
    lines += [f"| `{word.phrase}` | {word.write} | `{word.bad[0]}` |" for word in read_words()[0]]
    return "\n".join(lines) + "\n"


def internals() -> str:
    """Return the page that lists what ``server/`` relies on in uvicorn and vLLM."""
    lines = [
        HEAD,
        "# Internals of vLLM and uvicorn",
        "",
        "`server/` relies on these beyond what vLLM, uvicorn and other packages document. "
        "`tests/server/test_internals.py` compares their signatures with the installed packages. "
        "After an update, answer each question in the last column.",
        "",
        "| internal | used by | how and why | check after an update |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{each.name}` | `{each.used_by.replace(' and ', '`, `')}` | {each.reason} "
        f"| {each.check} |"
        for each in INTERNALS
    ]
    return "\n".join(lines) + "\n"


PAGES = {
    "configuration.md": configuration,
    "exit-codes.md": exit_codes,
    "failures.md": failures,
    "formats.md": formats,
    "errors.md": errors,
    "command-line.md": command_line,
    "internals.md": internals,
    "words.md": words,
}


def stale_pages() -> list[str]:
    """Return the names of the pages that differ from what the code gives."""
    return [
        name
        for name, page in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text() != page()
    ]


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
