"""The requests of the soak, valid and invalid, each with a check of its answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx

ANSWER_SECONDS = 300.0
"""Maximum time for an answer. A request that takes longer has hung."""

STALL_CHECK_SECONDS = 0.5
"""How often to check whether the clients stall."""

TEXT = """
model cache server tarball variable MODEL_ID NUM_SHARD REVISION HF_HUB_CACHE API_KEY ARG port token
engine start stop health ready shard memory weights offline what does which how is this the a of and
to where when set image deploy
"""
WORDS = TEXT.split()

SCHEMAS: tuple[dict[str, Any], ...] = tuple(
    {
        "type": "object",
        "properties": {name: {"type": "integer"}, "offline": {"type": "boolean"}},
        "required": [name, "offline"],
        "additionalProperties": False,
    }
    for name in ("shards", "port", "seconds")
)


class UnexpectedError(Exception):
    """The answer is wrong."""


class RefusedError(Exception):
    """The server is busy: 429 with Retry-After, which is right in a burst."""


class Count(NamedTuple):
    """The counts of one kind of request, and the times of right answers in seconds."""

    sent: int
    right: int
    refused: int
    disturbed: int
    """Disconnected while the clients stalled."""
    wrong: int
    median: float
    longest: float


class Load:
    """Clients of one server, and the results of their requests.

    Args:
        url: The server's URL.
        key: The API key.
        model: The model's name.
        rng: Makes the choices.
        burst: Number of requests that a burst sends at once.
    """

    def __init__(self, url: str, key: str, model: str, rng: random.Random, burst: int):
        self.client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            # shorter than the server's 5 s: it must not close a connection that is about to be used
            limits=httpx.Limits(max_connections=None, keepalive_expiry=2.0),
            timeout=ANSWER_SECONDS,
        )
        self.model = model
        self.rng = rng
        self.examples: list[str] = []
        """Descriptions of the first few wrong answers."""
        self._burst = burst
        self._deck: list[str] = []
        self._bursts = 0  # counts starts and ends: odd while one runs
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._refused: Counter[str] = Counter()
        self._disturbed: Counter[str] = Counter()
        self._stalled = 0.0  # when the clients last stalled
        self._wrong: Counter[str] = Counter()

    @property
    def wrong(self) -> int:
        """Number of wrong answers."""
        return self._wrong.total()

    @property
    def done(self) -> int:
        """Number of finished requests."""
        return sum(count.sent for count in self.counts().values())

    def stalled(self) -> None:
        """Record that the clients stalled until now. A server disconnects such clients."""
        self._stalled = time.monotonic()

    def counts(self) -> dict[str, Count]:
        """Return the results of each kind of request."""
        counts = {}
        for kind in sorted({*self._seconds, *self._refused, *self._disturbed, *self._wrong}):
            times = sorted(self._seconds[kind])
            counts[kind] = Count(
                sent=len(times) + self._refused[kind] + self._disturbed[kind] + self._wrong[kind],
                right=len(times),
                refused=self._refused[kind],
                disturbed=self._disturbed[kind],
                wrong=self._wrong[kind],
                median=times[len(times) // 2] if times else 0.0,
                longest=times[-1] if times else 0.0,
            )
        return counts

    async def one(self, kind: str | None = None) -> None:
        """Send a request of a kind, or of the next kind, and check the answer."""
        kind = kind or self._next()
        ask = KINDS[kind][1]
        started, bursts = time.monotonic(), self._bursts
        try:
            await ask(self)
        except RefusedError:
            if bursts % 2 or self._bursts != bursts:
                self._refused[kind] += 1
            else:
                self._add_wrong(kind, "429 outside a burst")
        except UnexpectedError as error:
            self._add_wrong(kind, str(error))
        except httpx.HTTPError as error:
            await asyncio.sleep(STALL_CHECK_SECONDS)  # a stall is detected later
            if self._stalled > started:
                self._disturbed[kind] += 1
                return
            self._add_wrong(kind, f"{type(error).__name__}: {error}")
        else:
            self._seconds[kind].append(time.monotonic() - started)

    async def burst(self) -> None:
        """Send more requests at once than the server runs and queues."""
        self._bursts += 1
        try:
            await asyncio.gather(*(self.one("burst") for _ in range(self._burst)))
        finally:
            self._bursts += 1

    def _next(self) -> str:
        """Return the next kind of request. Each round has every kind as often as its weight."""
        if not self._deck:
            self._deck = [kind for kind, (weight, _) in KINDS.items() for _ in range(weight)]
            self.rng.shuffle(self._deck)
        return self._deck.pop()

    def text(self, words: int) -> str:
        """Return a random prompt, which was probably not sent before."""
        return " ".join(self.rng.choices(WORDS, k=words))

    def chat(self, words: int, tokens: int, **options: Any) -> dict[str, Any]:
        """Return the body of a chat whose answer has exactly ``tokens`` tokens."""
        messages = [{"role": "user", "content": self.text(words)}]
        return self._body(tokens, messages=messages, **options)

    def completion(self, words: int, tokens: int, **options: Any) -> dict[str, Any]:
        """Return the body of a completion of exactly ``tokens`` tokens."""
        return self._body(tokens, prompt=self.text(words), **options)

    def _body(self, tokens: int, **options: Any) -> dict[str, Any]:
        return {"model": self.model, "max_tokens": tokens, "ignore_eos": True, **options}

    def _add_wrong(self, kind: str, words: str) -> None:
        self._wrong[kind] += 1
        if len(self.examples) < 50:
            self.examples.append(f"{kind}: {words}")


def _expect(response: httpx.Response, *statuses: int) -> None:
    if response.status_code == 429 and 429 not in statuses:
        if not response.headers.get("retry-after", "").isdigit():
            raise UnexpectedError("429 without Retry-After")
        raise RefusedError
    if response.status_code not in statuses:
        raise UnexpectedError(f"{response.status_code}: {response.text[:300]}")


async def complete(load: Load, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that is not streamed. It must have as many tokens as requested."""
    response = await load.client.post(path, json=body)
    _expect(response, 200)
    document: dict[str, Any] = response.json()
    tokens = document["usage"]["completion_tokens"]
    if body.get("ignore_eos") and tokens != body["max_tokens"]:
        raise UnexpectedError(f"{tokens} tokens instead of {body['max_tokens']}")
    return document


