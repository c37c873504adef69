"""A traceback as different loggers and log collectors write it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable

from pythonjsonlogger.json import JsonFormatter

Writer = Callable[[BaseException], list[str]]
HEADING = "EngineCore failed to start."


def _record(error: BaseException) -> logging.LogRecord:
    raised = (type(error), error, error.__traceback__)
    return logging.LogRecord("vllm.core", logging.ERROR, "core.py", 7, HEADING, (), raised)


def _stack(error: BaseException) -> str:
    return logging.Formatter().formatException(_record(error).exc_info)  # type: ignore[arg-type]


def _formatted(formatter: logging.Formatter) -> Writer:
    return lambda error: formatter.format(_record(error)).split("\n")


def _fields(make: Callable[[str, BaseException], dict[str, object]]) -> Writer:
    return lambda error: [json.dumps(make(_stack(error), error))]


def _each_line(make: Callable[[str], str]) -> Writer:
    return lambda error: [make(line) for line in (HEADING, *_stack(error).split("\n"))]


def _structured(stack: str, error: BaseException) -> dict[str, object]:
    chain = [
        {
            "exc_type": type(each).__name__,
            "exc_value": str(each),
            "frames": [{"filename": "a.py", "lineno": 3, "name": "work"}],
        }
        for each in (error, error.__cause__)
        if each is not None
    ]
    return {"event": HEADING, "level": "error", "exception": chain}


def _logfmt(quote: str) -> Writer:
    def write(error: BaseException) -> list[str]:
        escaped = _stack(error).replace("\\", "\\\\").replace("\n", "\\n")
        escaped = escaped.replace(quote, f"\\{quote}")
        return [
            f"ts=2026-11-25T19:00:00Z level=error msg={quote}{HEADING}{quote} "
            f"err={quote}{escaped}{quote} pid=7"
        ]

    return write


_JSON = JsonFormatter("%(asctime)s %(levelname)s %(name)s %(processName)s %(process)d %(message)s")
_AS_LIST = JsonFormatter("%(levelname)s %(message)s", exc_info_as_array=True)
_RENAMED = JsonFormatter(
    "%(levelname)s %(message)s",
    rename_fields={"levelname": "lvl", "message": "txt", "exc_info": "trace"},
)
_VLLM = "(EngineCore pid=7) ERROR 11-25 19:00:00 [core.py:1510] "
_RAY = "\x1b[36m(RayWorkerWrapper pid=7, ip=10.0.0.2)\x1b[0m "
_GREY = "\x1b[0;36m(EngineCore pid=7)\x1b[0;0m \x1b[31mERROR\x1b[0m \x1b[90m11-25 19:00:00\x1b[0m "

FORMATS: dict[str, Writer] = {
    "vLLM": _each_line(lambda line: _VLLM + line),
    "vLLM with a prefix": _each_line(lambda line: f"[my-pod] {_VLLM}{line}"),
    "vLLM with a long prefix": _each_line(lambda line: f"{'team/' * 25} {_VLLM}{line}"),
    "vLLM in color": _each_line(lambda line: f"{_GREY}\x1b[90m[core.py:1510]\x1b[0m {line}"),
    "vLLM in color, without escapes": _each_line(
        lambda line: f"{_GREY}[core.py:1510] {line}".replace("\x1b", "")
    ),
    "Python's default": _formatted(logging.Formatter()),
    "Python's default with a level": _formatted(logging.Formatter(logging.BASIC_FORMAT)),
    "carriage returns": _each_line(lambda line: _VLLM + line + "\r"),
    "behind a progress bar": _each_line(
        lambda line: f"\rLoading: 10%|# | 1/9 [00:01\r{_VLLM}{line}"
    ),
    "before a progress bar": lambda error: [
        f"{line}\r 50%|##  | 1/2 [00:01<00:01, 1.00it/s]" if line.startswith("E") else line
        for line in _stack(error).split("\n")
    ],
    "each line with a date and a logger": _each_line(
        lambda line: f"2026-11-25 19:00:00,{len(line):03} 1234 ERROR vllm.v1.engine.core: {line}"
    ),
    "each line with pipes": _each_line(
        lambda line: f"19:00:{len(line) % 60:02} | ERROR    | vllm.core:run:{len(line)} - {line}"
    ),
    "the journal": _each_line(lambda line: f"Nov 25 19:00:00 node vllm[{len(line)}]: {line}"),
    "syslog": _each_line(lambda line: f"<11>1 2026-11-25T19:00:00Z node vllm 7 - - {line}"),
    "kubectl with a prefix": _each_line(lambda line: f"[pod/vllm-0/main] {_VLLM}{line}"),
    "Ray": _each_line(lambda line: f"{_RAY}ERROR 11-25 19:00:00 [w.py:1] {line}"),
    "Ray, repeated": _each_line(
        lambda line: (
            f"{_RAY}{line} [repeated 3x across cluster] (Ray deduplicates logs by default.)"
        )
    ),
    "python-json-logger": _formatted(_JSON),
    "python-json-logger with lists": _formatted(_AS_LIST),
    "python-json-logger with other names": _formatted(_RENAMED),
    "JSON after a process": lambda error: [
        f"(EngineCore pid=7) {line}" for line in _formatted(_JSON)(error)
    ],
    "JSON behind docker compose": lambda error: [
        f"vllm-1  | {line}" for line in _formatted(_JSON)(error)
    ],
    "JSON in docker's JSON": lambda error: [
        json.dumps({"log": f"{line}\n", "stream": "stderr"}) for line in _formatted(_JSON)(error)
    ],
    "docker's JSON": _each_line(lambda line: json.dumps({"log": f"{line}\n", "stream": "stderr"})),
    "the collector of Google Cloud": _each_line(
        lambda line: json.dumps({"severity": "ERROR", "textPayload": line})
    ),
    "JSON of Google Cloud": _fields(
        lambda stack, _: {"severity": "ERROR", "message": f"{HEADING}\n{stack}"}
    ),
    "ECS": _fields(
        lambda stack, error: {
            "log.level": "error",
            "message": HEADING,
            "error": {"type": type(error).__name__, "message": str(error), "stack_trace": stack},
            "process": {"name": "EngineCore", "pid": 7},
        }
    ),
    "OpenTelemetry": _fields(
        lambda stack, _: {
            "body": {"stringValue": HEADING},
            "severityText": "ERROR",
            "attributes": {"exception.stacktrace": stack},
        }
    ),
    "structlog": _fields(lambda stack, _: {"event": HEADING, "level": "error", "exception": stack}),
    "structlog with data": _fields(_structured),
    "GELF": _fields(lambda stack, _: {"short_message": HEADING, "level": 3, "full_message": stack}),
    "a Python dict": lambda error: [str({"event": HEADING, "exception": _stack(error)})],
    "logfmt": _logfmt('"'),
    "logfmt with single quotes": _logfmt("'"),
    "escaped in a text": lambda error: [
        f"ERROR core: {json.dumps(HEADING + chr(10) + _stack(error))} (shutting down)"
    ],
    "JSON that was cut off": lambda error: [
        json.dumps({"level": "ERROR", "message": HEADING, "exc_info": _stack(error), "more": "x"})[
            :-9
        ]
    ],
    "bytes that are not text": _each_line(lambda line: f"{_VLLM}{line}\ufffd"),
}
"""Each writes an exception with its traceback, and returns the lines."""


def raised(message: str, deep: int = 0, cause: str = "") -> BaseException:
    """Return an exception with its traceback.

    Args:
        message: Its message.
        deep: How many frames the traceback has in addition.
        cause: The message of its cause, if it has one.
    """

    def work(depth: int) -> None:
        # on two lines, because Python does not repeat equal frames
        if depth % 2:  # noqa: SIM114
            work(depth - 1)
        elif depth > 0:
            work(depth - 1)
        elif cause:
            try:
                raise RuntimeError(cause)
            except RuntimeError as inner:
                raise ValueError(message) from inner
        else:
            raise ValueError(message)

    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(max(limit, 4 * deep + 200))
        work(deep)
    except ValueError as error:
        return error
    finally:
        sys.setrecursionlimit(limit)
    raise AssertionError
