"""The socket that a launch listens on from start to end."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from entrypoint.errors import MachineError, SettingError
from entrypoint.planning.listen import Listen

BACKLOG = 2048
"""Connections that the kernel queues until they are accepted; uvicorn's default."""

HOST_HINT = "Use 0.0.0.0 for all addresses of this machine, 127.0.0.1 for local clients only."


def check_certificate(listen: Listen) -> None:
    """Check that the certificate and its key can be loaded, if the launch has them.

    Raises:
        SettingError: They cannot be read, or do not match.
    """
    if listen.tls_certificate is None:
        return
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(listen.tls_certificate, listen.tls_key)
    except OSError as error:  # includes ssl.SSLError
        why = error.strerror
        if isinstance(error, ssl.SSLError):
            why = "not a PEM certificate and its key"
        files = " and ".join(filter(None, (listen.tls_certificate, listen.tls_key)))
        named = listen.tls_variable
        names = (
            "--ssl-certfile and --ssl-keyfile"
            if named == "ARG"
            else "TLS_CERT_FILE and TLS_KEY_FILE"
        )
        raise SettingError(
            f"{named}: cannot load the TLS certificate ({files}): {why}.",
            variable=named,
            hint=f"Set {names} to a PEM certificate and its key that this user can read.",
        ) from None


def _remove_stale(path: Path) -> None:
    """Remove a Unix socket that no process listens on."""
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
    """Return a socket that listens there.

    Raises:
        SettingError: HOST is not an address of this machine.
        MachineError: The port is in use, or not permitted to this user.
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
                f"HOST={listen.host!r} is not an address or a host name: {error}.",
                variable="HOST",
                hint=HOST_HINT,
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
            hint=HOST_HINT,
        )
    if error.errno == errno.EADDRINUSE:
        return MachineError(
            f"Another process already listens on {listen}.",
            variable="PORT",
            hint="Stop that process, or set PORT to another port.",
        )
    if error.errno == errno.EACCES and not listen.uds:
        return MachineError(
            f"User {os.getuid()} is not permitted to listen on {listen}.",
            variable="PORT",
            hint="Set PORT to 1024 or higher.",
        )
    return MachineError(
        f"Cannot listen on {listen}: {error.strerror}.",
        variable="PORT",
        hint="Set PORT to another port.",
    )
