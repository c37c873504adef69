"""Decides which request heads are refused, and which upgrades are ignored.

llhttp, which parses the requests, refuses broken syntax. These are the rules of RFC 9110 and 9112
that it does not check. They make sure that this server and any proxy in front of it agree on where
a request ends and whom it is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, and values without blanks around them."""

VERSIONS = ("1.1", "1.0")

LENGTH_DIGITS = 20
"""Digits of the largest Content-Length that the parser accepts. Leading zeros add more, which
Python may refuse to convert."""

TRAILERS_REFUSED = (b"connection", b"proxy-connection")
"""The parser applies these to the connection even in a trailer. It refuses Content-Length and
Transfer-Encoding itself; all other trailers are ignored."""

_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)
_WEBSOCKET_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")


class InvalidRequest(Exception):
    """The request is refused and its connection closed.

    Args:
        message: What is wrong.
        status: HTTP status of the answer.
    """

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head as the parser returns it.

    Attributes:
        method: The method.
        target: The request target.
        version: The version of HTTP, such as ``1.1``.
        headers: The headers.
    """

    method: bytes
    target: bytes
    version: str
    headers: Headers

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all headers of this name."""
        return [value for known, value in self.headers if known == name]


def checked_head(head: Head) -> Head:
    """Return the head with its target in origin form, and with the host that the target names.

    Raises:
        InvalidRequest: The head must be refused.
    """
    if head.version not in VERSIONS:
        raise InvalidRequest(
            f"HTTP/{head.version} is not supported. Use HTTP/1.1.",
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
        )
    if head.method == b"CONNECT":
        raise InvalidRequest(
            "CONNECT is not supported: this server is not a proxy.", HTTPStatus.NOT_IMPLEMENTED
        )
    hosts = 0
    for name, value in head.headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise InvalidRequest(f"The Host header is not a host name: {_shown(value)}.")
        elif name == b"transfer-encoding":
            _check_transfer_encoding(value, head.version)
        elif name == b"content-length" and len(value) > LENGTH_DIGITS:
            raise InvalidRequest(f"Content-Length has {len(value)} digits.")
    if hosts > 1:
        raise InvalidRequest("The request has more than one Host header.")
    if hosts == 0 and head.version != "1.0":
        raise InvalidRequest("The request has no Host header.")
    return _in_origin_form(head)


def _check_transfer_encoding(value: bytes, version: str) -> None:
    if version == "1.0":
        raise InvalidRequest("HTTP/1.0 has no Transfer-Encoding. Use HTTP/1.1 or Content-Length.")
    if value.lower() != b"chunked":
        raise InvalidRequest(
            f"Transfer-Encoding: {_shown(value)} is not supported. Use chunked or Content-Length.",
            HTTPStatus.NOT_IMPLEMENTED,
        )


def _in_origin_form(head: Head) -> Head:
    target = head.target
    if b"#" in target:
        raise InvalidRequest(f"The request target contains a fragment: {_shown(target)}.")
    if target.startswith(b"/") or (target == b"*" and head.method == b"OPTIONS"):
        return head
    parts = _ABSOLUTE.fullmatch(target)
    if parts is None or b"@" in parts[1] or not _HOST.fullmatch(parts[1]):
        raise InvalidRequest(
            f"The request target must be a path or an http URL without a user: {_shown(target)}."
        )
    others = [header for header in head.headers if header[0] != b"host"]
    path = parts[2] if parts[2].startswith(b"/") else b"/" + parts[2]
    return Head(head.method, path, head.version, [(b"host", parts[1]), *others])


def _shown(value: bytes) -> str:
    return repr(value[:80].decode("latin-1"))


def is_websocket_handshake(head: Head) -> bool:
    """Return whether the head is a valid WebSocket handshake (RFC 6455) without a body."""
    return (
        head.method == b"GET"
        and head.version == "1.1"
        and [value.lower() for value in head.values(b"upgrade")] == [b"websocket"]
        and any(b"upgrade" in _tokens(value) for value in head.values(b"connection"))
        and head.values(b"sec-websocket-version") == [b"13"]
        and len(keys := head.values(b"sec-websocket-key")) == 1
        and _WEBSOCKET_KEY.fullmatch(keys[0]) is not None
        and not head.values(b"transfer-encoding")
        and not head.values(b"expect")
        and all(length.strip(b"0") == b"" for length in head.values(b"content-length"))
    )


def without_upgrade(head: Head) -> bytes:
    """Return the bytes of the same head without its offer to upgrade."""
    lines = [b"%s %s HTTP/%s" % (head.method, head.target, head.version.encode())]
    for name, value in head.headers:
        if name in (b"upgrade", b"http2-settings"):
            continue
        if name == b"connection":
            kept = [t for t in _tokens(value) if t not in (b"upgrade", b"http2-settings", b"")]
            if not kept:
                continue
            value = b", ".join(kept)
        lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", b""])


def check_trailer(name: bytes) -> None:
    """Check a trailer.

    Raises:
        InvalidRequest: It changes the connection.
    """
    if name.lower() in TRAILERS_REFUSED:
        raise InvalidRequest(f"{name.decode('latin-1')} is not allowed in a trailer.")


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t").lower() for token in value.split(b",")]