async def stream(
    load: Load, path: str, body: dict[str, Any], disconnect_after: int | None = None
) -> None:
    """Read a stream to its end, or disconnect after ``disconnect_after`` pieces."""
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    reason, tokens, pieces = None, None, 0
    async with load.client.stream("POST", path, json=streamed) as response:
        if response.status_code != 200:
            await response.aread()
        _expect(response, 200)
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            data = line.removeprefix("data: ")
            if data == "[DONE]":
                break
            event = json.loads(data)
            if "error" in event:
                raise UnexpectedError(f"the stream ended with {data}")
            pieces += 1
            if pieces == disconnect_after:
                return
            for choice in event["choices"]:
                reason = choice["finish_reason"] or reason
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
        else:
            raise UnexpectedError("the stream ended without [DONE]")
    if (reason, tokens) != ("length", body["max_tokens"]):
        raise UnexpectedError(f"the stream ended by {reason!r} after {tokens} tokens")


async def chat_stream_short(load: Load) -> None:
    await stream(load, "/v1/chat/completions", load.chat(10, load.rng.randint(4, 24)))


async def chat_stream_long(load: Load) -> None:
    await stream(load, "/v1/chat/completions", load.chat(150, load.rng.randint(100, 250)))


async def chat_not_streamed(load: Load) -> None:
    await complete(load, "/v1/chat/completions", load.chat(20, load.rng.randint(4, 24)))


async def chat_log_probabilities(load: Load) -> None:
    body = load.chat(20, 8, logprobs=True, top_logprobs=3)
    document = await complete(load, "/v1/chat/completions", body)
    if len(document["choices"][0]["logprobs"]["content"]) != 8:
        raise UnexpectedError("the number of log probabilities differs from that of tokens")


async def chat_structured(load: Load) -> None:
    schema = load.rng.choice(SCHEMAS)
    form = {"type": "json_schema", "json_schema": {"name": "launch", "schema": schema}}
    body = load.chat(10, 80, response_format=form, ignore_eos=False)
    document = await complete(load, "/v1/chat/completions", body)
    choice = document["choices"][0]
    if choice["finish_reason"] == "stop" and set(json.loads(choice["message"]["content"])) != set(
        schema["required"]
    ):
        raise UnexpectedError(f"the answer breaks the schema: {choice['message']['content']}")


async def completion_stream(load: Load) -> None:
    await stream(load, "/v1/completions", load.completion(20, load.rng.randint(4, 24)))


async def completion_long(load: Load) -> None:
    await complete(load, "/v1/completions", load.completion(150, load.rng.randint(60, 150)))


async def completion_several(load: Load) -> None:
    """Two prompts with two answers each."""
    body = load.completion(10, 8, n=2, temperature=1)
    body["prompt"] = [load.text(10), load.text(10)]
    response = await load.client.post("/v1/completions", json=body)
    _expect(response, 200)
    if len(response.json()["choices"]) != 4:
        raise UnexpectedError(f"{len(response.json()['choices'])} answers instead of 4")


