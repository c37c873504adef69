"""The tables: a plan, and the available models."""

from dataclasses import replace

import pytest

from entrypoint.commands.table import models_table, plan_table
from entrypoint.hardware.hardware import Device, Hardware
from entrypoint.planning.listen import Listen
from tests.support.samples import a_plan


@pytest.mark.parametrize(
    ("hardware", "text"),
    [
        (Hardware("cpu", 1, 5 << 30, (0,), "0"), "1 x cpu, 5.0 GiB available"),
        (Hardware("cuda", 2, None, (0,), "0"), "2 x cuda"),
        (
            Hardware("openvino", 1, 5 << 30, (0,), "0", (Device(0, "Intel GPU"),)),
            "1 x openvino (Intel GPU), 5.0 GiB available",
        ),
        (
            Hardware("cuda", 2, 80 << 30, (0,), "0", (Device(0, "H100"), Device(1, "H100"))),
            "2 x cuda (H100), 80.0 GiB each",
        ),
    ],
)
def test_the_accelerator_shows_its_memory(hardware: Hardware, text: str) -> None:
    made = replace(a_plan(Listen("h", 1)), accelerator=hardware)
    assert f"accelerator  {text}\n" in plan_table(made.as_dict())


def test_a_plan_shows_every_fact() -> None:
    plan = a_plan(Listen("h", 1)).as_dict()
    plan["options"] = [
        {
            "option": "--tensor-parallel-size",
            "value": "4",
            "origin": "ARG",
            "variable": "ARG",
            "overrides": "NUM_SHARD=2",
            "file": None,
        }
    ]
    plan["notes"] = [{"level": "warning", "variable": "X", "message": "X is odd."}]
    table = plan_table(plan)
    for part in ("/m", "1 x cpu", "1000 B", "ARG (wins over NUM_SHARD=2)", "warning: X is odd."):
        assert part in table
    assert not any(line.endswith(" ") for line in table.splitlines())


def test_each_model_has_a_row() -> None:
    known = {
        "model": "a/b", "revision": "1" * 40, "refs": ["main", "v1"], "bytes": 2048,
        "formats": ["bin", "gguf"], "path": "/mnt/a.tar", "problem": None,
    }  # fmt: skip
    unknown = dict.fromkeys(known) | {"refs": [], "formats": [], "path": "/b", "problem": "bad"}
    lines = [line.split() for line in models_table([known, unknown]).splitlines()]
    assert lines[1:] == [
        ["a/b", "1" * 40, "main", "v1", "2.0", "KiB", "bin,", "gguf", "/mnt/a.tar"],
        ["-", "-", "-", "-", "/b", "bad"],
    ]
