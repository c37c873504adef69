"""Why an engine ended: its output and its end in, one named cause out."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from entrypoint.diagnosis.catalogue import FAILURES, Failure, Sign, Weight
from entrypoint.diagnosis.catalogue.killed import BY_SIGNAL, KILLED, OTHER, SILENCE
from entrypoint.diagnosis.catalogue.memory import LIMIT
from entrypoint.diagnosis.exceptions import Gravity, Raised, find_exceptions
from entrypoint.diagnosis.lines import Line, read_lines
from entrypoint.diagnosis.remarks import Remark, find_deaths, find_gone, find_remarks
from entrypoint.errors import EngineFailed
from entrypoint.shared.handover import Phase

FIRST, LAST = 24, 12
"""How many exceptions are matched with the catalogue: the first and the last ones. A process can
print thousands, and the time for them must stay within a second or two."""

EXCERPT_LINES = 30
"""The most lines of a traceback that an outcome carries, the last ones."""

UNKNOWN_LINES = 12
"""How many of them the message of an unknown cause shows."""

FACT_CHARACTERS = 300
"""The most that a wording takes of one captured fact."""

BARE_LINES, BARE_CHARACTERS = 100, 300
"""The last lines in which a cause is looked for that is no exception and no error's line, and the
most of each."""

LOOKED_AT = 1200
"""Characters of an exception in which signs are looked for, at its beginning and at its end."""

# of what the same words show, a cause counts before a symptom
_IN_TURN = sorted(FAILURES, key=lambda failure: failure.weight is Weight.SYMPTOM)

# said by those that noticed, not by the one that failed
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
    # of an executor that had not started its workers yet
    r"AttributeError: '\w+Executor' object has no attribute|"
    r"zmq\.error\.(?:Again|ZMQError: (?:Socket|Context|not a socket))"
)
# those that noticed what another one said, be it no known words
_QUOTES = re.compile(r"Worker failed with error ['\"]|Call to \w+ method failed: ")
# a line of a frame, or one of which its writer says that nothing came of it
_HARMLESS = re.compile(r"\s|.{0,200}\b(?:INFO|DEBUG|TRACE|WARN(?:ING)?|\w*Warning)\b")
# the other end of a pipe is gone: whoever had it failed
_BROKEN_PIPE = re.compile(r"multiprocessing/(?:connection|queues|managers)\.py")


@dataclass(frozen=True, slots=True)
class Ended:
    """How the engine's main process ended, unasked.

    Attributes:
        code: What it ended with, as ``subprocess`` has it: negative after a signal.
        phase: The phase that it was in.
        memory_cause: Why one of its processes was killed for memory, in words; None where none was.
    """

    code: int
    phase: Phase
    memory_cause: str | None = None

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return self.code < 0


@dataclass(frozen=True, slots=True)
class _Match:
    """A kind of failure, and where it was found."""

    failure: Failure
    sign: Sign
    facts: dict[str, str]
    process: str
    excerpt: tuple[str, ...]


def diagnose(lines: Sequence[str], ended: Ended) -> EngineFailed:
    """Name the cause of an engine's end.

    Args:
        lines: The output of all its processes, in the order in which it was written.
        ended: How it ended.

    Returns:
        The error to end with: its ``code`` is the kind of failure, its ``exit_code`` that kind's,
        or 128 + n where signal n ended the main process. It is not raised.
    """
    read = list(read_lines(list(lines)))
    raised = _last_cascade(find_exceptions(read), read)
    remarks = find_remarks(read)
    deaths = find_deaths(read)
    signals = ([-ended.code] if ended.killed else []) + [death.number for death in deaths]

    match = _named(raised, remarks)
    certain = match is not None and match.failure.weight is Weight.CAUSE
    if ended.memory_cause and (not certain or signal.SIGKILL in signals):
        return _of_memory(ended)
    # a process that aborts itself says why before
    aborted = signals[:1] == [signal.SIGABRT]
    if match is not None and (certain or not signals or aborted):
        return _of_match(match, ended)
    if signals and not _causal(raised):
        died = next((death.process for death in deaths), "")
        return _of_signal(signals[0], ended, died, _excerpt(match))
    if match is not None:
        return _of_match(match, ended)
    noticed = [each for each in raised if each.gravity >= Gravity.LOGGED]
    if not _causal(raised) and (match := _in_passing(read)):
        return _of_match(match, ended)
    silent = not ended.killed and not any(_QUOTES.search(each.text) for each in noticed)
    if silent and noticed and all(_follows(each) for each in noticed):
        return _of_silence(noticed[-1].lines, ended)
    if silent and not _causal(raised) and (gone := find_gone(read)):
        return _of_silence((gone,), ended)
    return _unknown(raised, ended)


def _last_cascade(raised: list[Raised], lines: Iterable[Line]) -> list[Raised]:
    """Leave out what was raised while the engine went on serving."""
    served = max((line.number for line in lines if _served(line.text)), default=-1)
    after = [each for each in raised if each.number > served]
    return after if any(not _follows(each) for each in after) else raised


def _served(text: str) -> bool:
    """Return whether a line tells of a request that the engine served: a probe is none."""
    return text.endswith(('" 200 OK', '" 200')) and '"POST ' in text


def _follows(raised: Raised) -> bool:
    """Return whether an exception only tells that something else failed."""
    if raised.name == "EOFError":
        return any(_BROKEN_PIPE.search(frame) for frame in raised.frames)
    return _CONSEQUENCE.match(raised.text) is not None


def _causal(raised: Iterable[Raised]) -> list[Raised]:
    """Return the exceptions that can have ended the engine, those first that name causes."""
    kept = [each for each in raised if not _follows(each)]
    for gravity in (Gravity.FATAL, Gravity.LOGGED):
        if found := [each for each in kept if each.gravity is gravity]:
            return found
    return []


def _named(raised: list[Raised], remarks: list[Remark]) -> _Match | None:
    """Return the kind of failure that the output shows, None where it shows none that is known."""
    causal = _causal(raised)
    found = []
    for each in _some(causal):
        if match := _match_raised(each):
            if match.failure.weight is Weight.CAUSE:
                return match
            found.append(match)
    said = [match for each in remarks if (match := _match(each.text, each.process, (each.text,)))]
    # what libraries print beside an exception tells more than one that only follows from it
    sure = [match for match in said if match.failure.weight is Weight.CAUSE]
    if sure and (found or not causal):
        return sure[0]
    if found:
        # an unknown exception before it is the cause of which this is the symptom
        return found[0] if _match_raised(_first(causal)) else None
    if causal:
        return None
    if said:
        return said[0]
    # words of the cause can be quoted by those that noticed
    logged = [each for each in raised if each.gravity >= Gravity.LOGGED]
    quoted = [match for each in _some(logged) if (match := _match_raised(each))]
    return quoted[0] if quoted else None


def _in_passing(lines: list[Line]) -> _Match | None:
    """Return the kind that a line shows which no logger wrote, None where none does.

    It is looked for last: such a line can be of a program that went on.
    """
    bare = {
        line.text[:BARE_CHARACTERS]: line
        for line in lines[-BARE_LINES:]
        if not line.level and line.text and not _HARMLESS.match(line.text)
    }
    found = (_match(text, line.process, (line.text,)) for text, line in bare.items())
    return next((each for each in found if each and each.failure.weight is Weight.CAUSE), None)


def _some(raised: list[Raised]) -> list[Raised]:
    """Return the first and the last exceptions, each text once."""
    distinct = list({each.text: each for each in reversed(raised)}.values())[::-1]
    return distinct if len(distinct) <= FIRST + LAST else [*distinct[:FIRST], *distinct[-LAST:]]


def _first(causal: list[Raised]) -> Raised:
    """Return the exception that the others followed from.

    It is the first, but for one that came up while another was handled: the handler meant that.
    One without a message says nothing that the one raised from it does not say.
    """
    index = 0
    while index + 1 < len(causal) and (
        causal[index].led_to == "context" or (causal[index].led_to and not causal[index].message)
    ):
        index += 1
    return causal[index]


def _match_raised(raised: Raised) -> _Match | None:
    return _match(raised.text, raised.process, raised.lines, "\n".join(raised.frames))


def _match(text: str, process: str, excerpt: tuple[str, ...], frames: str = "") -> _Match | None:
    if len(text) > 2 * LOOKED_AT:
        text = f"{text[:LOOKED_AT]}\n{text[-LOOKED_AT:]}"
    for failure in _IN_TURN:
        for each in failure.signs:
            facts = each.facts(text, frames)
            if facts is not None:
                known = {name: _fact(value) for name, value in facts.items()}
                return _Match(failure, each, known, process, excerpt)
    return None


def _fact(value: str) -> str:
    return " ".join(value.split())[:FACT_CHARACTERS]


def _opening(ended: Ended, process: str = "") -> str:
    """Return the beginning of a message: what ended, where and how."""
    if ended.killed:
        how = f"The engine was killed by {_signal_name(-ended.code)} in phase {ended.phase}"
    else:
        how = f"The engine ended by itself in phase {ended.phase}, with exit code {ended.code}"
    return f"{how}. In its process {process}: " if process else f"{how}: "


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _exit_code(failure: Failure, ended: Ended) -> int:
    return 128 - ended.code if ended.killed else failure.exit_code


def _excerpt(match: _Match | None) -> tuple[str, ...]:
    return match.excerpt[-EXCERPT_LINES:] if match else ()


def _of_match(match: _Match, ended: Ended) -> EngineFailed:
    failure = match.failure
    cause = (match.sign.cause or failure.cause).format(**match.facts).rstrip(" .")
    return EngineFailed(
        f"{_opening(ended, match.process)}{cause}.",
        kind=failure.kind,
        exit_code=_exit_code(failure, ended),
        hint=(match.sign.repair or failure.repair).format(**match.facts),
        excerpt=_excerpt(match),
    )


def _of_memory(ended: Ended) -> EngineFailed:
    if ended.killed:
        message = (
            f"The engine was killed by {_signal_name(-ended.code)} in phase {ended.phase}: "
            f"{ended.memory_cause}."
        )
    else:
        message = (
            f"The engine ended in phase {ended.phase}, with exit code {ended.code}, because "
            f"{ended.memory_cause} and one of its processes was killed."
        )
    return EngineFailed(
        message, kind=LIMIT.kind, exit_code=_exit_code(LIMIT, ended), hint=LIMIT.repair
    )


def _of_signal(number: int, ended: Ended, process: str, excerpt: tuple[str, ...]) -> EngineFailed:
    failure = BY_SIGNAL.get(number, OTHER)
    cause = failure.cause.format(name=_signal_name(number))
    return EngineFailed(
        f"{_opening(ended, '' if ended.killed else process)}{cause}.",
        kind=failure.kind,
        exit_code=_exit_code(failure, ended),
        hint=failure.repair,
        excerpt=excerpt,
    )


def _of_silence(noticed: tuple[str, ...], ended: Ended) -> EngineFailed:
    return EngineFailed(
        f"{_opening(ended)}{SILENCE}.",
        kind=KILLED.kind,
        exit_code=_exit_code(KILLED, ended),
        hint=KILLED.repair,
        excerpt=noticed[-EXCERPT_LINES:],
    )


def _unknown(raised: list[Raised], ended: Ended) -> EngineFailed:
    causal = _causal(raised) or [each for each in raised if each.gravity >= Gravity.LOGGED]
    if not causal:
        return EngineFailed(
            f"{_opening(ended)}the cause is unknown, its output shows no exception.",
            exit_code=128 - ended.code if ended.killed else None,
            hint="Its last lines are all there is; VLLM_LOGGING_LEVEL=DEBUG has it tell more.",
        )
    first = _first(causal)
    shown = "\n".join(first.lines[-UNKNOWN_LINES:])
    return EngineFailed(
        f"{_opening(ended, first.process)}the cause is unknown. Its first exception:\n{shown}",
        exit_code=128 - ended.code if ended.killed else None,
        hint="Search vLLM's issues for the exception's words, or report it there with the log.",
        excerpt=first.lines[-EXCERPT_LINES:],
    )