async def disconnect_in_stream(load: Load) -> None:
    """A client that closes the connection in the middle of a stream."""
    body = load.chat(10, 400)
    await stream(load, "/v1/chat/completions", body, disconnect_after=load.rng.randint(1, 30))


async def disconnect_before_answer(load: Load) -> None:
    """A client that closes the connection before its answer is complete.

    A fast engine sometimes answers first, and then correctly.
    """
    body = load.completion(10, 1000)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(load.rng.uniform(0.05, 1.5)):
            _expect(await load.client.post("/v1/completions", json=body), 200)


async def wrong_json(load: Load) -> None:
    path = load.rng.choice(("/v1/chat/completions", "/v1/completions", "/tokenize"))
    content = load.rng.choice((b'{"model": ', b"[]", b"\xff\xfe", b'{"messages": 1}'))
    headers = {"Content-Type": "application/json"}
    _expect(await load.client.post(path, content=content, headers=headers), 400, 422)


async def wrong_model(load: Load) -> None:
    body = {**load.chat(3, 4), "model": load.text(1)}
    _expect(await load.client.post("/v1/chat/completions", json=body), 404)


async def wrong_key(load: Load) -> None:
    headers = {"Authorization": f"Bearer {load.text(1)}"}
    body = load.chat(3, 4)
    _expect(await load.client.post("/v1/chat/completions", json=body, headers=headers), 401)


async def wrong_length(load: Load) -> None:
    """More tokens than the model's context holds."""
    _expect(await load.client.post("/v1/completions", json=load.completion(2000, 4)), 400)


async def wrong_path(load: Load) -> None:
    _expect(await load.client.get(f"/{load.rng.getrandbits(40):x}"), 404)


async def health(load: Load) -> None:
    path = load.rng.choice(("/health", "/health/live", "/health/ready"))
    _expect(await load.client.get(path), 200)


async def metrics(load: Load) -> None:
    response = await load.client.get("/metrics")
    _expect(response, 200)
    if "vllm:num_requests_running" not in response.text:
        raise UnexpectedError("the metrics lack vLLM's")


async def status(load: Load) -> None:
    response = await load.client.get("/v1/status")
    _expect(response, 200)
    if response.json()["phase"] != "ready":
        raise UnexpectedError(f"the phase is {response.json()['phase']}")


async def models(load: Load) -> None:
    response = await load.client.get("/v1/models")
    _expect(response, 200)
    if load.model not in [model["id"] for model in response.json()["data"]]:
        raise UnexpectedError("the model is not in the list")


async def tokenize(load: Load) -> None:
    body = {"model": load.model, "prompt": load.text(30)}
    response = await load.client.post("/tokenize", json=body)
    _expect(response, 200)
    document = response.json()
    if document["count"] != len(document["tokens"]) or not document["count"]:
        raise UnexpectedError(
            f"a count of {document['count']} for {len(document['tokens'])} tokens"
        )


async def in_a_burst(load: Load) -> None:
    await complete(load, "/v1/completions", load.completion(5, 8))


KINDS: dict[str, tuple[int, Callable[[Load], Awaitable[None]]]] = {
    "chat, short stream": (20, chat_stream_short),
    "chat, long stream": (2, chat_stream_long),
    "chat, not streamed": (10, chat_not_streamed),
    "chat, log probabilities": (2, chat_log_probabilities),
    "chat, JSON schema": (2, chat_structured),
    "completion, stream": (10, completion_stream),
    "completion, long": (2, completion_long),
    "completion, several answers": (2, completion_several),
    "disconnect in a stream": (6, disconnect_in_stream),
    "disconnect before answer": (4, disconnect_before_answer),
    "malformed JSON": (4, wrong_json),
    "unknown model": (4, wrong_model),
    "wrong key": (4, wrong_key),
    "too long": (2, wrong_length),
    "unknown path": (4, wrong_path),
    "health": (10, health),
    "metrics": (4, metrics),
    "status": (4, status),
    "models": (4, models),
    "tokenize": (6, tokenize),
    "burst": (0, in_a_burst),
}
"""Each kind of request: its weight, and the function that sends it and checks the answer."""


def counts_table(counts: dict[str, Count]) -> str:
    """Return a table of the results of each kind of request, with times in seconds."""
    heads = ("sent", "right", "refused", "disturbed", "wrong")
    lines = [f"{'request':<28}" + "".join(f"{head:>10}" for head in heads) + "   median  longest"]
    for kind, count in counts.items():
        numbers = "".join(f"{n:>10}" for n in count[:5])
        lines.append(f"{kind:<28}{numbers} {count.median:>8.3f} {count.longest:>8.3f}")
    return "\n".join(lines)
