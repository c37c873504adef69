"""What the server and the pipeline's process say to each other, and how it is framed.

Each message is MessagePack behind its length in four bytes. The pipeline's process imports this
and nothing of vLLM, so that it starts in a second.
"""

from __future__ import annotations

import socket
import struct
from typing import Literal

import msgspec

LENGTH = struct.Struct("!I")

FinishedBy = Literal["stop", "length", "error"]


class Load(msgspec.Struct, tag=True, frozen=True):
    """The first message: what to serve, and how.

    Attributes:
        model: Directory of the OpenVINO model.
        device: As OpenVINO names it: ``CPU``, ``GPU``, ``GPU.1``.
        cache_gib: Size of the key-value cache; 0 lets it grow as it is needed.
        max_num_seqs: Sequences that are computed at once, at most.
        max_num_batched_tokens: Tokens of one step, at most.
        prefix_caching: Whether keys and values are kept for prompts that begin alike.
        chunked_prefill: Whether long prompts are computed in pieces beside running sequences.
        properties: OpenVINO's own, by name.
    """

    model: str
    device: str
    cache_gib: int
    max_num_seqs: int
    max_num_batched_tokens: int
    prefix_caching: bool
    chunked_prefill: bool
    properties: dict[str, str]


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one sequence is sampled, in the pipeline's terms.

    Attributes:
        max_tokens: Tokens to generate, at most.
        min_tokens: Tokens before one of ``ends`` may be generated.
        ends: Tokens that end the sequence.
        banned_early: Tokens that may not be generated before ``min_tokens``, if nothing ends
            the sequence.
        temperature: 0 for greedy.
        top_k: 0 for all.
        seed: Of this sequence's random numbers.
        logprobs: Whether the log-probability of each token is wanted.
        grammar: What the text must match, in EBNF as xgrammar reads it.
    """

    max_tokens: int
    min_tokens: int = 0
    ends: list[int] = []
    banned_early: list[int] = []
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0
    logprobs: bool = False
    grammar: str | None = None


class Generate(msgspec.Struct, tag=True, frozen=True):
    """Generate one sequence."""

    request: str
    prompt: list[int]
    sampling: Sampling


class Cancel(msgspec.Struct, tag=True, frozen=True):
    """Forget these sequences."""

    requests: list[str]


class Loaded(msgspec.Struct, tag=True, frozen=True):
    """The model is loaded and has answered once."""


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one step has added to a sequence.

    Attributes:
        request: Which.
        tokens: The new tokens, the one that ends the sequence included.
        logprobs: The log-probability of each, before temperature and penalties; empty if they
            were not asked for.
        finished_by: None while it goes on.
        error: Why it failed.
        started: When the pipeline took the sequence on, in seconds of the monotonic clock that
            all processes of a machine share.
    """

    request: str
    tokens: list[int] = []
    logprobs: list[float] = []
    finished_by: FinishedBy | None = None
    error: str | None = None
    started: float = 0.0


class Step(msgspec.Struct, tag=True, frozen=True):
    """What one step has computed.

    Attributes:
        outputs: One for each sequence that got further.
        running: Sequences that the step computed.
        waiting: Sequences that it did not.
        cache_usage: Share of the key-value cache that is in use, 0 to 1.
    """

    outputs: list[Output]
    running: int
    waiting: int
    cache_usage: float


class Failed(msgspec.Struct, tag=True, frozen=True):
    """The pipeline has failed for good; the process ends."""

    error: str


Down = Load | Generate | Cancel
Up = Loaded | Step | Failed

_encoder = msgspec.msgpack.Encoder()
_down: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)
_up: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)


def frame(message: Down | Up) -> bytes:
    """Return a message as the bytes that are sent."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def read_down(body: bytes | bytearray) -> Down:
    """Return the message for the pipeline's process that a frame's body holds."""
    return _down.decode(body)


def read_up(body: bytes | bytearray) -> Up:
    """Return the message for the server that a frame's body holds."""
    return _up.decode(body)


class Framed:
    """A blocking socket, frame by frame."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._buffer = bytearray()

    def send(self, message: Down | Up) -> None:
        """Send a message.

        Raises:
            OSError: The other side has gone.
        """
        self._connection.sendall(frame(message))

    def receive(self, *, wait: bool) -> bytes | None:
        """Return the body of the next frame, None if there is none and ``wait`` is false.

        Raises:
            EOFError: The other side has gone.
        """
        while True:
            if len(self._buffer) >= LENGTH.size:
                (length,) = LENGTH.unpack_from(self._buffer)
                end = LENGTH.size + length
                if len(self._buffer) >= end:
                    body = bytes(self._buffer[LENGTH.size : end])
                    del self._buffer[:end]
                    return body
            try:
                piece = self._connection.recv(1 << 20, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            if not piece:
                raise EOFError
            self._buffer += piece
