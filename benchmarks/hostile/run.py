"""Rounds of attacks, each followed by a valid request and a check of the processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.hostile import documents, schema, wire
from benchmarks.hostile.attack import Attack, Outcome, get, json_request, request_bytes, send
from benchmarks.hostile.slow import Held, hold
from benchmarks.memory import Growth, MemoryLog, growth
from tests.support.launch import DEMO, DEMO_CACHE, Launch, descendants, environment

KEY = "a-key-of-the-hostile-run"
REQUEST_BYTES = 1 << 20
"""MAX_REQUEST_BYTES: small, so that bodies above it are cheap to send."""
AT_ONCE = 24
"""Attacks in flight."""
ROUND = 1_000
"""Attacks between two valid requests."""
SHARES = (("wire", 25), ("monster", 3), ("mutated", 45), ("engine", 15), ("schema", 12))
"""Relative frequency of each source of attacks."""
CASES = 0.03
"""Share of distinct requests from schemathesis. Generating them is slow, so each is sent several
times: with the key, without it, and mutated."""
CASES_AT_ONCE = 20
SETTLE_SECONDS = 10.0
"""How long the server gets to close connections before its open files are counted."""
FILES = 8
"""How many more open files a process may have at the end than at the start: an idle process opens
some files that it keeps."""
GROWTH = 0.03
JUDGED = 20_000
"""Minimum number of requests for a verdict on growth: in a short run, caches still fill."""
EXAMPLE_BYTES = 600


@dataclass
class Findings:
    """Counts of the results."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Answers by kind of attack and by status, or by how the connection ended."""
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Faults, each with its count and the first example."""
    sent: int = 0

    def add_fault(self, what: str, example: str) -> None:
        """Count a fault."""
        count, first = self.faults.get(what, (0, example))
        self.faults[what] = (count + 1, first)


@dataclass(frozen=True)
class Report:
    """The result of a run."""

    seconds: float
    findings: Findings
    held: Held
    grown: list[Growth]
    good: int
    """Valid requests that were answered after a round."""


def hostile_environment(home: Path) -> dict[str, str]:
    """Return the environment for a launch of the demo model that is to be attacked."""
    return environment(
        home,
        MODEL_ID=DEMO,
        HF_HUB_CACHE=str(DEMO_CACHE),
        API_KEY=KEY,
        MAX_REQUEST_BYTES=str(REQUEST_BYTES),
    )


ENGINES_ERROR = b'"message":"Internal server error"'
"""The answer if the engine gives up on a request, such as one whose grammar allows no token."""


def judge(attack: Attack, outcome: Outcome) -> str | None:
    """Return what is wrong with an answer, None if it is right.

    A 5xx is wrong: the engine is up, so the request is at fault. Three are accepted, and appear in
    the table of answers: 501, if the model does not support the route or the server the framing;
    505, for another version of HTTP; and a 500 if the engine has given up on the request, which it
    only finds out while it answers. Also wrong are an answer without the key, and no answer to a
    complete request.
    """
    if outcome.end == "hung":
        return "no answer"
    if outcome.end == "refused":
        return "connection refused"
    bad = [status for status in outcome.statuses if status >= 500 and status not in (501, 505)]
    if bad and not (bad == [500] and ENGINES_ERROR in outcome.answer):
        return str(bad[0])
    if not attack.keyed and not attack.open_to_all and _shows_model(outcome.answer):
        return "answered without the key"
    return None


def _shows_model(answer: bytes) -> bool:
    """Whether an answer shows the model, for which a key is needed."""
    return DEMO.encode() in answer and b" 200 OK\r\n" in answer


class Attacker:
    """Attacks one server.

    Args:
        port: The server's port.
        key: Its API key.
        openapi: Its OpenAPI document.
        rng: Makes the choices.
    """

    def __init__(self, port: int, key: str, openapi: dict[str, Any], rng: random.Random):
        self._port = port
        self._key = key
        self._openapi = openapi
        self._rng = rng
        self._cases: list[schema.Made] = []
        self._unsent: list[schema.Made] = []
        self._engine: list[Attack] = []
        self._names = {path: schema.property_names(openapi, path) for path in documents.BASES}
        self.findings = Findings()

    def add_cases(self, made: list[schema.Made]) -> None:
        """Add requests from schemathesis."""
        self._cases += made
        self._unsent += made

    async def attack(self, count: int) -> None:
        """Send ``count`` attacks, several at a time."""
        attacks = iter([self._next() for _ in range(count)])

        async def work(attacks: Iterator[Attack]) -> None:
            for attack in attacks:
                self._note(attack, await send(self._port, attack))

        await asyncio.gather(*(work(attacks) for _ in range(AT_ONCE)))

    def _next(self) -> Attack:
        makers = [maker for maker, _ in SHARES]
        maker = self._rng.choices(makers, [share for _, share in SHARES])[0]
        if maker == "wire":
            return wire.wire_attack(self._rng, self._key)
        if maker == "monster":
            return documents.monsters(self._rng, self._key)
        if maker == "engine":
            if not self._engine:
                self._engine = documents.engine_attacks(self._key)
                self._rng.shuffle(self._engine)
            return self._engine.pop()
        if maker == "schema" and self._cases:
            return self._schema_attack()
        return self._mutated_attack()

    def _schema_attack(self) -> Attack:
        """Return a request from schemathesis, preferably a new one, with or without the key."""
        case = self._unsent.pop() if self._unsent else self._rng.choice(self._cases)
        path = case.label.partition(" ")[2]
        keyed = self._rng.random() < 0.7
        body = documents.limited_body(case.body, path, self._rng)
        payload = request_bytes(
            case.method, case.target, case.headers, body, self._key if keyed else None
        )
        kind = f"schema, {'negative' if case.negative else 'positive'}"
        return Attack(kind if keyed else f"{kind}, no key", payload, keyed=keyed)

    def _mutated_attack(self) -> Attack:
        """Return a valid document, or one from schemathesis, with parts changed."""
        path = self._rng.choice(list(documents.BASES))
        base = documents.BASES[path]
        own = [case for case in self._cases if case.label == f"POST {path}" and case.body]
        if own and self._rng.random() < 0.5:
            with contextlib.suppress(ValueError, TypeError):
                base = {**json.loads(self._rng.choice(own).body or b""), "model": DEMO}
        keyed = self._rng.random() < 0.9
        body = documents.mutated(self._rng, path, base, self._names[path])
        payload = json_request(path, body, self._key if keyed else None)
        return Attack("mutated" if keyed else "mutated, no key", payload, keyed=keyed)

    def _note(self, attack: Attack, outcome: Outcome) -> None:
        kind = attack.kind.partition(" of /")[0]
        if kind in documents.ENGINE_VALUES:
            kind = "strain on the engine"
        self.findings.sent += 1
        self.findings.counts[kind][outcome.label] += 1
        wrong = judge(attack, outcome)
        if wrong is not None:
            line = attack.payload.partition(b"\r\n")[0][:80].decode("latin-1")
            what = f"{wrong}: {attack.kind}"
            if wrong.isdigit():
                what = f"{wrong}: {line}: {_error_words(outcome.answer)}"
            self.findings.add_fault(what, _example(attack, outcome))


def _error_words(answer: bytes) -> str:
    """Return the shortened message of an answer's error."""
    body = answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        body = str(json.loads(body)["error"]["message"])
    return body[:120]


