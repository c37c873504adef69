"""The listening socket, and the errors if it cannot be opened."""

import socket
from pathlib import Path

import pytest

from entrypoint.errors import MachineError, SettingError
from entrypoint.planning.listen import Listen
from entrypoint.status.listener import check_certificate, open_listener
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


@pytest.mark.parametrize("host", ["not a name", "192.0.2.1"])
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
