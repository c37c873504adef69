"""Hostile bytes in HTTP's syntax: broken lines, framing, headers, and other protocols."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable
from functools import cache

import zstandard

from benchmarks.hostile.attack import Attack, json_request, request_bytes
from tests.support.launch import DEMO

GOOD_DOCUMENT: dict[str, object] = {"model": DEMO, "prompt": "What is this?", "max_tokens": 1}
PATHS = ("/v1/completions", "/v1/chat/completions", "/tokenize", "/invocations", "/v1/models")

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}

TLS_HELLO = bytes.fromhex(
    "16030100c8010000c40303"
    + "5a" * 32
    + "20"
    + "a5" * 32
    + "003e130213031301c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039"
    + "c009c0130033009d009c003d003c0035002f00ff0100003d000b000403000102000a000c000a001d0017001e"
)
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
OTHER_PROTOCOLS = (
    TLS_HELLO,
    HTTP2_PREFACE,
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x05\x01\x00",  # SOCKS5
    b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",  # RDP
    b"*1\r\n$4\r\nPING\r\n",  # Redis
    b"\x00\x00\x00\x00",
    b"\x80\x80\x01\x03\x01",  # SSLv2
    b"EHLO localhost\r\n",
)


def request_lines(rng: random.Random, key: str) -> Attack:
    line = rng.choice(
        [
            b"GET",
            b"GET /",
            b"get / http/1.1",
            b"G E T / HTTP/1.1",
            b"GET / HTTP/9.9",
            b"GET / HTTP/1.1 HTTP/1.1",
            b"GET  /  HTTP/1.1",
            b"\r\n" * rng.randint(1, 2000) + b"GET /health HTTP/1.1",
            b"GET http://example.invalid/v1/models HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"CONNECT example.invalid:443 HTTP/1.1",
            b"TRACE / HTTP/1.1",
            b"X" * rng.randint(1, 100_000) + b" / HTTP/1.1",
            b"\x00" * rng.randint(1, 100),
            b"GET /\x00 HTTP/1.1",
            b"GET /../../etc/passwd HTTP/1.1",
            b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
            b"GET //v1//models HTTP/1.1",
            b"GET /v1/models/ HTTP/1.1",
            b"GET /V1/MODELS HTTP/1.1",
            b"GET /v1/models;x=/health HTTP/1.1",
            b"GET /health/../v1/models HTTP/1.1",
            b"GET /health%2f..%2fv1/models HTTP/1.1",
            b"HEAD /v1/models HTTP/1.1",
            b"DELETE /v1/models HTTP/1.1",
            rng.randbytes(rng.randint(1, 300)),
        ]
    )
    payload = line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return Attack("request line", payload, complete=False, keyed=False)


def urls(rng: random.Random, key: str) -> Attack:
    target = rng.choice(
        [
            b"/" + b"a" * rng.choice([1_000, 8_000, 65_000, 200_000, 1_000_000]),
            b"/?" + b"a=b&" * rng.randint(1, 20_000),
            b"/v1/models?" + b"%" * rng.randint(1, 5_000),
            b"/" + b"../" * rng.randint(1, 10_000),
            b"/%ff%fe%c0%af",
            b"/\xff\xfe\xc0\xaf",
            b"/v1/responses/" + rng.randbytes(20).hex().encode() + b"%00",
            b"/v1/responses/%0d%0aSet-Cookie:%20a=b",
            "/v1/models?q=é\U0001f4a5".encode(),
        ]
    )
    payload = b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    payload += b"Authorization: Bearer " + key.encode() + b"\r\n\r\n"
    return Attack("URL", payload, complete=False)


def headers(rng: random.Random, key: str) -> Attack:
    count = rng.choice([50, 129, 1_000, 10_000])
    block = rng.choice(
        [
            b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(count)),
            b"Cookie: " + b"a=b; " * count + b"\r\n",
            b"X-Long: " + b"a" * rng.choice([5_000, 70_000, 1_000_000]) + b"\r\n",
            b"a" * rng.choice([5_000, 70_000]) + b": x\r\n",
            b"X-Bad: \xff\xfe\x80\r\n",
            b"X-Nul: a\x00b\r\n",
            b"X-Fold: a\r\n b\r\n\tc\r\n",
            b"X Space: a\r\n",
            b": nameless\r\n",
            b"no colon at all\r\n",
            b"X-Bare: a\nX-Return: b\rc\r\n",
            b"Host: other\r\nHost: third\r\n",
            b"Authorization: Bearer \xff\xfe\r\n",
            b"Authorization: Bearer " + key.encode()[:-1] + b"\r\n",
            b"Authorization: Bearer " + b"a" * 10_000 + b"\r\n",
            b"Authorization: Basic !!!\r\nAuthorization: Bearer\r\n",
            b"X-Request-Id: "
            + rng.choice([b"a" * 10_000, b"\xff", b"a\tb", b'"<script>'])
            + b"\r\n",
            b"Content-Type: " + b"application/json; " * 500 + b"\r\n",
            b"Accept-Encoding: " + b"gzip;q=0.1, " * 500 + b"\r\n",
            b"Traceparent: 00-" + b"z" * 300 + b"\r\n",
            b"X-Data-Parallel-Rank: -1\r\n",
            b"X-Forwarded-For: " + b"1.1.1.1, " * 1_000 + b"\r\n",
        ]
    )
    path = rng.choice(PATHS).encode()
    payload = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    return Attack("headers", payload + block + b"\r\n", complete=False, keyed=False)


def lengths(rng: random.Random, key: str) -> Attack:
    body = json.dumps(GOOD_DOCUMENT).encode()
    length = rng.choice(
        [
            b"%d" % (len(body) + rng.randint(1, 1_000)),
            b"%d" % rng.randint(0, len(body) - 1),
            b"-1",
            b"+%d" % len(body),
            b"0x10",
            b"",
            b"1" * 30,
            b"18446744073709551616",
            b"9223372036854775807",
            b"%d, %d" % (len(body), len(body)),
            b"%d\r\nContent-Length: %d" % (len(body), len(body) + 1),
            b" %d " % len(body),
            b"1e2",
        ]
    )
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nAuthorization: Bearer " + key.encode()
    payload = head + b"\r\nContent-Length: " + length + b"\r\n\r\n" + body
    return Attack("Content-Length", payload, complete=False)


def chunks(rng: random.Random, key: str) -> Attack:
    body = json.dumps(GOOD_DOCUMENT).encode()
    good = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    framed = rng.choice(
        [
            good,
            b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n",
            b"FFFFFFFFFFFFFFFFF\r\n" + body,
            b"FFFFFFFFFFFFFFFF\r\n" + body,
            b"7fffffffffffffff\r\n" + body,
            b"-1\r\n" + body,
            b"zz\r\n" + body + b"\r\n0\r\n\r\n",
            b"%x;%s\r\n%s\r\n0\r\n\r\n" % (len(body), b"a" * 70_000, body),
            b"%x\r\n%s0\r\n\r\n" % (len(body), body),
            b"%x\n%s\n0\n\n" % (len(body), body),
            b"0\r\n" + b"X-Trailer: a\r\n" * rng.randint(1, 10_000) + b"\r\n",
            b"0" * 5_000 + b"\r\n\r\n",
            b"\r\n",
            good + good,
            rng.randbytes(200),
        ]
    )
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nAuthorization: Bearer " + key.encode()
    return Attack(
        "chunks", head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + framed, complete=False
    )


def smuggling(rng: random.Random, key: str) -> Attack:
    """Two lengths for one body, which hides a second request. Neither has the key."""
    hidden = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    shapes = [
        (b"Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + hidden),
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"5c\r\n" + hidden + b"\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n" + hidden),
        (b"Transfer-Encoding: xchunked\r\nContent-Length: 5", b"0\r\n\r\n" + hidden),
        (b"Transfer-Encoding : chunked\r\nContent-Length: 5", b"0\r\n\r\n" + hidden),
        (b"Transfer-Encoding:\tchunked\r\nContent-Length: 5", b"0\r\n\r\n" + hidden),
        (b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n" + hidden),
        (b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n" + hidden),
        (b"Content-Length: 0\r\nContent-Length: %d" % len(hidden), hidden),
        (b"Content-Length: 0", hidden),
        (b"Expect: 100-continue\r\nContent-Length: %d" % len(hidden), hidden),
        (
            b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
            hidden,
        ),
    ]
    framing, rest = rng.choice(shapes)
    path = rng.choice([b"/health", b"/v1/completions", b"/ping"])
    payload = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n" + rest
    return Attack("smuggling", payload, complete=False, keyed=False, open_to_all=path == b"/ping")


def pipelines(rng: random.Random, key: str) -> Attack:
    one = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    two = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
    bad = b"\x00\x01\x02\r\n\r\n"
    parts = rng.choices([one, two, bad], [10, 5, 1], k=rng.choice([2, 20, 200]))
    return Attack("pipeline", b"".join(parts), complete=False, keyed=False)


def halves(rng: random.Random, key: str) -> Attack:
    """The client leaves in the middle of a valid request."""
    payload = json_request(rng.choice(PATHS), GOOD_DOCUMENT, key)
    return Attack("half a request", payload[: rng.randrange(1, len(payload))], complete=False)


def other_protocols(rng: random.Random, key: str) -> Attack:
    payload = rng.choice(OTHER_PROTOCOLS)
    return Attack("another protocol", payload, complete=False, keyed=False)


def upgrades(rng: random.Random, key: str) -> Attack:
    """Valid and broken WebSocket handshakes."""
    path = rng.choice(["/v1/realtime", "/", "/v1/chat/completions", "/ws"])
    token = rng.choice(["dGhlIHNhbXBsZSBub25jZQ==", "", "a" * 5_000])
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", token),
        ("Sec-WebSocket-Version", rng.choice(["13", "0", "x"])),
    ]
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *(f"{a}: {b}" for a, b in fields)]
    payload = "\r\n".join(lines).encode() + b"\r\n\r\n" + rng.randbytes(rng.randint(0, 64))
    return Attack("upgrade", payload, complete=False, keyed=False)


def flipped(rng: random.Random, key: str) -> Attack:
    """A good request with some bytes changed, lost, or repeated."""
    payload = bytearray(json_request(rng.choice(PATHS), GOOD_DOCUMENT, key))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(payload))
        what = rng.randrange(4)
        if what == 0:
            payload[at] = rng.randrange(256)
        elif what == 1:
            del payload[at : at + rng.randint(1, 4)]
        elif what == 2:
            payload[at:at] = payload[at : at + rng.randint(1, 200)]
        else:
            payload[at:at] = rng.randbytes(rng.randint(1, 8))
        payload = payload or bytearray(b"\r\n")
    return Attack("flipped bytes", bytes(payload), complete=False)


def bodies(rng: random.Random, key: str) -> Attack:
    """Bodies of the wrong type, encoding, or compression."""
    kind = rng.choice(
        [
            "application/json",
            "application/json; charset=utf-16",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "application/xml",
            "",
        ]
    )
    body = rng.choice(
        [
            b"\xff\xfe\x00",
            b"\xef\xbb\xbf" + json.dumps(GOOD_DOCUMENT).encode(),
            json.dumps(GOOD_DOCUMENT).encode("utf-16"),
            b"\x1f\x8b\x08\x00" + rng.randbytes(50),
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--",
            b"a=1&b=2",
            b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
            b'{"model": "\xc3\x28"}',
            b"",
        ]
    )
    extra = rng.choice([[], [("Content-Encoding", "gzip")], [("Content-Encoding", "nothing")]])
    payload = request_bytes("POST", rng.choice(PATHS), [("Content-Type", kind), *extra], body, key)
    return Attack("body", payload)


@cache
def _compressed(coding: str) -> tuple[bytes, ...]:
    """Return a good body, bombs, and floods of empty members."""
    encode = ENCODERS[coding]
    good = json.dumps(GOOD_DOCUMENT).encode()
    bomb = encode(bytes(80 << 20))
    return encode(good), bomb, encode(bomb), encode(b"") * 20_000, encode(encode(b"") * 20_000)


def compressed(rng: random.Random, key: str) -> Attack:
    """Compressed bodies: good ones, bombs, damaged ones, and wrongly labeled ones."""
    body = bytearray(rng.choice(_compressed(rng.choice(list(ENCODERS)))))
    match rng.randrange(4):
        case 0:
            del body[rng.randrange(len(body)) :]
        case 1:
            body[rng.randrange(len(body))] = rng.randrange(256)
        case 2:
            body += rng.randbytes(rng.randint(1, 50))
    coding = rng.choice(["gzip", "deflate", "zstd", "gzip, gzip", "zstd, gzip", "br", "gzip," * 99])
    labels = [("Content-Type", "application/json"), ("Content-Encoding", coding)]
    payload = request_bytes("POST", rng.choice(PATHS), labels, bytes(body), key)
    return Attack("compressed", payload)


KINDS: tuple[Callable[[random.Random, str], Attack], ...] = (
    request_lines,
    urls,
    headers,
    lengths,
    chunks,
    smuggling,
    pipelines,
    halves,
    other_protocols,
    upgrades,
    flipped,
    bodies,
    compressed,
)


def wire_attack(rng: random.Random, key: str) -> Attack:
    """Return an attack of a random kind."""
    return rng.choice(KINDS)(rng, key)