def _example(attack: Attack, outcome: Outcome) -> str:
    return (
        f"sent {attack.payload[:EXAMPLE_BYTES]!r} ({len(attack.payload)} bytes), "
        f"got {outcome.answer[:EXAMPLE_BYTES]!r}"
    )


_PREFIX = re.compile(r"^\(\w+ pid=\d+\) ")
_RAISED = re.compile(r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception)\b")
_LOGGED = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR)\b")


def unhandled(log: str) -> Counter[str]:
    """Return the exceptions in a log that no handler caught before the HTTP server did."""
    found: Counter[str] = Counter()
    raised, inside = None, False
    for line in [*log.splitlines(), "INFO"]:
        line = _PREFIX.sub("", line)
        if inside and _LOGGED.match(line):
            found[raised or "unknown"] += 1
            inside = False
        if "Exception in ASGI application" in line:
            raised, inside = None, True
        elif inside and _RAISED.match(line):
            raised = line[:160]
    return found


@contextlib.asynccontextmanager
async def made_by_schemathesis(
    openapi: dict[str, Any], count: int, seed: int, take: Callable[[list[schema.Made]], None]
) -> AsyncIterator[None]:
    """Generate requests in another process while the block runs; pass them on as they arrive."""
    labels = schema.operations(openapi)
    each = max(1, min(CASES_AT_ONCE, count // (2 * len(labels))))
    jobs = [(label, negative) for label in labels for negative in (False, True)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:

        async def make() -> None:
            loop = asyncio.get_running_loop()
            made, number = 0, 0
            while made < count:
                before = made
                for label, negative in jobs:
                    number += 1
                    cases = await loop.run_in_executor(
                        pool, schema.make, openapi, label, negative, each, seed + number
                    )
                    take(cases)
                    made += len(cases)
                    if made >= count:
                        return
                if made == before:
                    return

        making = asyncio.create_task(make())
        try:
            yield
        finally:
            making.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await making
            pool.shutdown(wait=False, cancel_futures=True)


async def good_answer(port: int, key: str) -> str | None:
    """Send a valid request; return what is wrong with the answer, None if it is right."""
    payload = json_request("/v1/chat/completions", documents.BASES["/v1/chat/completions"], key)
    outcome = await send(port, Attack("good", payload))
    if outcome.statuses != (200,):
        return f"{outcome.label}: {outcome.answer[:EXAMPLE_BYTES]!r}"
    return None if b'"content":"' in outcome.answer else f"no content: {outcome.answer!r}"


async def run(
    launch: Launch,
    key: str,
    requests: int,
    seed: int,
    on_progress: Callable[[str], None],
    connections: int = 400,
    hold_seconds: float = 30.0,
) -> Report:
    """Attack a running server.

    Args:
        launch: The server, with the environment of :func:`hostile_environment`.
        key: Its API key.
        requests: Number of attacks.
        seed: Seed of the random choices.
        on_progress: Called with a line of progress.
        connections: Number of connections to hold open, in the middle of the run.
        hold_seconds: How long to hold them.
    """
    rng = random.Random(seed)
    openapi = json.loads(await _body(launch.port, "/openapi.json", key))
    attacker = Attacker(launch.port, key, openapi, rng)
    findings = attacker.findings
    started = time.monotonic()
    log = MemoryLog(launch.process.pid)
    tree = set(descendants(launch.process.pid))
    log.read(0.0)
    good, held = 0, Held(Counter(), 0, 0)
    count = max(1, int(requests * CASES))
    async with made_by_schemathesis(openapi, count, seed, attacker.add_cases):
        while findings.sent < requests:
            half = findings.sent < requests / 2
            await attacker.attack(min(ROUND, requests - findings.sent))
            if half and findings.sent >= requests / 2:
                held = await hold(launch.port, key, connections, hold_seconds, rng)
                if held.bad:
                    findings.add_fault("no answer while connections are held", str(held))
            wrong = await good_answer(launch.port, key)
            good += wrong is None
            if wrong is not None:
                findings.add_fault("a valid request got no valid answer", wrong)
            log.read(time.monotonic() - started)
            faults = sum(count for count, _ in findings.faults.values())
            on_progress(
                f"{findings.sent} of {requests} sent in {time.monotonic() - started:.0f} s, "
                f"{faults} faults of {len(findings.faults)} kinds"
            )
            if launch.process.poll() is not None:
                findings.add_fault("the server has ended", launch.tail())
                break
    if launch.process.poll() is None:
        await asyncio.sleep(SETTLE_SECONDS)
        log.read(time.monotonic() - started)
        gone = tree - set(descendants(launch.process.pid))
        if gone:
            findings.add_fault("processes have ended", str(sorted(gone)))
    for what, times in unhandled(launch.log.read_text(errors="replace")).items():
        findings.faults[f"not handled: {what}"] = (times, f"see {launch.log}")
    seconds = time.monotonic() - started
    return Report(seconds, findings, held, grown(log, seconds, findings), good)


def grown(log: MemoryLog, seconds: float, findings: Findings) -> list[Growth]:
    """Compare the memory after a tenth of the run with that at the end."""
    found = growth(log.readings, (0.1 * seconds, 0.25 * seconds), (0.9 * seconds, seconds))
    for one in found:
        if findings.sent >= JUDGED and one.ratio >= GROWTH:
            findings.add_fault(f"the {one.process} grew", f"by {one.ratio:.1%}")
        first = next(r.files for r in log.readings if r.process == one.process)
        if one.files[1] > first + FILES:
            findings.add_fault(f"the {one.process} holds files", f"{first}, then {one.files[1]}")
    return found


async def _body(port: int, target: str, key: str) -> bytes:
    outcome = await get(port, target, key)
    if outcome.statuses != (200,):
        raise RuntimeError(f"{target}: {outcome.answer[:EXAMPLE_BYTES]!r}")
    head, _, body = outcome.answer.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        raise RuntimeError(f"{target} came in chunks")
    return body
