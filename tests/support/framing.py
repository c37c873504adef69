"""Requests whose end or receiver is easy to misread, and connections that carry them.

A connection is desynchronized if the application sees a request that the client did not send, or a
body that differs from what it sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from starlette.types import Receive, Scope, Send

from server.gate.bounds import Bounds
from server.gate.protocol import protocol_class
from tests.support.connections import PATIENCE, Server, serving

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n"
"""A body that becomes a request if a server misreads its length."""

LENGTH = b"Content-Length: %d\r\n" % len(HIDDEN)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

Request = tuple[str, str, bytes | None]
"""Method, target, and body. The body is None if the application did not receive all of it."""


@dataclass(frozen=True)
class Case:
    """What a client sends, and what the server must make of it.

    Attributes:
        name: What is special about it.
        data: The bytes.
        requests: The requests that the application must see.
        status: The status of the refusal, None if there is none.
        closes: Whether the server closes the connection behind the last answer.
    """

    name: str
    data: bytes
    requests: tuple[Request, ...] = ()
    status: int | None = None
    closes: bool = False


def served(name: str, data: bytes, *requests: Request, closes: bool = False) -> Case:
    return Case(name, data, requests, closes=closes)


def refused(name: str, data: bytes, status: int = 400, begun: bool = False) -> Case:
    """Return a case that is refused, before the application sees it or within its body."""
    return Case(name, data, (("POST", "/e", None),) if begun else (), status, closes=True)


def head(fields: bytes, line: bytes = b"POST /e HTTP/1.1", host: bytes = b"test") -> bytes:
    return line + b"\r\nHost: " + host + b"\r\n" + fields + b"\r\n"


MARKER = head(b"Connection: close\r\n", b"GET /marker HTTP/1.1")
"""The last request of a connection."""
SEEN_MARKER: Request = ("GET", "/marker", b"")

POSTED: Request = ("POST", "/e", HIDDEN)
EMPTY: Request = ("POST", "/e", b"")
GOT: Request = ("GET", "/e", b"")
GET = b"GET /e HTTP/1.1"
OLD = b"POST /e HTTP/1.0"

OFFERS = {
    "curl's h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "the JDK's h2c": b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n",
    "h2c and keep-alive": b"Connection: keep-alive, upgrade\r\nUpgrade: h2c\r\n",
    "two Connection headers": b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: h2c\r\n",
    "Proxy-Connection": b"Proxy-Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "TLS": b"Upgrade: TLS/1.0, HTTP/2.0\r\nConnection: Upgrade\r\n",
    "an upgrade without Connection": b"Upgrade: h2c\r\n",
    "Connection without an upgrade": b"Connection: Upgrade\r\n",
    "websocket, without the rest": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "a valid websocket": HANDSHAKE,
    "websocket and h2c": HANDSHAKE + b"Upgrade: h2c\r\n",
    "blanks and case": b"CONNECTION:\tuPGRADE \r\nUPGRADE:  H2C\t\r\n",
}
"""Headers that offer an upgrade. None of them is accepted on a POST."""


def upgrades() -> list[Case]:
    cases = []
    for name, offer in OFFERS.items():
        for line in (b"POST /e HTTP/1.1", b"POST /e HTTP/1.0"):
            old = line.endswith(b"0")
            suffix = f"{name}{', HTTP/1.0' if old else ''}"
            body = head(offer + LENGTH, line) + HIDDEN
            cases.append(served(f"{suffix}: length", body, POSTED, closes=old))
            cases.append(served(f"{suffix}: no body", head(offer, line), EMPTY, closes=old))
        first = head(LENGTH + offer) + HIDDEN
        cases += [
            served(f"{name}: length first", first, POSTED),
            served(f"{name}: chunks", head(offer + CHUNKED) + IN_CHUNKS, POSTED),
            served(f"{name}: thrice", first * 3, POSTED, POSTED, POSTED),
            served(
                f"{name}: closing",
                head(offer + LENGTH + b"Connection: close\r\n") + HIDDEN,
                POSTED,
                closes=True,
            ),
            served(
                f"{name}: GET with a body",
                head(offer + LENGTH, GET) + HIDDEN,
                ("GET", "/e", HIDDEN),
            ),
            served(
                f"{name}: 100-continue",
                head(offer + LENGTH + b"Expect: 100-continue\r\n") + HIDDEN,
                POSTED,
            ),
            refused(f"{name}: two lengths", head(offer + LENGTH + LENGTH) + HIDDEN),
            refused(f"{name}: length and chunks", head(LENGTH + offer + CHUNKED) + IN_CHUNKS),
            refused(f"{name}: gzip", head(offer + b"Transfer-Encoding: gzip\r\n") + HIDDEN, 501),
        ]
    for name, offer in OFFERS.items():
        if name != "a valid websocket":
            cases.append(served(f"{name}: GET", head(offer, GET), GOT))
    for name, old_text, new_text in (
        ("no key", b"Sec-WebSocket-Key", b"X"),
        ("short key", b"ZQ==", b"=="),
        ("no version", b"Sec-WebSocket-Version", b"X"),
        ("version 8", b"13", b"8"),
        ("no Connection", b"Connection: Upgrade", b"X: y"),
    ):
        offer = HANDSHAKE.replace(old_text, new_text)
        cases.append(served(f"websocket with {name}", head(offer, GET), GOT))
    cases += [
        served("websocket, HTTP/1.0", head(HANDSHAKE, b"GET /e HTTP/1.0"), GOT, closes=True),
        served(
            "websocket, two versions", head(HANDSHAKE + b"Sec-WebSocket-Version: 8\r\n", GET), GOT
        ),
        refused("CONNECT", b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n" + HIDDEN, 501),
        refused("CONNECT with a body", head(LENGTH, b"CONNECT h:80 HTTP/1.1") + HIDDEN, 501),
        refused("CONNECT with a path", head(b"", b"CONNECT /e HTTP/1.1") + HIDDEN, 501),
        refused("CONNECT, HTTP/1.0", head(b"", b"CONNECT h:80 HTTP/1.0") + HIDDEN, 501),
    ]
    return cases


def length(value: bytes) -> bytes:
    return head(b"Content-Length:" + value + b"\r\n") + HIDDEN


NUMBER = b"%d" % len(HIDDEN)

LENGTHS = [
    served("length", length(b" " + NUMBER), POSTED),
    served("length without a blank", length(NUMBER), POSTED),
    served("length in blanks", length(b" \t " + NUMBER + b" \t "), POSTED),
    served("length with leading zeros", length(b"000" + NUMBER), POSTED),
    served("length 0", head(b"Content-Length: 0\r\n"), EMPTY),
    served("no length", head(b""), EMPTY),
    served("a body of GET", head(LENGTH, GET) + HIDDEN, ("GET", "/e", HIDDEN)),
    served(
        "a body of DELETE", head(LENGTH, b"DELETE /e HTTP/1.1") + HIDDEN, ("DELETE", "/e", HIDDEN)
    ),
    served("a body of HEAD", head(LENGTH, b"HEAD /e HTTP/1.1") + HIDDEN, ("HEAD", "/e", HIDDEN)),
    served(
        "a body of OPTIONS",
        head(LENGTH, b"OPTIONS /e HTTP/1.1") + HIDDEN,
        ("OPTIONS", "/e", HIDDEN),
    ),
    served("the name in capitals", head(LENGTH.upper()) + HIDDEN, POSTED),
    served("a name that resembles it", head(b"Content_Length: 5\r\n"), EMPTY),
    served("100-continue", head(LENGTH + b"Expect: 100-Continue\r\n") + HIDDEN, POSTED),
    served(
        "100-continue, HTTP/1.0",
        head(LENGTH + b"Expect: 100-continue\r\n", OLD) + HIDDEN,
        POSTED,
        closes=True,
    ),
    served("HTTP/1.0", head(LENGTH, OLD) + HIDDEN, POSTED, closes=True),
    served(
        "HTTP/1.0, keep-alive",
        head(LENGTH + b"Connection: keep-alive\r\n", OLD) + HIDDEN,
        POSTED,
        closes=True,
    ),
    served("close", head(LENGTH + b"Connection: close\r\n") + HIDDEN, POSTED, closes=True),
    served("close in a list", head(b"Connection: x, close\r\n"), EMPTY, closes=True),
    *(
        refused(f"length {value!r}", length(value))
        for value in (
            b"",
            b" ",
            b" +" + NUMBER,
            b" -" + NUMBER,
            b" 0x" + NUMBER,
            b" " + NUMBER + b".0",
            b" 3_6",
            b" 3 6",
            b" 1e2",
            b' "36"',
            b" \xb2",
            b" " + NUMBER + b"," + NUMBER,
            b" " + NUMBER + b", 0",
            b" ," + NUMBER,
            b" " + NUMBER + b";",
            b" 18446744073709551616",
            b" 1" + b"0" * 40,
            b" " + b"0" * 5000 + NUMBER,
        )
    ),
    refused("two equal lengths", head(LENGTH + LENGTH) + HIDDEN),
    refused("two lengths", head(LENGTH + b"Content-Length: 0\r\n") + HIDDEN),
    refused("two lengths, 0 first", head(b"Content-Length: 0\r\n" + LENGTH) + HIDDEN),
    refused("length and chunks", head(LENGTH + CHUNKED) + IN_CHUNKS),
    refused("chunks and length", head(CHUNKED + LENGTH) + IN_CHUNKS),
    refused("length 0 and chunks", head(b"Content-Length: 0\r\n" + CHUNKED) + IN_CHUNKS),
    refused("length and identity", head(LENGTH + b"Transfer-Encoding: identity\r\n") + HIDDEN),
]


def coded(value: bytes) -> bytes:
    return head(b"Transfer-Encoding:" + value + b"\r\n") + IN_CHUNKS


CODINGS = [
    served("chunked", coded(b" chunked"), POSTED),
    served("chunked without a blank", coded(b"chunked"), POSTED),
    served("chunked in capitals", coded(b" Chunked"), POSTED),
    served("chunked after a tab", coded(b"\tchunked"), POSTED),
    served("chunked before a blank", coded(b" chunked "), POSTED),
    served("a body of GET in chunks", head(CHUNKED, GET) + IN_CHUNKS, ("GET", "/e", HIDDEN)),
    *(
        refused(f"coding {value!r}", coded(value), status)
        for value, status in (
            (b"", 400),
            (b" identity", 501),
            (b" gzip", 501),
            (b" gzip, chunked", 501),
            (b" identity, chunked", 501),
            (b" ,chunked", 501),
            (b" chunked,", 400),
            (b" chunked, chunked", 400),
            (b" chunked, gzip", 400),
            (b" chunked, identity", 400),
            (b" xchunked", 501),
            (b" x chunked", 501),
            (b" chunkedx", 501),
            (b' "chunked"', 501),
            (b" chunked;q=1", 501),
            (b" chunked\x0b", 400),
            (b" \x0bchunked", 400),
            (b" chunked\xa0", 501),
            (b" chunked\0", 400),
            (b"\r\n chunked", 400),
            (b" chunked\r\n , identity", 400),
            (b" chunked\r\nTransfer-Encoding: chunked", 400),
            (b" chunked\r\nTransfer-Encoding: identity", 400),
            (b" identity\r\nTransfer-Encoding: chunked", 501),
            (b" gzip\r\nTransfer-Encoding: chunked", 501),
        )
    ),
    refused("chunked, HTTP/1.0", head(CHUNKED, OLD) + IN_CHUNKS),
]


def in_chunks(framed: bytes) -> bytes:
    return head(CHUNKED) + framed


def sized(size: bytes) -> bytes:
    return in_chunks(size + b"\r\n" + HIDDEN + b"\r\n0\r\n\r\n")


SIZE = b"%x" % len(HIDDEN)

CHUNKS = [
    served("a chunk", sized(SIZE), POSTED),
    served(
        "a size in capitals",
        in_chunks(b"A\r\n0123456789\r\n0\r\n\r\n"),
        ("POST", "/e", b"0123456789"),
    ),
    served("a size with leading zeros", sized(b"000000000000000000000" + SIZE), POSTED),
    served(
        "a last size of many zeros",
        in_chunks(SIZE + b"\r\n" + HIDDEN + b"\r\n0000\r\n\r\n"),
        POSTED,
    ),
    served("no chunks", in_chunks(b"0\r\n\r\n"), EMPTY),
    served(
        "a chunk for each byte",
        in_chunks(b"".join(b"1\r\n%c\r\n" % byte for byte in HIDDEN) + b"0\r\n\r\n"),
        POSTED,
    ),
    served("an extension", sized(SIZE + b";a"), POSTED),
    served("an extension with a value", sized(SIZE + b";a=b;c=d"), POSTED),
    served("a quoted extension", sized(SIZE + b';a="b;\\"c\\""'), POSTED),
    served("a long extension", sized(SIZE + b";" + b"a" * 1000), POSTED),
    served("an extension of the last chunk", in_chunks(b"0;a=b\r\n\r\n"), EMPTY),
    *(
        refused(f"size {size!r}", sized(size), begun=True)
        for size in (
            b"",
            b"+" + SIZE,
            b"-" + SIZE,
            b" " + SIZE,
            b"\t" + SIZE,
            SIZE + b" ",
            SIZE + b"\t",
            b"0x" + SIZE,
            SIZE[:1] + b"_" + SIZE[1:],
            SIZE + b".",
            SIZE + b"h",
            b"g",
            b"ffffffffffffffffff",
            b"10000000000000000" + SIZE,
            b"\xb2",
            SIZE + b" ;a",
            SIZE + b"; a",
            SIZE + b";",
            SIZE + b";;",
            SIZE + b";a\0",
            SIZE + b";a\n",
            SIZE + b";a\r",
            SIZE + b';a="b\r\n"',
            SIZE + b';a="b',
            SIZE + b';a="b"c',
            SIZE + b"\r",
            SIZE + b"\n",
        )
    ),
    *(
        refused(name, in_chunks(framed), begun=True)
        for name, framed in (
            ("a size with a bare LF", SIZE + b"\n" + HIDDEN + b"\r\n0\r\n\r\n"),
            ("a size with a bare CR", SIZE + b"\r" + HIDDEN + b"\r\n0\r\n\r\n"),
            ("data without CRLF", SIZE + b"\r\n" + HIDDEN + b"0\r\n\r\n"),
            ("data with a bare LF", SIZE + b"\r\n" + HIDDEN + b"\n0\r\n\r\n"),
            ("data with a bare CR", SIZE + b"\r\n" + HIDDEN + b"\r0\r\n\r\n"),
            ("data longer than its size", b"5\r\n" + HIDDEN + b"\r\n0\r\n\r\n"),
            ("a last chunk with a bare LF", SIZE + b"\r\n" + HIDDEN + b"\r\n0\n\r\n"),
            ("an end with a bare LF", SIZE + b"\r\n" + HIDDEN + b"\r\n0\r\n\n"),
            ("an end with a bare CR", SIZE + b"\r\n" + HIDDEN + b"\r\n0\r\n\rX\n"),
            ("an end with two bare LF", SIZE + b"\r\n" + HIDDEN + b"\r\n0\n\n"),
        )
    ),
    *(
        served(f"trailer {name}", in_chunks(b"0\r\n" + name.encode() + b": x\r\n\r\n"), EMPTY)
        for name in (
            "X-Checksum",
            "Host",
            "Authorization",
            "Expect",
            "Trailer",
            "TE",
            "Upgrade",
            "Keep-Alive",
        )
    ),
    *(
        refused(f"trailer {trailer!r}", in_chunks(b"0\r\n" + trailer + b"\r\n\r\n"), begun=True)
        for trailer in (
            b"Content-Length: 5",
            b"content-length: 0",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: identity",
            b"Connection: close",
            b"Connection: Upgrade\r\nUpgrade: h2c",
            b"Connection: keep-alive",
            b"Proxy-Connection: close",
            b"X: a\r\n b",
            b"X: a\nY: b",
            b"X: a\rY: b",
            b"X : a",
            b": a",
            b"X",
            b"X: a\0",
        )
    ),
]


def field(text: bytes) -> bytes:
    return head(text + b"\r\n" + LENGTH) + HIDDEN


FIELDS = [
    served("obs-text", field(b"X: \xe4\xff"), POSTED),
    served("an empty value", field(b"X:"), POSTED),
    served("a tab in a value", field(b"X: a\tb"), POSTED),
    served("every character of a name", field(b"!#$%&'*+-.^_`|~0aZ: x"), POSTED),
    *(
        refused(f"field {text!r}", field(text))
        for text in (
            b"X: a\r\n b",
            b"X: a\r\n\tb",
            b"X:\r\n a",
            b"X: a\r\n ",
            b"Content-Length: 0\r\n 1",
            b"Host: a\r\n b",
            b"X: a\nY: b",
            b"X: a\n",
            b"X: a\rY: b",
            b"X: a\r",
            b"X: a\r\rY: b",
            b"X: a\0b",
            b"X: a\x01b",
            b"X: a\x0bb",
            b"X: a\x1bb",
            b"X: a\x7fb",
            b"X\0: a",
            b"X\x7f: a",
            b"X\xe4: a",
            b"X : a",
            b"X\t: a",
            b" X: a",
            b"\tX: a",
            b": a",
            b" : a",
            b"X",
            b"X Y: a",
            b"(X): a",
            b'"X": a',
            b"X/Y: a",
            b"X\r: a",
            b"X\n: a",
        )
    ),
    refused("a blank first line", b"GET /e HTTP/1.1\r\n Host: test\r\n\r\n" + HIDDEN),
    refused("LF only", head(LENGTH).replace(b"\r\n", b"\n") + HIDDEN),
    refused("CR only", head(LENGTH).replace(b"\r\n", b"\r") + HIDDEN),
    refused("LF after the request line", head(LENGTH).replace(b"\r\n", b"\n", 1) + HIDDEN),
    refused("LF at the end", head(LENGTH)[:-2] + b"\n" + HIDDEN),
    refused("CR at the end", head(LENGTH)[:-2] + b"\r" + HIDDEN),
    refused("no Host", b"GET /e HTTP/1.1\r\n\r\n"),
    refused("two Hosts", head(b"Host: test\r\n")),
    refused("two Hosts, HTTP/1.0", head(b"Host: test\r\n", OLD)),
    served("no Host, HTTP/1.0", b"GET /e HTTP/1.0\r\n\r\n", GOT, closes=True),
    *(
        served(f"Host {host!r}", head(b"", GET, host), GOT)
        for host in (
            b"",
            b"a-b_c.example:8000",
            b"127.0.0.1:80",
            b"[::1]:8000",
            b"[fe80::1%25eth0]",
            b"a:",
        )
    ),
    *(
        refused(f"Host {host!r}", head(b"", GET, host))
        for host in (b"a b", b"u@a", b"a/b", b"a?b", b"a:b", b"[::1", b"http://a", b"\xe4")
    ),
]


def line(text: bytes) -> bytes:
    return head(LENGTH, text) + HIDDEN


LINES = [
    served("a CRLF before the request", b"\r\n" + line(b"POST /e HTTP/1.1"), POSTED),
    served("CRLFs before the request", b"\r\n\r\n\r\n" + line(b"POST /e HTTP/1.1"), POSTED),
    served("an absolute target", line(b"POST http://other/e HTTP/1.1"), POSTED),
    served("an absolute target in capitals", line(b"POST HTTP://Other:80/e HTTP/1.1"), POSTED),
    served("an absolute https target", line(b"POST https://[::1]:8000/e HTTP/1.1"), POSTED),
    served(
        "an absolute target of two slashes",
        line(b"POST http://h//x HTTP/1.1"),
        ("POST", "//x", HIDDEN),
    ),
    served(
        "an absolute target without a path", line(b"POST http://h HTTP/1.1"), ("POST", "/", HIDDEN)
    ),
    served(
        "an absolute target with a query",
        line(b"POST http://h?a=/b HTTP/1.1"),
        ("POST", "/?a=/b", HIDDEN),
    ),
    served(
        "a URL in a query",
        line(b"POST /e?u=http://h/x HTTP/1.1"),
        ("POST", "/e?u=http://h/x", HIDDEN),
    ),
    served("a target of two slashes", line(b"POST //h/e HTTP/1.1"), ("POST", "//h/e", HIDDEN)),
    served("the asterisk", line(b"OPTIONS * HTTP/1.1"), ("OPTIONS", "*", HIDDEN)),
    *(
        refused(f"line {text!r}", line(text), status)
        for text, status in (
            (b"POST * HTTP/1.1", 400),
            (b"OPTIONS *x HTTP/1.1", 400),
            (b"POST h:80 HTTP/1.1", 400),
            (b"POST e HTTP/1.1", 400),
            (b"POST http:///e HTTP/1.1", 400),
            (b"POST http://u@h/e HTTP/1.1", 400),
            (b"POST http://u:p@h/e HTTP/1.1", 400),
            (b"POST http://h:x/e HTTP/1.1", 400),
            (b"POST ftp://h/e HTTP/1.1", 400),
            (b"POST http:/e HTTP/1.1", 400),
            (b"POST /e#f HTTP/1.1", 400),
            (b"POST /e?a#f HTTP/1.1", 400),
            (b"POST http://h#f HTTP/1.1", 400),
            (b"POST /\xe4 HTTP/1.1", 400),
            (b"POST /\0 HTTP/1.1", 400),
            (b"POST /\x7f HTTP/1.1", 400),
            (b"POST /e\tf HTTP/1.1", 400),
            (b"POST /e f HTTP/1.1", 400),
            (b"POST /e\x0bHTTP/1.1", 400),
            (b"POST\t/e HTTP/1.1", 400),
            (b"POST /e\tHTTP/1.1", 400),
            (b" POST /e HTTP/1.1", 400),
            (b"post /e HTTP/1.1", 400),
            (b"POSTS /e HTTP/1.1", 400),
            (b"NONSENSE /e HTTP/1.1", 400),
            (b"P\0ST /e HTTP/1.1", 400),
            (b"POST /e", 505),
            (b"POST /e HTTP/1.1 ", 400),
            (b"POST /e HTTP/1.1 x", 400),
            (b"POST /e http/1.1", 400),
            (b"POST /e HTTP/0.9", 505),
            (b"POST /e HTTP/1.2", 400),
            (b"POST /e HTTP/2.0", 505),
            (b"POST /e HTTP/3.0", 400),
            (b"POST /e HTTP/11.1", 400),
            (b"POST /e HTTP/1.11", 400),
            (b"POST /e HTTP/1", 400),
            (b"POST /e HTTP /1.1", 400),
            (b"POST /e HTTPS/1.1", 400),
        )
    ),
    refused("HTTP/0.9", b"GET /e\r\n\r\n", 505),
    refused("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
    refused("TLS", bytes.fromhex("16030100050100000103030d0a0d0a") + HIDDEN),
    refused("a blank before the request", b" " + line(b"POST /e HTTP/1.1")),
    refused("a byte order mark", b"\xef\xbb\xbf" + line(b"POST /e HTTP/1.1")),
]

CASES = [*upgrades(), *LENGTHS, *CODINGS, *CHUNKS, *FIELDS, *LINES]


class Recorder:
    """An application that records what it sees on each connection, by the client's port."""

    def __init__(self) -> None:
        self.seen: dict[int, list[Request]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            self.seen.setdefault(scope["client"][1], []).append(("websocket", "", None))
            return
        seen = self.seen.setdefault(scope["client"][1], [])
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        place = len(seen)
        seen.append((scope["method"], target, None))
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        seen[place] = (scope["method"], target, body)
        fields = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Exchanged:
    """What happened on a connection.

    Attributes:
        seen: The requests that the application saw.
        answer: What the client received until the server closed.
    """

    seen: list[Request]
    answer: bytes

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers, without informational ones."""
        found = re.findall(rb"HTTP/1\.1 (\d{3}) ", self.answer)
        return [int(status) for status in found if status[:1] != b"1"]


class Wire:
    """A server with the gate's protocol, and clients in the same event loop.

    Each piece that a client sends reaches the protocol before it sends the next one.
    """

    def __init__(self, server: Server, app: Recorder, arrivals: dict[int, Any]):
        self._server = server
        self._app = app
        self._arrivals = arrivals

    def run(self, payloads: Sequence[tuple[bytes, Sequence[int]]]) -> list[Exchanged]:
        """Send each payload on its own connection, in pieces that end at the given places."""

        async def run() -> list[Exchanged]:
            return [await self._exchange(payload, cuts) for payload, cuts in payloads]

        waiting = asyncio.run_coroutine_threadsafe(run(), self._server.loop)
        return waiting.result(PATIENCE * len(payloads))

    async def _exchange(self, payload: bytes, cuts: Sequence[int]) -> Exchanged:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
            port = writer.get_extra_info("sockname")[1]
            while port not in self._arrivals:
                await asyncio.sleep(0)
            protocol = self._arrivals[port]
            for start, end in pairwise((0, *cuts, len(payload))):
                writer.write(payload[start:end])
                while protocol.arrived < end and not protocol.gone:
                    await asyncio.sleep(0)
            answer = b""
            try:
                while piece := await reader.read(65536):
                    answer += piece
            except ConnectionResetError:
                answer += b"(reset)"
            writer.close()
            while not protocol.gone:
                await asyncio.sleep(0)
            for _ in range(3):  # whatever is left to run of this connection
                await asyncio.sleep(0)
            del self._arrivals[port]
            return Exchanged(self._app.seen.pop(port, []), answer)


@contextmanager
def wire() -> Generator[Wire, None, None]:
    """Run a server with the gate's protocol."""
    arrivals: dict[int, Any] = {}

    class Counting(protocol_class(Bounds())):  # type: ignore[misc]
        """Counts the bytes that have arrived."""

        arrived = 0
        gone = False

        def connection_made(self, transport: asyncio.Transport) -> None:
            arrivals[transport.get_extra_info("peername")[1]] = self
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.arrived += len(data)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.gone = True

    app = Recorder()
    with serving(app, http=Counting) as server:
        yield Wire(server, app, arrivals)


def fault(cases: Sequence[Case], exchanged: Exchanged) -> str | None:
    """Return how a connection differs from what its cases require, None if it does not.

    Args:
        cases: What the client sent, in order. The marker follows.
        exchanged: What happened.
    """
    required: list[Request] = []
    refusal = None
    closed = False
    for case in cases:
        required += case.requests
        if case.closes:
            refusal, closed = case.status, True
            break
    if not closed:
        required.append(SEEN_MARKER)
    if refusal is None:
        if exchanged.seen != required:
            return f"seen {exchanged.seen}, not {required}"
        if exchanged.statuses != [200] * len(required):
            return f"answered {exchanged.answer!r}"
        return None
    # requests in front of a refused one may have no answer yet, and are abandoned
    for seen, allowed in zip(exchanged.seen, required, strict=False):
        if seen not in (allowed, (*allowed[:2], None)):
            return f"seen {exchanged.seen}, of {required}"
    if len(exchanged.seen) > len(required):
        return f"seen {exchanged.seen}, of {required}"
    if exchanged.statuses[-1:] != [refusal] or exchanged.statuses.count(refusal) != 1:
        return f"answered {exchanged.answer!r}, not {refusal}"
    return None
