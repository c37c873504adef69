"""Separates clients' mistakes from faults of the server, and keeps mistakes out of the log.

A mistake is what vLLM answers with a status below 500. vLLM 0.32 logs some mistakes with a
traceback; the gate's line about the request, with the code of the error, is enough. A fault of the
server keeps its traceback.
"""

from __future__ import annotations

import logging

from vllm.entrypoints.serve.exception_handling.error_response import create_error_response

from server.gate.vllm_errors import VllmError, describe

LOGGERS = ("vllm.entrypoints.", "uvicorn.error")
"""Start of the names of the loggers that log a client's mistake with a traceback."""

PARSERS = ("vllm.tool_parsers.", "vllm.parser.")
"""Start of the names of the loggers that log with a traceback what a model has not finished, or has
written in a wrong format."""

LOG_LINES = (
    "Error with model %s",
    "Chat template rejected the request: %s",
    "ASGI callable returned without completing handshake.",
)
"""Format strings of the log lines about a client's mistake: two of vLLM 0.32, and one that uvicorn
0.54 logs if a WebSocket is refused with an answer."""

ANSWER_STARTED = "Caught handled exception, but response already started"
"""Start of Starlette's error about an exception that it cannot answer any more."""


def described(error: Exception) -> tuple[VllmError, int]:
    """Return what a client gets to know about an exception of vLLM's application, and the status.

    Args:
        error: The exception, as the web framework raises it.
    """
    info = create_error_response(_raised(error)).error
    return describe(info.code, info.message, info.param), info.code


def is_mistake(error: BaseException) -> bool:
    """Whether an exception of vLLM's application is a client's mistake.

    vLLM answers a TypeError with a 400 too, but it is nearly always a fault.
    """
    raised = _raised(error)
    if not isinstance(raised, Exception) or isinstance(raised, TypeError):
        return False
    return bool(create_error_response(raised).error.code < 500)


def _raised(error: BaseException) -> BaseException:
    started = isinstance(error, RuntimeError) and str(error).startswith(ANSWER_STARTED)
    return error.__cause__ or error if started else error


class _MistakeFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg) in LOG_LINES:
            return False
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not is_mistake(error):
            return True
        if record.name.startswith(PARSERS):
            record.msg, record.args = f"{record.getMessage()} {type(error).__name__}: {error}", ()
            record.exc_info = record.exc_text = None
            return True
        return not record.name.startswith(LOGGERS)


def keep_out_of_log() -> None:
    """Keep clients' mistakes out of the log from now on.

    To be called when all loggers have their handlers. A filter on a logger itself does not see what
    the loggers below it log.
    """
    only = _MistakeFilter()
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        handler.addFilter(only)
