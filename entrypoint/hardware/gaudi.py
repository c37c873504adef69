"""Intel Gaudi's devices, found by their device nodes and by the tool ``hl-smi``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.nodes import numbered_entries

Run = Callable[[Sequence[str]], str | None]
"""Runs a command and returns its output, None if it fails or is missing."""

TIMEOUT_SECONDS = 2.0
"""How long to wait for a driver's tool, whose details are useful but not required."""

FIELDS = ("index", "module_id", "name", "memory.total", "driver_version")
QUERY = ("hl-smi", "-Q", ",".join(FIELDS), "-f", "csv,noheader,nounits")
MIB = 1 << 20


def run_command(command: Sequence[str]) -> str | None:
    """Return a command's output, None if it fails, hangs, or is missing."""
    import subprocess  # needed only if there is a device

    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def gaudi_nodes(root: Path) -> list[Path]:
    """Return the nodes of the devices."""
    accel = root / "dev/accel"
    return [accel / f"accel{number}" for number in numbered_entries(accel, "accel")]


def gaudi_devices(root: Path, run: Run) -> tuple[tuple[Device, ...], str | None]:
    """Return the devices that have a node, and their driver's version.

    Args:
        root: The folder that contains ``/dev``.
        run: Runs ``hl-smi``.
    """
    nodes = gaudi_nodes(root)
    if not nodes:
        return (), None
    rows = _parse_rows(run(QUERY) or "")
    if len(rows) != len(nodes):  # no tool, or one that lists devices outside this container
        return tuple(Device(index, "Gaudi") for index in range(len(nodes))), None
    devices = tuple(
        Device(
            int(row["index"]),
            row["name"],
            int(row["memory.total"]) * MIB if row["memory.total"].isdigit() else None,
            identity=row["module_id"],
        )
        for row in rows
    )
    return devices, rows[0]["driver_version"]


def _parse_rows(text: str) -> list[dict[str, str]]:
    """Return the rows of ``hl-smi``'s output, without lines in another format."""
    rows = ([cell.strip() for cell in line.split(",")] for line in text.splitlines())
    found = [dict(zip(FIELDS, row, strict=True)) for row in rows if len(row) == len(FIELDS)]
    return [row for row in found if row["index"].isdigit()]
