"""Where a launch listens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen.

    Attributes:
        host: Address, or a name for one.
        port: TCP port.
        uds: Path of a Unix socket, instead of host and port.
        tls_certificate: PEM file, where the socket speaks TLS.
        tls_key: PEM file that belongs to it.
        tls_variable: The variable that names them.
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
