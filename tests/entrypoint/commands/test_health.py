"""The exit code and the output of ``inference-server health``."""

import pytest

from entrypoint.cli import main
from entrypoint.planning.listen import Listen
from tests.support.health_server import answering
from tests.support.ports import free_port


def test_it_exits_with_0_for_a_healthy_server(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with answering(Listen("127.0.0.1", port)):
        assert main(["health"], {"PORT": str(port)}) == 0
    assert "answers 200" in capsys.readouterr().out


def test_the_port_in_arg_wins() -> None:
    port = free_port()
    with answering(Listen("127.0.0.1", port)):
        environ = {"PORT": str(free_port()), "ARG": f"--port {port}"}
        assert main(["health"], environ) == 0


def test_it_exits_with_1_without_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health"], {"PORT": str(free_port())}) == 1
    assert "did not answer: Connection refused." in capsys.readouterr().out
