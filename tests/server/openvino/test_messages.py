"""Encoding and framing of the messages."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from server.openvino.messages import (
    Cancel,
    Command,
    Event,
    FramedSocket,
    Generate,
    Loaded,
    Output,
    Sampling,
    Step,
    decode_command,
    decode_event,
    frame,
)

GENERATE = Generate("a", [1, 2, 3], Sampling(max_tokens=5, temperature=0.5, ends=[0]))
STEP = Step([Output("a", [7], [-0.5], "stop")], running=1, waiting=2, cache_usage=0.25)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("message", [GENERATE, Cancel(["a", "b"])])
def test_a_command_survives_encoding(message: Command) -> None:
    assert decode_command(frame(message)[4:]) == message


@pytest.mark.parametrize("message", [STEP, Loaded()])
def test_an_event_survives_encoding(message: Event) -> None:
    assert decode_event(frame(message)[4:]) == message


def test_frames_arrive_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    framed = FramedSocket(other)
    both = frame(GENERATE) + frame(Cancel(["a"]))
    for cut in (2, 10, len(both) - 1):
        one.sendall(both[:cut])
        first = framed.receive(wait=False)
        one.sendall(both[cut:])
        bodies = [first] if first else []
        while len(bodies) < 2:
            bodies.append(framed.receive(wait=True) or b"")
        assert [decode_command(body) for body in bodies] == [GENERATE, Cancel(["a"])]
        assert framed.receive(wait=False) is None


def test_the_other_side_has_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    one.close()
    with pytest.raises(EOFError):
        FramedSocket(other).receive(wait=True)
