"""The socket that a launch listens on from start to end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

from entrypoint.errors import MachineError, SettingError
from entrypoint.planning.listen import Listen

BACKLOG = 2048
"""Connections that the kernel queues until they are accepted; uvicorn's default."""

HOST_HINT = "Use 0.0.0.0 for all addresses of this machine, 127.0.0.1 for local clients only."


LOOPBACK = b"lo\0"
"""The loopback interface, as the kernel names it."""

DEVICE_BYTES = 16
"""The longest name of an interface (IFNAMSIZ in linux/if.h)."""

LOOPBACK_HOSTS = ("127.0.0.1", "::1")
"""The addresses of localhost. A hosts file may have only the first."""


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
        return _opened(listen, [(socket.AF_UNIX, listen.uds)])
    addresses = _addresses(listen)
    if {host for _, (host, *_) in addresses} >= set(LOOPBACK_HOSTS):
        with contextlib.suppress(OSError):  # before Linux 5.7, only root may
            return _open_loopback(listen.port)
        addresses.sort()  # IPv4 first: some clients know nothing else
    return _opened(listen, addresses)


def listening_at(listener: socket.socket, listen: Listen) -> str:
    """Return where a socket listens, with its addresses if the host is a name."""
    if listen.uds:
        return str(listen)
    hosts = [listener.getsockname()[0]]
    if listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE_BYTES) == LOOPBACK:
        hosts = list(LOOPBACK_HOSTS)
    return str(listen) if hosts == [listen.host] else f"{listen} ({', '.join(hosts)})"


def _addresses(listen: Listen) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        found = socket.getaddrinfo(
            listen.host or None, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:  # the second for names such as a..b
        why = getattr(error, "strerror", None) or "a part between dots is empty or too long"
        raise SettingError(
            f"HOST={listen.host!r} is not an address or a host name: {why}.",
            variable="HOST",
            hint=HOST_HINT,
        ) from None
    return [(family, address) for family, _, _, _, address in found]


def _open_loopback(port: int) -> socket.socket:
    """Return one socket for 127.0.0.1 and ::1: bound to all addresses of the loopback interface."""
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, LOOPBACK)
        return _bound(listener, ("::", port))
    except OSError:
        listener.close()
        raise


def _opened(listen: Listen, addresses: list[tuple[socket.AddressFamily, Any]]) -> socket.socket:
    """Return a socket that listens on the first address that this machine has.

    Raises:
        SettingError: It has none of them.
        MachineError: The port is in use, or not permitted to this user.
    """
    refused: OSError | None = None
    for family, address in addresses:
        try:
            listener = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            refused = refused or error
            continue
        try:
            return _bound(listener, address)
        except OSError as error:
            listener.close()
            refused = refused or error
            if error.errno != errno.EADDRNOTAVAIL:
                break
    assert refused is not None
    raise _refused(listen, refused) from None


def _bound(listener: socket.socket, address: Any) -> socket.socket:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        # :: is all addresses, whatever the machine's default is
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(address)
    listener.listen(BACKLOG)
    return listener


def _refused(listen: Listen, error: OSError) -> SettingError | MachineError:
    if error.errno == errno.EADDRNOTAVAIL:
        return SettingError(
            f"HOST={listen.host!r} is not an address of this machine.",
            variable="HOST",
            hint=HOST_HINT,
        )
    if error.errno == errno.EAFNOSUPPORT:
        return SettingError(
            f"HOST={listen.host!r} is an IPv6 address, and this machine has no IPv6.",
            variable="HOST",
            hint=HOST_HINT,
        )
    if error.errno == errno.EINVAL and listen.host.casefold().startswith("fe80:"):
        return SettingError(
            f"HOST={listen.host!r} is a link-local address without its interface.",
            variable="HOST",
            hint=f"Add the interface: HOST={listen.host}%eth0",
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
