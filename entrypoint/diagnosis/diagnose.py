"""Why the engine exited: one known cause, found in its output and its exit code."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from entrypoint.diagnosis.catalogue import FAILURES, Failure, Role, Rule
from entrypoint.diagnosis.catalogue.memory import LIMIT
from entrypoint.diagnosis.catalogue.settings import INVALID_OPTION, REFUSAL
from entrypoint.diagnosis.catalogue.signals import KILLED, SILENT_EXIT, failure_of_signal
from entrypoint.diagnosis.catalogue.stages import find_stage
from entrypoint.diagnosis.deaths import find_deaths, find_unexplained_death
from entrypoint.diagnosis.error_lines import ErrorLine, find_error_lines
from entrypoint.diagnosis.exceptions import LoggedException, Severity, find_exceptions
from entrypoint.diagnosis.lines import read_lines
from entrypoint.errors import EngineFailed
from entrypoint.logs.engine_line import EngineLine
from entrypoint.shared.handover import Phase

FIRST, LAST = 24, 12
"""How many exceptions to match with the catalogue, at the start and at the end of the output. A
process can print thousands, and matching must take no more than a second or two."""

EXCERPT_LINES = 30
"""How many lines of a traceback an outcome contains, the last ones."""

UNKNOWN_LINES = 12
"""How many lines of a traceback the message of an unknown cause contains, the last ones."""

GROUP_CHARACTERS = 300
"""How much of a named group a message contains."""

PLAIN_LINES, PLAIN_CHARACTERS = 100, 300
"""In how many of the last lines to look for a cause outside exceptions and error lines, and in how
much of each."""

MATCHED_CHARACTERS = 1200
"""How much of an exception to match with the catalogue, at its start and at its end."""

# if both match the same words, a cause counts before a symptom
_CAUSES_FIRST = sorted(FAILURES, key=lambda failure: failure.role is Role.SYMPTOM)

# raised by a process that noticed the failure of another one
_CONSEQUENCE = re.compile(
    r"(?:\S*\.)?(?:EngineDeadError|EngineGenerateError|MQEngineDeadError|AsyncEngineDeadError|"
    r"BrokenPipeError|ConnectionResetError|ContextTerminated|CancelledError|KeyboardInterrupt|"
    r"SystemExit|RayTaskError|RayActorError|ActorDiedError|ActorUnavailableError)\b|"
    r"(?:RuntimeError|Exception|ValueError): (?:Engine (?:core )?(?:process )?(?:initialization )?"
    r"failed|Engine process failed to start|Frontend process failed|WorkerProc initialization "
    r"failed|Worker failed with error|Executor failed|EngineCore|Engine loop|Call to \w+ method "
    r"failed|cancelled|Failed core proc|Background loop|Error executing method|"
    r"Worker proc died|Worker \d+ failed to initialize|[^\n]{0,120}[Ss]ee (?:stack trace|root "
    r"cause|the stack trace|error log))|"
    # from an executor that has not started its workers yet
    r"AttributeError: '\w+Executor' object has no attribute|"
    r"zmq\.error\.(?:Again|ZMQError: (?:Socket|Context|not a socket))"
)
# points to an exception that was logged before
_REFERS = re.compile(r"failed to be inspected|(?:check|see) the logs", re.IGNORECASE)
# what pydantic appends to each error: the input, which is often a complete configuration
_DETAILS = re.compile(
    r" \[type=\w+, input_value=[^\n]*|\n\s*For further information visit \S+", re.IGNORECASE
)
# how pydantic states an exception that a validator raised
_WRAPPED = re.compile(
    r"validation errors? for \w+\n(?:\S+\n)?\s*(?P<kind>Value error|Assertion failed), "
    r"(?P<text>[\s\S]+)"
)
# quotes another process's message, which need not be a known one
_QUOTES = re.compile(r"Worker failed with error ['\"]|Call to \w+ method failed: ")
# a line of a frame, or one with a level that is no error's
_HARMLESS = re.compile(r"\s|.{0,200}\b(?:INFO|DEBUG|TRACE|WARN(?:ING)?|\w*Warning)\b")
# the process at the other end of the pipe failed
_BROKEN_PIPE = re.compile(r"multiprocessing/(?:connection|queues|managers)\.py")


@dataclass(frozen=True, slots=True)
class EngineExit:
    """How the engine's main process exited without a request to stop.

    Attributes:
        code: Its exit code as in ``subprocess``: negative after a signal.
        phase: The phase that it was in.
        memory_cause: Why the kernel killed one of its processes for memory, as a clause; None if
            it killed none.
    """

    code: int
    phase: Phase
    memory_cause: str | None = None

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return self.code < 0

    def __str__(self) -> str:
        if self.killed:
            return f"The engine was killed by {_signal_name(-self.code)} in phase {self.phase}"
        return f"The engine exited in phase {self.phase} with exit code {self.code}"


@dataclass(frozen=True, slots=True)
class _Match:
    """A kind of failure, and where it was found.

    Attributes:
        failure: The kind.
        rule: The rule that matched.
        groups: The rule's named groups.
        text: The exception or the error line, on one line.
        process: The process that wrote it.
        excerpt: The lines that show it.
    """

    failure: Failure
    rule: Rule
    groups: dict[str, str]
    text: str
    process: str
    excerpt: tuple[str, ...]

    @property
    def is_cause(self) -> bool:
        return self.rule.is_cause or self.failure.role is Role.CAUSE


def diagnose(lines: Sequence[str], ended: EngineExit) -> EngineFailed:
    """Return the error that states why the engine exited.

    Args:
        lines: The output of all its processes, in the order in which they wrote it.
        ended: How it exited.

    Returns:
        The error, which is not raised. Its ``code`` is the kind of failure. Its ``exit_code`` is
        that kind's, or 128 + n if signal n ended the main process.
    """
    read = list(read_lines(list(lines)))
    raised = _after_last_request(find_exceptions(read), read)
    deaths = find_deaths(read)
    signals = ([-ended.code] if ended.killed else []) + [death.number for death in deaths]

    starting = ended.phase.rank < Phase.READY.rank
    match = _find_failure(raised, find_error_lines(read), starting)
    certain = match is not None and match.is_cause
    if ended.memory_cause and (not certain or signal.SIGKILL in signals):
        killed = "" if ended.killed else ", and one of its processes was killed"
        return _error(LIMIT, ended.memory_cause + killed, ended)
    # a process that aborts reports the reason first, some libraries without a level
    aborted = signals[:1] == [signal.SIGABRT]
    if match is not None and (certain or not signals or aborted):
        return _known_error(match, ended)
    if aborted and not _causes(raised) and (printed := _match_plain_lines(read)):
        return _known_error(printed, ended)
    if signals and not _causes(raised):
        died = next((death.process for death in deaths), "")
        return _signal_error(signals[0], ended, died, match.excerpt if match else ())
    if match is not None:
        return _known_error(match, ended)
    if not _causes(raised) and (match := _match_plain_lines(read)):
        return _known_error(match, ended)
    errors = [each for each in raised if each.severity >= Severity.LOGGED]
    silent = not ended.killed and not any(_QUOTES.search(each.text) for each in errors)
    if silent and errors and all(_is_consequence(each) for each in errors):
        return _error(KILLED, SILENT_EXIT, ended, excerpt=errors[-1].lines)
    if silent and not _causes(raised) and (line := find_unexplained_death(read)):
        return _error(KILLED, SILENT_EXIT, ended, excerpt=(line,))
    return _unknown_error(raised, ended)


def _after_last_request(
    raised: list[LoggedException], lines: Iterable[EngineLine]
) -> list[LoggedException]:
    """Return the exceptions since the engine last served a request, all if none explains the exit.

    The engine survived those before.
    """
    last = max((line.number for line in lines if _is_served_request(line.text)), default=-1)
    after = [each for each in raised if each.number > last]
    return after if any(not _is_consequence(each) for each in after) else raised


def _is_served_request(text: str) -> bool:
    """Return whether a line logs a request that the engine answered. A probe does not count."""
    return text.endswith(('" 200 OK', '" 200')) and '"POST ' in text


def _is_consequence(raised: LoggedException) -> bool:
    """Return whether an exception only reports that something else failed."""
    if raised.name == "EOFError":
        return any(_BROKEN_PIPE.search(frame) for frame in raised.frames)
    return _CONSEQUENCE.match(raised.text) is not None


def _causes(raised: Iterable[LoggedException]) -> list[LoggedException]:
    """Return the exceptions that can be the cause: the fatal ones, else those logged as errors."""
    kept = [each for each in raised if not _is_consequence(each)]
    fatal = [each for each in kept if each.severity is Severity.FATAL]
    if fatal and all(_REFERS.search(each.text) for each in fatal):
        return [each for each in kept if each.severity >= Severity.LOGGED]
    return fatal or [each for each in kept if each.severity is Severity.LOGGED]


def _find_failure(
    raised: list[LoggedException], error_lines: list[ErrorLine], starting: bool
) -> _Match | None:
    """Return the kind of failure that the output shows, None if it shows no known one.

    Args:
        raised: The exceptions.
        error_lines: The error lines outside of tracebacks.
        starting: Whether the engine had not served yet, so that its start failed.
    """
    causes = _causes(raised)
    symptoms = []
    for each in _sample(causes):
        if match := _match_exception(each):
            if match.is_cause:
                return match
            symptoms.append(match)
    in_lines = [
        match
        for each in error_lines
        if (match := _match(each.text, each.process, (each.text,))) is not None
    ]
    # a cause that a library printed explains more than an exception that is a symptom
    printed = next((match for match in in_lines if match.is_cause), None)
    if printed and (symptoms or not causes):
        return printed
    if causes:
        # an unknown exception before a symptom is its cause
        root = _root(causes)
        known = _match_exception(root)
        if symptoms and known:
            return symptoms[0]
        return (_match_stage(root) if starting else None) or _match_refusal(root)
    if in_lines:
        return in_lines[0]
    # a process that noticed the failure can quote the cause
    errors = [each for each in raised if each.severity >= Severity.LOGGED]
    return next((match for each in _sample(errors) if (match := _match_exception(each))), None)


def _match_plain_lines(lines: list[EngineLine]) -> _Match | None:
    """Return the cause that a line without a level shows, None if no line does.

    These lines come last, because a program can write one and continue.
    """
    plain = {
        line.text[:PLAIN_CHARACTERS]: line
        for line in lines[-PLAIN_LINES:]
        if not line.level and line.text and not _HARMLESS.match(line.text)
    }
    found = (_match(text, line.process, (line.text,)) for text, line in plain.items())
    return next((match for match in found if match and match.is_cause), None)


def _sample(raised: list[LoggedException]) -> list[LoggedException]:
    """Return the first and the last exceptions, each text once."""
    distinct = list({each.text: each for each in reversed(raised)}.values())[::-1]
    return distinct if len(distinct) <= FIRST + LAST else [*distinct[:FIRST], *distinct[-LAST:]]


def _root(causes: list[LoggedException]) -> LoggedException:
    """Return the exception that led to the others.

    It is the first one, with two exceptions: if another was raised while it was handled, that one
    counts, because the handler decided on it; and if it has no message, the one raised from it
    explains more.
    """
    index = 0
    while index + 1 < len(causes) and (
        causes[index].link == "context" or (causes[index].link and not causes[index].message)
    ):
        index += 1
    return causes[index]


def _match_exception(raised: LoggedException) -> _Match | None:
    frames = "\n".join(raised.frames)
    if wrapped := _WRAPPED.search(raised.text):
        kind = "ValueError" if wrapped["kind"] == "Value error" else "AssertionError"
        text = f"{kind}: {_DETAILS.sub('', wrapped['text'])}"
        inner = _match(text, raised.process, raised.lines, frames)
        if inner is not None and inner.failure is not INVALID_OPTION:
            return inner
    match = _match(raised.text, raised.process, raised.lines, frames)
    if match is None or raised.message:
        return match
    return replace(match, text=f"{raised.name} at: {raised.source}")


def _match_stage(raised: LoggedException) -> _Match | None:
    """Return the kind of failure by the part of the engine that raised an unknown exception."""
    first = raised.text.split("\n\n")[0] if raised.message else f"{raised.name} at: {raised.source}"
    if found := find_stage(FAILURES, raised.frames, raised.text):
        failure, rule = found
        short = _on_one_line(first)
        groups = {"what": short}
        return _Match(failure, rule, groups, short, raised.process, raised.lines[-EXCERPT_LINES:])
    return None


def _match_refusal(raised: LoggedException) -> _Match | None:
    """Return that vLLM rejected its options, if the words of an unknown exception state it."""
    refused = REFUSAL.match(raised.text, "")
    if refused is not None:
        short = _on_one_line(raised.text)
        return _Match(INVALID_OPTION, REFUSAL, refused, short, raised.process, raised.lines)
    return None


def _match(text: str, process: str, excerpt: tuple[str, ...], frames: str = "") -> _Match | None:
    if len(text) > 2 * MATCHED_CHARACTERS:
        text = f"{text[:MATCHED_CHARACTERS]}\n{text[-MATCHED_CHARACTERS:]}"
    for failure in _CAUSES_FIRST:
        for rule in failure.rules:
            groups = rule.match(text, frames)
            if groups is not None:
                short = {name: _on_one_line(value) for name, value in groups.items()}
                return _Match(failure, rule, short, _on_one_line(text), process, excerpt)
    return None


def _cause(match: _Match) -> str:
    """Return the cause as a clause. If it captures nothing of the output, it quotes the output."""
    template = match.rule.cause or match.failure.cause
    cause = " ".join(template.format(**match.groups).split()).rstrip(" .")
    return cause if cause != template else f"{cause} ({match.text.rstrip(' .')})"


def _on_one_line(text: str) -> str:
    return " ".join(_DETAILS.sub("", text).split())[:GROUP_CHARACTERS]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _error(
    failure: Failure,
    cause: str,
    ended: EngineExit,
    process: str = "",
    hint: str | None = None,
    excerpt: tuple[str, ...] = (),
) -> EngineFailed:
    where = f". In process {process}" if process else ""
    return EngineFailed(
        f"{ended}{where}: {cause}.",
        kind=failure.kind,
        exit_code=128 - ended.code if ended.killed else failure.exit_code,
        hint=hint or failure.hint,
        excerpt=excerpt[-EXCERPT_LINES:],
    )


def _known_error(match: _Match, ended: EngineExit) -> EngineFailed:
    failure, rule = match.failure, match.rule
    return _error(
        failure,
        _cause(match),
        ended,
        match.process,
        (rule.hint or failure.hint).format(**match.groups),
        match.excerpt,
    )


def _signal_error(
    number: int, ended: EngineExit, process: str, excerpt: tuple[str, ...]
) -> EngineFailed:
    failure = failure_of_signal(number)
    cause = failure.cause.format(name=_signal_name(number))
    return _error(failure, cause, ended, "" if ended.killed else process, excerpt=excerpt)


def _unknown_error(raised: list[LoggedException], ended: EngineExit) -> EngineFailed:
    exit_code = 128 - ended.code if ended.killed else None
    causes = _causes(raised) or [each for each in raised if each.severity >= Severity.LOGGED]
    if not causes:
        return EngineFailed(
            f"{ended}: the cause is unknown, because its output shows no exception.",
            exit_code=exit_code,
            hint="Read the last lines of the output. VLLM_LOGGING_LEVEL=DEBUG logs more.",
        )
    first = _root(causes)
    where = f" in process {first.process}" if first.process else ""
    shown = "\n".join(first.lines[-UNKNOWN_LINES:])
    return EngineFailed(
        f"{ended}: the cause is unknown. The first exception{where} is:\n{shown}",
        exit_code=exit_code,
        hint="Search vLLM's issues for the exception's message, or report it there with the log.",
        excerpt=first.lines[-EXCERPT_LINES:],
    )
