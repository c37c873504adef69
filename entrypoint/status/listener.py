"""The socket that the launch listens on from its first second to its last."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from entrypoint.errors import MachineError, SettingError
from entrypoint.planning.listen import Listen

BACKLOG = 2048
"""Connections that the kernel keeps while nobody accepts; as many as uvicorn asks for."""


def check_certificate(listen: Listen) -> None:
    """Load the certificate and key, if there are any, to see whether they can be.

    Raises:
        SettingError: They cannot be read, or do not belong together.
    """
    if listen.tls_certificate is None:
        return
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(listen.tls_certificate, listen.tls_key)
    except OSError as error:  # ssl.SSLError is one
        files = " and ".join(filter(None, (listen.tls_certificate, listen.tls_key)))
        named = listen.tls_variable
        options = "--ssl-certfile and --ssl-keyfile"
        raise SettingError(
            f"{named}: the TLS certificate cannot be used ({files}): {error.strerror or error}.",
            variable=named,
            hint=f"Give {options if named == 'ARG' else 'TLS_CERT_FILE and TLS_KEY_FILE'} PEM "
            "files that belong together and that this user may read.",
        ) from None


def _remove_stale(path: Path) -> None:
    """Remove a Unix socket that nobody listens on any more."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def open_listener(listen: Listen) -> socket.socket:
    """Bind and listen.

    Raises:
        SettingError: HOST is no address of this machine.
        MachineError: The port is taken, or may not be opened by this user.
    """
    if listen.uds:
        _remove_stale(Path(listen.uds))
        family, address = socket.AF_UNIX, listen.uds
    else:
        try:
            found = socket.getaddrinfo(
                listen.host or None, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise SettingError(
                f"HOST={listen.host!r} is not an address or a name: {error}.",
                variable="HOST",
                hint="Use 0.0.0.0 for every address of this machine, 127.0.0.1 for itself only.",
            ) from None
        family, address = found[0][0], found[0][4]  # type: ignore[assignment]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refused(listen, error) from None
    return listener


def _refused(listen: Listen, error: OSError) -> SettingError | MachineError:
    if error.errno == errno.EADDRNOTAVAIL:
        return SettingError(
            f"HOST={listen.host!r} is not an address of this machine.",
            variable="HOST",
            hint="Use 0.0.0.0 for every address of this machine, 127.0.0.1 for itself only.",
        )
    if error.errno == errno.EADDRINUSE:
        return MachineError(
            f"Something else already listens on {listen}.",
            variable="PORT",
            hint="Stop it, or choose another PORT.",
        )
    if error.errno == errno.EACCES and not listen.uds:
        return MachineError(
            f"The user {os.getuid()} may not listen on {listen}.",
            variable="PORT",
            hint="Choose a PORT of 1024 or more.",
        )
    return MachineError(
        f"Cannot listen on {listen}: {error.strerror}.", variable="PORT", hint="Choose another."
    )
