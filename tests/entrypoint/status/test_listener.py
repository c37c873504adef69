"""The listening socket, and the errors if it cannot be opened."""

import errno
import socket
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import MachineError, SettingError
from entrypoint.planning.listen import Listen
from entrypoint.status.listener import check_certificate, listening_at, open_listener
from tests.support.ports import free_port


def test_a_client_can_connect_at_once() -> None:
    port = free_port()
    with (
        open_listener(Listen("127.0.0.1", port)),
        socket.create_connection(("127.0.0.1", port), timeout=5),
    ):
        pass


def test_an_ipv6_address_works() -> None:
    port = free_port()
    with (
        open_listener(Listen("::1", port)),
        socket.create_connection(("::1", port), timeout=5),
    ):
        pass


def test_a_port_in_use_is_named() -> None:
    port = free_port()
    with open_listener(Listen("127.0.0.1", port)), pytest.raises(MachineError) as raised:
        open_listener(Listen("127.0.0.1", port))
    assert raised.value.variable == "PORT"
    assert f":{port}" in raised.value.message


def hosts_file(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let localhost have these addresses, as a hosts file does (a stand-in for the resolver)."""
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *more: Any, **options: Any) -> list[Any]:
        names = addresses if host == "localhost" else [host]
        return [found for name in names for found in real(name, port, *more, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


class TestLocalhost:
    @pytest.mark.parametrize("addresses", [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
    def test_it_is_both_loopback_addresses_and_no_other(
        self, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
    ) -> None:
        hosts_file(monkeypatch, *addresses)
        listen = Listen("localhost", free_port())
        with open_listener(listen) as listener:
            for address in addresses:
                with socket.create_connection((address, listen.port), timeout=5):
                    connection, _ = listener.accept()
                    connection.close()
            # the kernel passes no connection from another interface to this socket
            assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"
            assert listening_at(listener, listen).endswith("(127.0.0.1, ::1)")

    def test_it_is_ipv4_if_the_kernel_refuses_one_socket_for_both(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As Linux before 5.7 does for a user who is not root."""
        hosts_file(monkeypatch, "::1", "127.0.0.1")

        def refuse(port: int) -> socket.socket:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(f"{open_listener.__module__}._open_loopback", refuse)
        listen = Listen("localhost", free_port())
        with open_listener(listen) as listener:
            assert listening_at(listener, listen).endswith("(127.0.0.1)")

    def test_a_port_in_use_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hosts_file(monkeypatch, "::1", "127.0.0.1")
        listen = Listen("localhost", free_port())
        with open_listener(listen), pytest.raises(MachineError, match="already listens"):
            open_listener(listen)


def test_a_name_listens_on_the_first_address_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts_file(monkeypatch, "192.0.2.77", "127.0.0.1")
    listen = Listen("localhost", free_port())
    with open_listener(listen) as listener:
        assert listening_at(listener, listen).endswith("(127.0.0.1)")


def test_every_ipv6_address_includes_ipv4() -> None:
    listen = Listen("::", free_port())
    with open_listener(listen) as listener:
        assert not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        assert listening_at(listener, listen) == f"http://[::]:{listen.port}"
        with socket.create_connection(("127.0.0.1", listen.port), timeout=5):
            pass


def test_a_machine_without_ipv6_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a kernel that was started without IPv6."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(SettingError, match="has no IPv6"):
        open_listener(Listen("::", 8000))


def test_a_link_local_address_needs_its_interface() -> None:
    with pytest.raises(SettingError, match="without its interface"):
        open_listener(Listen("fe80::1", free_port()))


@pytest.mark.parametrize("host", ["not a name", "192.0.2.1", "a..b", "a" * 70, "fe80::1%none0"])
def test_a_host_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(SettingError) as raised:
        open_listener(Listen(host, free_port()))
    assert raised.value.variable == "HOST"
    assert host in raised.value.message


def test_a_unix_socket_replaces_a_stale_one(tmp_path: Path) -> None:
    listen = Listen("", 0, uds=str(tmp_path / "s"))
    open_listener(listen).close()
    with open_listener(listen), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


def test_a_unix_socket_in_use_stays(tmp_path: Path) -> None:
    listen = Listen("", 0, uds=str(tmp_path / "s"))
    with open_listener(listen), pytest.raises(MachineError, match="already listens"):
        open_listener(listen)


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        (Listen("0.0.0.0", 8000), "http://0.0.0.0:8000"),
        (Listen("::", 80), "http://[::]:80"),
        (Listen("h", 443, tls_certificate="c"), "https://h:443"),
        (Listen("h", 1, uds="/run/s"), "unix:/run/s"),
    ],
)
def test_an_address_is_shown_as_a_url(listen: Listen, text: str) -> None:
    assert str(listen) == text


class TestCertificate:
    def test_a_launch_without_a_certificate_passes(self) -> None:
        check_certificate(Listen("h", 1))

    def test_a_file_that_is_not_a_certificate_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "c.pem").write_text("nothing")
        with pytest.raises(SettingError) as raised:
            check_certificate(Listen("h", 1, tls_certificate=str(tmp_path / "c.pem")))
        assert raised.value.variable == "ARG"
        assert raised.value.message.endswith("c.pem): not a PEM certificate and its key.")
        assert "--ssl-certfile" in str(raised.value.hint)

    def test_the_error_names_the_variables_that_set_it(self, tmp_path: Path) -> None:
        listen = Listen("h", 1, None, str(tmp_path / "c.pem"), "k.pem", "TLS_CERT_FILE")
        with pytest.raises(SettingError) as raised:
            check_certificate(listen)
        assert raised.value.variable == "TLS_CERT_FILE"
        assert raised.value.message.endswith("k.pem): No such file or directory.")
        assert "TLS_KEY_FILE" in str(raised.value.hint)
