"""The messages between the server and the pipeline's process.

Each message is its length in four bytes, then MessagePack. The pipeline's process imports this
module and nothing from vLLM, so that it starts within a second.
"""

from __future__ import annotations

import socket
import struct
from typing import Literal

import msgspec

LENGTH = struct.Struct("!I")

FinishedBy = Literal["stop", "length", "error"]


class Load(msgspec.Struct, tag=True, frozen=True):
    """The first command: load a model.

    Attributes:
        model: Directory of the OpenVINO model.
        device: OpenVINO's name of the device: ``CPU``, ``GPU``, ``GPU.1``.
        cache_gib: Size of the KV cache; 0 lets it grow.
        max_num_seqs: Maximum number of concurrent sequences.
        max_num_batched_tokens: Maximum number of tokens in one step.
        prefix_caching: Whether prompts with the same start share keys and values.
        chunked_prefill: Whether to compute long prompts in pieces, alongside other sequences.
        properties: OpenVINO's properties, by name.
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
    """How to sample one sequence.

    Attributes:
        max_tokens: Maximum number of tokens to generate.
        min_tokens: Number of tokens before one of ``ends`` may be generated.
        ends: Tokens that end the sequence.
        banned_early: Tokens that must not be generated before ``min_tokens``, if ``ends`` is
            empty.
        temperature: 0 for greedy sampling.
        top_k: 0 for all tokens.
        seed: Seed of this sequence's random numbers.
        logprobs: Whether to return the log-probability of each token.
        grammar: EBNF grammar, in xgrammar's dialect, that the text must match.
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
    """Cancel these sequences."""

    requests: list[str]


class Loaded(msgspec.Struct, tag=True, frozen=True):
    """The model is loaded and warmed up."""


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """The output of one step for one sequence.

    Attributes:
        request: The request's id.
        tokens: The new tokens, including the one that ends the sequence.
        logprobs: The log-probability of each token, before temperature and penalties; empty if
            not requested.
        finished_by: Why the sequence finished; None while it runs.
        error: Why the sequence failed.
        started: When the pipeline started the sequence, in seconds of the monotonic clock, which
            all processes of a machine share.
    """

    request: str
    tokens: list[int] = []
    logprobs: list[float] = []
    finished_by: FinishedBy | None = None
    error: str | None = None
    started: float = 0.0


class Step(msgspec.Struct, tag=True, frozen=True):
    """The result of one step.

    Attributes:
        outputs: One for each sequence with new output.
        running: Number of sequences in the step.
        waiting: Number of sequences that wait.
        cache_usage: Used share of the KV cache, 0 to 1.
    """

    outputs: list[Output]
    running: int
    waiting: int
    cache_usage: float


class Failed(msgspec.Struct, tag=True, frozen=True):
    """The pipeline has failed; the process ends."""

    error: str


Command = Load | Generate | Cancel
"""A message to the pipeline's process."""
Event = Loaded | Step | Failed
"""A message from the pipeline's process."""

_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_events: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def frame(message: Command | Event) -> bytes:
    """Return a message as bytes, with its length in front."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def decode_command(body: bytes | bytearray) -> Command:
    """Return the command in a frame's body."""
    return _commands.decode(body)


def decode_event(body: bytes | bytearray) -> Event:
    """Return the event in a frame's body."""
    return _events.decode(body)


class FramedSocket:
    """A blocking socket that sends and receives frames."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._buffer = bytearray()

    def send(self, message: Command | Event) -> None:
        """Send a message.

        Raises:
            OSError: The other process has closed its socket.
        """
        self._connection.sendall(frame(message))

    def receive(self, *, wait: bool) -> bytes | None:
        """Return the body of the next frame; None if none has arrived and ``wait`` is False.

        Raises:
            EOFError: The other process has closed its socket.
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
