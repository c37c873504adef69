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
