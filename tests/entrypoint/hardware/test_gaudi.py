"""Gaudi's devices are found by their nodes and described by hl-smi."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from entrypoint.hardware import gaudi
from entrypoint.hardware.gaudi import gaudi_devices, run_command
from entrypoint.hardware.hardware import Device
from tests.support.hardware import HL_SMI, HPU_NODES, tree


def returns(answer: str | None) -> gaudi.Run:
    def run(command: Sequence[str]) -> str | None:
        assert command[0] == "hl-smi"
        return answer

    return run


def test_the_tool_describes_the_devices(tmp_path: Path) -> None:
    devices, driver = gaudi_devices(tree(tmp_path, HPU_NODES), returns(HL_SMI))
    assert devices == (
        Device(0, "HL-225", 96 << 30, identity="3"),
        Device(1, "HL-225", 96 << 30, identity="7"),
    )
    assert driver == "1.24.1-9a4f2c1"


@pytest.mark.parametrize(
    "answer",
    [None, "", "hl-smi: no devices\n", "0, 3, HL-225, 98304, 1.24.1\n"],
    ids=["no tool", "nothing", "a complaint", "another number of devices"],
)
def test_without_a_usable_answer_the_nodes_are_counted(tmp_path: Path, answer: str | None) -> None:
    devices, driver = gaudi_devices(tree(tmp_path, HPU_NODES), returns(answer))
    assert devices == (Device(0, "Gaudi"), Device(1, "Gaudi"))
    assert driver is None


def test_the_tool_does_not_run_without_a_node(tmp_path: Path) -> None:
    def run(command: Sequence[str]) -> str | None:
        raise AssertionError(command)

    assert gaudi_devices(tmp_path, run) == ((), None)


class TestCommand:
    def test_a_commands_output_is_returned(self) -> None:
        assert run_command((sys.executable, "-c", "print(1)")) == "1\n"

    def test_a_missing_command_returns_none(self) -> None:
        assert run_command(("no-such-tool-anywhere",)) is None

    def test_a_failing_command_returns_none(self) -> None:
        assert run_command((sys.executable, "-c", "print(1); raise SystemExit(1)")) is None

    def test_a_hanging_command_returns_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gaudi, "TIMEOUT_SECONDS", 0.05)
        assert run_command((sys.executable, "-c", "import time; time.sleep(60)")) is None
