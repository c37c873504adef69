"""The client that asks a running server for its health, as an image's HEALTHCHECK does."""

from __future__ import annotations

import http.client
import socket
import ssl

from entrypoint.planning.listen import Listen

TIMEOUT_SECONDS = 5.0
"""How long the server may take to answer."""

LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that only a server can use, and the ones to connect to instead."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(listen: Listen, timeout: float) -> http.client.HTTPConnection:
    if listen.uds:
        return _UnixConnection(listen.uds, timeout)
    host = LOOPBACK.get(listen.host, listen.host)
    if listen.tls_certificate is None:
        return http.client.HTTPConnection(host, listen.port, timeout=timeout)
    # the certificate is for the name that clients use, not for this address
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, listen.port, timeout=timeout, context=context)


def ask_health(listen: Listen, timeout: float = TIMEOUT_SECONDS) -> tuple[bool, str]:
    """Request ``/health``.

    Args:
        listen: Where the server listens.
        timeout: Seconds for each step of the exchange.

    Returns:
        Whether the answer is 200, and one line that describes it.
    """
    connection = _connection(listen, timeout)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or error
        return False, f"{listen}/health did not answer: {why}."
    finally:
        connection.close()
    return answer.status == 200, f"{listen}/health answers {answer.status} {answer.reason}."
