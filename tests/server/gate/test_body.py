"""Bodies that are too large, too slow, or incomplete, and the replay of complete ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.requests import Request

from server.gate import body
from server.gate.body import (
    SMALL_BYTES,
    BodyMemory,
    BodyMemoryFull,
    BodyTooLarge,
    BodyTooSlow,
    ClientLeft,
    read_body,
)
from tests.support.event_loop import in_event_loop

LIMIT = 100


class Channel:
    """A request's ASGI channel: yields the given messages, then waits forever.

    A number is a pause in seconds; None is a disconnect.
    """

    def __init__(self, *messages: bytes | float | None, more: bool = False):
        self._messages = list(messages)
        self._more = more
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        while self._messages:
            message = self._messages.pop(0)
            if message is None:
                return {"type": "http.disconnect"}
            if isinstance(message, bytes):
                more = self._more or any(isinstance(m, bytes) for m in self._messages)
                return {"type": "http.request", "body": message, "more_body": more}
            await asyncio.sleep(message)
        await asyncio.Event().wait()
        raise AssertionError


def length(value: int) -> Headers:
    return Headers({"host": "test", "content-length": str(value)})


def read(channel: Channel, headers: Headers | None = None) -> bytes:
    async def run() -> bytes:
        return (
            await asyncio.wait_for(
                read_body(channel.receive, headers or Headers(), LIMIT, BodyMemory(0)), 20
            )
        ).content

    return asyncio.run(run())


class TestSize:
    @pytest.mark.parametrize("size", [0, 1, LIMIT])
    def test_a_body_up_to_the_limit_is_read(self, size: int) -> None:
        content = b"x" * size
        assert read(Channel(content), length(size)) == content
        assert read(Channel(content)) == content

    def test_pieces_are_joined(self) -> None:
        assert read(Channel(b"first ", b"", b"second")) == b"first second"

    def test_a_length_beyond_the_limit_is_refused_unread(self) -> None:
        channel = Channel(b"x")
        with pytest.raises(BodyTooLarge) as refused:
            read(channel, length(LIMIT + 1))
        assert (refused.value.status, channel.asked) == (413, 0)
        assert "101 bytes" in str(refused.value)
        assert "MAX_REQUEST_BYTES=100" in str(refused.value)

    def test_pieces_beyond_the_limit_are_refused_as_they_arrive(self) -> None:
        channel = Channel(*[b"x" * 40] * 100)
        with pytest.raises(BodyTooLarge) as refused:
            read(channel)
        assert channel.asked == 3
        assert "MAX_REQUEST_BYTES=100" in str(refused.value)

    def test_a_false_length_does_not_raise_the_limit(self) -> None:
        with pytest.raises(BodyTooLarge):
            read(Channel(b"x" * 101), length(10))


class TestRoom:
    """1 MiB of each body is free; beyond that, there is memory for 100 bytes."""

    @in_event_loop
    async def test_large_bodies_share_the_memory(self) -> None:
        memory = BodyMemory(100)
        most = SMALL_BYTES + 100
        first = await read_body(Channel(b"x" * (SMALL_BYTES + 60)).receive, Headers(), most, memory)
        with pytest.raises(BodyMemoryFull) as refused:
            await read_body(Channel(b"x" * SMALL_BYTES, b"x" * 41).receive, Headers(), most, memory)
        assert (refused.value.status, refused.value.retry_after) == (429, 1)
        second = await read_body(
            Channel(b"x" * (SMALL_BYTES + 40)).receive, Headers(), most, memory
        )
        small = await read_body(Channel(b"x" * SMALL_BYTES).receive, Headers(), most, memory)
        assert len(small.content) == SMALL_BYTES
        await first.replay()
        second.drop()
        second.drop()  # releasing twice counts once
        await read_body(Channel(b"x" * most).receive, Headers(), most, memory)

    @pytest.mark.parametrize("end", [None, b"x" * 100])
    @in_event_loop
    async def test_an_incomplete_body_releases_its_memory(self, end: bytes | None) -> None:
        memory = BodyMemory(100)
        most = SMALL_BYTES + 100
        channel = Channel(b"x" * (SMALL_BYTES + 60), end, more=True)
        with pytest.raises((ClientLeft, BodyTooLarge)):
            await read_body(channel.receive, Headers(), most, memory)
        await read_body(Channel(b"x" * most).receive, Headers(), most, memory)


class TestTime:
    def test_a_body_that_never_starts_is_too_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(body, "GRACE_SECONDS", 0.05)
        with pytest.raises(BodyTooSlow) as refused:
            read(Channel())
        assert refused.value.status == 408
        assert refused.value.received == 0

    def test_a_trickled_body_is_too_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A byte every 20 ms is below the minimum rate: reading ends although more would arrive."""
        monkeypatch.setattr(body, "GRACE_SECONDS", 0.1)
        monkeypatch.setattr(body, "MIN_RATE", 10_000.0)
        pieces: list[bytes | float] = [b"x", 0.02] * 90
        with pytest.raises(BodyTooSlow) as refused:
            read(Channel(*pieces, more=True))
        assert 0 < refused.value.received < 90

    def test_early_bytes_allow_a_later_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first piece makes up for a pause that is longer than the grace period."""
        monkeypatch.setattr(body, "GRACE_SECONDS", 0.1)
        monkeypatch.setattr(body, "MIN_RATE", 5.0)
        assert read(Channel(b"x" * 90, 0.3, b"end")) == b"x" * 90 + b"end"


class TestClient:
    @pytest.mark.parametrize("channel", [Channel(None), Channel(b"half", None, more=True)])
    def test_a_client_that_leaves_while_sending_is_noticed(self, channel: Channel) -> None:
        with pytest.raises(ClientLeft):
            read(channel)

    @in_event_loop
    async def test_a_client_that_leaves_afterwards_is_noticed(self) -> None:
        body = await read_body(
            Channel(b"whole", 0.01, None).receive, Headers(), LIMIT, BodyMemory(0)
        )
        await asyncio.wait_for(body.client_left(), 20)


class TestReplay:
    @in_event_loop
    async def test_the_application_reads_the_body_and_sees_the_client_leave(self) -> None:
        channel = Channel(b"in ", b"pieces", 0.01, None)
        body = await read_body(channel.receive, Headers(), LIMIT, BodyMemory(0))
        request = Request({"type": "http", "method": "POST"}, body.replay)
        assert await request.body() == b"in pieces"
        assert body.content == b""
        assert (await request.receive())["type"] == "http.disconnect"

    @in_event_loop
    async def test_an_empty_body_is_replayed(self) -> None:
        body = await read_body(Channel(b"").receive, Headers(), LIMIT, BodyMemory(0))
        assert await body.replay() == {
            "type": "http.request",
            "body": b"",
            "more_body": False,
        }
