"""Bodies that are too large, too slow, or incomplete, and the replay of complete ones."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from starlette.datastructures import MutableHeaders
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
from server.gate.decoding import DamagedBody, UnsupportedCoding
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


def length(value: int) -> MutableHeaders:
    return MutableHeaders({"host": "test", "content-length": str(value)})


def read(channel: Channel, headers: MutableHeaders | None = None) -> bytes:
    async def run() -> bytes:
        return (
            await asyncio.wait_for(
                read_body(channel.receive, headers or MutableHeaders(), LIMIT, BodyMemory(0)), 20
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
        first = await read_body(
            Channel(b"x" * (SMALL_BYTES + 60)).receive, MutableHeaders(), most, memory
        )
        with pytest.raises(BodyMemoryFull) as refused:
            await read_body(
                Channel(b"x" * SMALL_BYTES, b"x" * 41).receive, MutableHeaders(), most, memory
            )
        assert (refused.value.status, refused.value.retry_after) == (429, 1)
        second = await read_body(
            Channel(b"x" * (SMALL_BYTES + 40)).receive, MutableHeaders(), most, memory
        )
        small = await read_body(Channel(b"x" * SMALL_BYTES).receive, MutableHeaders(), most, memory)
        assert len(small.content) == SMALL_BYTES
        await first.replay()
        second.drop()
        second.drop()  # releasing twice counts once
        await read_body(Channel(b"x" * most).receive, MutableHeaders(), most, memory)

    @pytest.mark.parametrize("end", [None, b"x" * 100])
    @in_event_loop
    async def test_an_incomplete_body_releases_its_memory(self, end: bytes | None) -> None:
        memory = BodyMemory(100)
        most = SMALL_BYTES + 100
        channel = Channel(b"x" * (SMALL_BYTES + 60), end, more=True)
        with pytest.raises((ClientLeft, BodyTooLarge)):
            await read_body(channel.receive, MutableHeaders(), most, memory)
        await read_body(Channel(b"x" * most).receive, MutableHeaders(), most, memory)


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
            Channel(b"whole", 0.01, None).receive, MutableHeaders(), LIMIT, BodyMemory(0)
        )
        await asyncio.wait_for(body.client_left(), 20)


class TestReplay:
    @in_event_loop
    async def test_the_application_reads_the_body_and_sees_the_client_leave(self) -> None:
        channel = Channel(b"in ", b"pieces", 0.01, None)
        body = await read_body(channel.receive, MutableHeaders(), LIMIT, BodyMemory(0))
        request = Request({"type": "http", "method": "POST"}, body.replay)
        assert await request.body() == b"in pieces"
        assert body.content == b""
        assert (await request.receive())["type"] == "http.disconnect"

    @in_event_loop
    async def test_an_empty_body_is_replayed(self) -> None:
        body = await read_body(Channel(b"").receive, MutableHeaders(), LIMIT, BodyMemory(0))
        assert await body.replay() == {
            "type": "http.request",
            "body": b"",
            "more_body": False,
        }


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", ENCODERS)
class TestDecoding:
    @in_event_loop
    async def test_the_headers_describe_the_decoded_body(self, coding: str) -> None:
        sent = ENCODERS[coding](b"words " * 10)
        headers = length(len(sent))
        headers["content-encoding"] = coding
        body = await read_body(Channel(sent).receive, headers, LIMIT, BodyMemory(0))
        assert body.content == b"words " * 10
        assert dict(headers) == {"host": "test", "content-length": "60"}
        chunked = MutableHeaders({"content-encoding": coding, "transfer-encoding": "chunked"})
        pieces = Channel(*(bytes([each]) for each in sent))
        body = await read_body(pieces.receive, chunked, LIMIT, BodyMemory(0))
        assert body.content == b"words " * 10
        assert dict(chunked) == {"content-length": "60"}

    @pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
    def test_the_limit_is_that_of_the_decoded_body(self, coding: str, size: int) -> None:
        headers = MutableHeaders({"content-encoding": coding})
        channel = Channel(ENCODERS[coding](bytes(size)))
        if size == LIMIT:
            assert read(channel, headers) == bytes(LIMIT)
        else:
            with pytest.raises(BodyTooLarge, match="decoded") as refused:
                read(channel, headers)
            assert refused.value.status == 413

    def test_a_body_beyond_the_limit_as_sent_is_refused_unread(self, coding: str) -> None:
        headers = length(LIMIT + 1)
        headers["content-encoding"] = coding
        channel = Channel(b"x")
        with pytest.raises(BodyTooLarge):
            read(channel, headers)
        assert channel.asked == 0

    def test_each_coding_of_several_has_the_limit(self, coding: str) -> None:
        """A body may be small although one of its codings is not: empty members cost time."""
        members = gzip.compress(b"") * 20
        headers = MutableHeaders({"content-encoding": f"gzip, {coding}"})
        with pytest.raises(BodyTooLarge):
            read(Channel(ENCODERS[coding](members)), headers)

    def test_a_body_that_ends_too_early_is_refused(self, coding: str) -> None:
        headers = MutableHeaders({"content-encoding": coding})
        with pytest.raises(DamagedBody):
            read(Channel(ENCODERS[coding](b"words " * 10)[:-1]), headers)

    @in_event_loop
    async def test_a_bomb_takes_no_more_than_the_limit_and_gives_it_back(self, coding: str) -> None:
        limit = 4 << 20
        memory = BodyMemory(2 * limit)
        bomb = ENCODERS[coding](bytes(256 << 20))
        tracemalloc.start()
        try:
            for _ in range(3):
                headers = MutableHeaders({"content-encoding": coding})
                with pytest.raises(BodyTooLarge):
                    await read_body(Channel(bomb).receive, headers, limit, memory)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # the body, its growth by an eighth, and the largest piece, which is zstd's
        assert peak < 1.25 * limit + 2 * (4 << 20)
        memory.resize(0, SMALL_BYTES + 2 * limit)  # all of it is free

    @in_event_loop
    async def test_the_memory_counts_the_decoded_bytes(self, coding: str) -> None:
        memory = BodyMemory(100)
        size = SMALL_BYTES + 60
        sent = ENCODERS[coding](bytes(size))
        headers = MutableHeaders({"content-encoding": coding})
        await read_body(Channel(sent).receive, headers, 2 * size, memory)
        headers = MutableHeaders({"content-encoding": coding})
        with pytest.raises(BodyMemoryFull):
            await read_body(Channel(sent).receive, headers, 2 * size, memory)

    @in_event_loop
    async def test_other_requests_continue_while_a_body_is_decoded(self, coding: str) -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.create_task(others())
        headers = MutableHeaders({"content-encoding": coding})
        sent = ENCODERS[coding](bytes(32 << 20))
        await read_body(Channel(sent).receive, headers, 64 << 20, BodyMemory(64 << 20))
        other.cancel()
        assert turns >= 7


def test_an_unknown_coding_is_refused_unread() -> None:
    channel = Channel(b"x")
    with pytest.raises(UnsupportedCoding):
        read(channel, MutableHeaders({"content-encoding": "br"}))
    assert channel.asked == 0
