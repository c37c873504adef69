"""Ambiguous requests: each is served right, or refused together with the rest of its connection."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.gate.framing import (
    Head,
    Headers,
    InvalidRequest,
    check_trailer,
    checked_head,
    is_websocket_handshake,
    without_upgrade,
)
from tests.support import framing
from tests.support.framing import CASES, LINES, MARKER, OFFERS, Case, Wire, fault, wire

SPLIT_BYTES = 500
"""Places of a case that are tried one by one."""

HOST = (b"host", b"test")


def make_head(*headers: tuple[bytes, bytes], target: bytes = b"/e", method: bytes = b"GET") -> Head:
    return Head(method, target, "1.1", [HOST, *headers])


def headers_of(offer: bytes) -> Headers:
    """Return headers as the protocol passes them on."""
    pairs = (line.split(b":", 1) for line in offer.split(b"\r\n") if line)
    return [(name.lower(), value.strip()) for name, value in pairs]


class TestCheckedHead:
    def test_an_ordinary_head_is_unchanged(self) -> None:
        head = make_head((b"content-length", b"5"))
        assert checked_head(head) is head

    @pytest.mark.parametrize(
        ("target", "path", "host"),
        [
            (b"http://other:8000/e?a", b"/e?a", b"other:8000"),
            (b"HTTPS://[::1]/e", b"/e", b"[::1]"),
            (b"http://other", b"/", b"other"),
            (b"http://other?a=/b", b"/?a=/b", b"other"),
            (b"http://other//e", b"//e", b"other"),
        ],
    )
    def test_the_host_of_an_absolute_target_wins(
        self, target: bytes, path: bytes, host: bytes
    ) -> None:
        checked = checked_head(make_head((b"x", b"y"), target=target))
        assert checked.target == path
        assert checked.headers == [(b"host", host), (b"x", b"y")]

    def test_a_refusal_names_the_value(self) -> None:
        head = make_head((b"transfer-encoding", b"gzip, chunked"))
        with pytest.raises(InvalidRequest, match="Transfer-Encoding: 'gzip, chunked'") as raised:
            checked_head(head)
        assert raised.value.status == 501

    def test_a_long_value_is_cut(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            checked_head(make_head(target=b"/#" + b"x" * 60_000))
        assert len(str(raised.value)) < 200


class TestUpgrades:
    @pytest.mark.parametrize("name", OFFERS)
    def test_only_a_valid_websocket_is_a_handshake(self, name: str) -> None:
        head = make_head(*headers_of(OFFERS[name]))
        assert is_websocket_handshake(head) is (name == "a valid websocket")

    @pytest.mark.parametrize(
        ("header", "valid"),
        [
            ((b"content-length", b"0"), True),
            ((b"content-length", b"1"), False),
            ((b"transfer-encoding", b"chunked"), False),
            ((b"expect", b"100-continue"), False),
            ((b"upgrade", b"websocket"), False),
            ((b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="), False),
        ],
    )
    def test_a_handshake_has_no_body_and_no_second_meaning(
        self, header: tuple[bytes, bytes], valid: bool
    ) -> None:
        head = make_head(*headers_of(OFFERS["a valid websocket"]), header)
        assert is_websocket_handshake(head) is valid

    @pytest.mark.parametrize("method", [b"POST", b"HEAD"])
    def test_only_a_get_is_a_handshake(self, method: bytes) -> None:
        head = make_head(*headers_of(OFFERS["a valid websocket"]), method=method)
        assert not is_websocket_handshake(head)

    @pytest.mark.parametrize("name", OFFERS)
    def test_the_offer_is_removed(self, name: str) -> None:
        lines = without_upgrade(make_head((b"x", b"y"), *headers_of(OFFERS[name])))
        assert lines.startswith(b"GET /e HTTP/1.1\r\nhost: test\r\nx: y\r\n")
        assert lines.endswith(b"\r\n\r\n")
        assert not re.search(rb"\r\n(?:upgrade|http2-settings):|\r\nconnection:.*upgrade", lines)

    def test_what_the_client_asks_of_the_connection_stays(self) -> None:
        head = make_head((b"connection", b"Upgrade, close"), (b"upgrade", b"h2c"))
        assert b"\r\nconnection: close\r\n" in without_upgrade(head)


class TestTrailers:
    @pytest.mark.parametrize("name", [b"Connection", b"proxy-connection"])
    def test_a_trailer_cannot_close_the_connection(self, name: bytes) -> None:
        with pytest.raises(InvalidRequest, match="not allowed in a trailer"):
            check_trailer(name)

    def test_another_trailer_is_allowed(self) -> None:
        check_trailer(b"Connections")


@pytest.fixture(scope="module")
def connections() -> Iterator[Wire]:
    with wire() as running:
        yield running


def places_of(payload: bytes) -> list[tuple[int, ...]]:
    """Return where to split: nowhere, at each byte on its own, and at all of them."""
    each = range(1, len(payload))
    return [(), *((place,) for place in each[:SPLIT_BYTES]), tuple(each)]


class TestOnTheWire:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_no_request_is_misread_wherever_it_is_split(
        self, connections: Wire, case: Case
    ) -> None:
        payload = case.data + MARKER
        cuts = places_of(payload)
        results = connections.run([(payload, places) for places in cuts])
        faults = {
            places[:2]: wrong
            for places, exchanged in zip(cuts, results, strict=True)
            if (wrong := fault([case], exchanged))
        }
        assert not faults

    def test_a_refusal_says_why(self, connections: Wire) -> None:
        case = next(case for case in LINES if case.name == "line b'POST /e HTTP/2.0'")
        (exchanged,) = connections.run([(case.data + MARKER, ())])
        assert b"HTTP/2.0 is not supported. Use HTTP/1.1." in exchanged.answer
        assert b'"code":"http_version_not_supported"' in exchanged.answer
        assert b"connection: close" in exchanged.answer

    def test_uvicorn_alone_is_desynchronized(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A test of the test: the body in a second packet becomes a request."""
        monkeypatch.setattr(framing, "protocol_class", lambda bounds: HttpToolsProtocol)
        case = next(case for case in CASES if case.name == "curl's h2c: length")
        cut = case.data.index(b"\r\n\r\n") + 4
        with wire() as running:
            (exchanged,) = running.run([(case.data + MARKER, (cut,))])
        assert ("GET", "/hidden", b"") in exchanged.seen
        assert fault([case], exchanged)
