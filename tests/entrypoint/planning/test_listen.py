"""Where a launch listens, and with which certificate."""

from __future__ import annotations

import pytest

from entrypoint.errors import SettingError
from entrypoint.planning.listen import Listen
from tests.support.samples import asked, option_of, plan, value_of


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        (Listen("0.0.0.0", 8000), "http://0.0.0.0:8000"),
        (Listen("::", 80), "http://[::]:80"),
        (Listen("h", 443, tls_certificate="c"), "https://h:443"),
        (Listen("h", 1, uds="/run/s"), "unix:/run/s"),
    ],
)
def test_it_is_written_as_a_url(listen: Listen, text: str) -> None:
    assert str(listen) == text


def test_arg_wins_over_host_and_port() -> None:
    request = asked(PORT="1234", ARG="--host ::1 --ssl-certfile c.pem --ssl-keyfile k.pem")
    assert str(request.listen) == "https://[::1]:1234"


@pytest.mark.parametrize(
    ("host", "meant"),
    [("[::]", "::"), ("[::1]", "::1"), ("::1", "::1"), ("fe80::1%eth0", "fe80::1%eth0")],
)
def test_an_ipv6_address_may_have_brackets(host: str, meant: str) -> None:
    assert asked(HOST=host).listen.host == meant
    assert asked(ARG=f"--host {host}").listen.host == meant


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("0.0.0.0:8000", "Set HOST=0.0.0.0 and PORT=8000"),
        (":8000", "Set HOST=0.0.0.0 and PORT=8000"),
        ("*:8000", "Set HOST=0.0.0.0 and PORT=8000"),
        ("[::]:8000", "Set HOST=:: and PORT=8000"),
        ("http://0.0.0.0", "Set HOST=0.0.0.0"),
        ("http://0.0.0.0:8000/", "Set HOST=0.0.0.0 and PORT=8000"),
        ("https://[::1]:8443/v1", "Set HOST=::1 and PORT=8443"),
        ("10.0.0.0/8", "Set HOST=10.0.0.0"),
        ("*", "Set HOST=0.0.0.0"),
    ],
)
def test_a_host_with_more_than_an_address_is_refused(host: str, advice: str) -> None:
    for variables, named in (({"HOST": host}, "HOST"), ({"ARG": f"--host={host}"}, "ARG")):
        with pytest.raises(SettingError) as raised:
            _ = asked(**variables).listen
        assert raised.value.variable == named
        assert f"{advice}." in raised.value.message


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_out_of_range_is_refused(port: str) -> None:
    with pytest.raises(SettingError, match=f"--port {port} must be a number from 1 to 65535"):
        _ = asked(ARG=f"--port {port}").listen


class TestCertificate:
    def test_the_variables_set_it(self) -> None:
        made = plan(TLS_CERT_FILE="/c.pem", TLS_KEY_FILE="/k.pem")
        assert value_of(made, "--ssl-certfile") == ["/c.pem"]
        assert value_of(made, "--ssl-keyfile") == ["/k.pem"]
        assert option_of(made, "--ssl-certfile")["variable"] == "TLS_CERT_FILE"
        assert str(made.listen) == "https://0.0.0.0:8000"
        assert made.listen.tls_variable == "TLS_CERT_FILE"

    def test_arg_wins(self) -> None:
        made = plan(
            TLS_CERT_FILE="/c.pem",
            TLS_KEY_FILE="/k.pem",
            ARG="--ssl-certfile /d.pem --ssl-keyfile /l.pem",
        )
        assert made.listen.tls_certificate == "/d.pem"
        assert made.listen.tls_key == "/l.pem"
        assert made.listen.tls_variable == "ARG"

    @pytest.mark.parametrize("variable", ["TLS_CERT_FILE", "TLS_KEY_FILE"])
    def test_one_file_without_the_other_is_refused(self, variable: str) -> None:
        with pytest.raises(SettingError, match="TLS needs both") as raised:
            plan(**{variable: "/some.pem"})
        assert raised.value.variable == variable

    def test_a_variable_and_arg_complete_each_other(self) -> None:
        made = plan(TLS_CERT_FILE="/c.pem", ARG="--ssl-keyfile /k.pem")
        assert (made.listen.tls_certificate, made.listen.tls_key) == ("/c.pem", "/k.pem")
