"""Where a launch listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import SettingError
from entrypoint.options.arguments import Parsed
from entrypoint.settings import MAX_PORT, Settings, read_host


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen.

    Attributes:
        host: IP address or host name.
        port: TCP port.
        uds: Path of a Unix socket, used instead of host and port.
        tls_certificate: PEM file, if the socket serves TLS.
        tls_key: PEM file with the certificate's private key.
        tls_variable: The variable that named the two files.
    """

    host: str
    port: int
    uds: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_variable: str = "ARG"

    def __str__(self) -> str:
        if self.uds:
            return f"unix:{self.uds}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls_certificate else ''}://{host}:{self.port}"


def read_listen(settings: Settings, arguments: Parsed) -> Listen:
    """Return where to listen: ARG's host, port, socket and certificate, else the variables'.

    Raises:
        SettingError: ARG's host or port is not one, or a certificate lacks its key.
    """
    host = arguments.value("--host")
    try:
        host = read_host(host) if host else settings.host
    except ValueError as error:
        raise arguments.given["--host"].source.error(
            f"--host {host} {error}.", hint="Remove --host and set HOST."
        ) from None
    port = int(arguments.value("--port") or settings.port)
    if not 1 <= port <= MAX_PORT:
        raise arguments.given["--port"].source.error(
            f"--port {port} must be a number from 1 to {MAX_PORT}.",
            hint="Remove --port and set PORT.",
        )
    certificate, key = _certificate(settings, arguments)
    return Listen(
        host=host,
        port=port,
        uds=arguments.value("--uds"),
        tls_certificate=certificate,
        tls_key=key,
        tls_variable="ARG" if arguments.value("--ssl-certfile") else "TLS_CERT_FILE",
    )


def _certificate(settings: Settings, arguments: Parsed) -> tuple[str | None, str | None]:
    """Return the paths of the certificate and its key: ARG's, else the variables'.

    Raises:
        SettingError: Only one of the two is set.
    """
    certificate = arguments.value("--ssl-certfile") or _text(settings.tls_cert_file)
    key = arguments.value("--ssl-keyfile") or _text(settings.tls_key_file)
    for present, absent, path, other in (
        ("TLS_CERT_FILE", "TLS_KEY_FILE", settings.tls_cert_file, key),
        ("TLS_KEY_FILE", "TLS_CERT_FILE", settings.tls_key_file, certificate),
    ):
        if path is not None and other is None:
            raise SettingError(
                f"{present}={path} is set and {absent} is not. TLS needs both.",
                variable=present,
                hint=f"Set {absent} too. If one file holds both, set it to the same path.",
            )
    return certificate, key


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
