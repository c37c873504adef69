"""Intel Gaudi's devices, by their nodes and by the tool ``hl-smi``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.nodes import numbered

Run = Callable[[Sequence[str]], str | None]
"""Runs a command and returns its output, None where it fails or is not there."""

SECONDS = 2.0
"""How long a driver's tool may take; what it adds to the nodes is worth no more."""

FIELDS = ("index", "module_id", "name", "memory.total", "driver_version")
QUERY = ("hl-smi", "-Q", ",".join(FIELDS), "-f", "csv,noheader,nounits")
MIB = 1 << 20


def run_command(command: Sequence[str]) -> str | None:
    """Return what a command prints, None where it fails, hangs, or is not there."""
    import subprocess  # only where there is a device

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def gaudi_nodes(root: Path) -> list[Path]:
    """Return the devices' nodes."""
    accel = root / "dev/accel"
    return [accel / f"accel{number}" for number in numbered(accel, "accel")]


def gaudi_devices(root: Path, run: Run) -> tuple[tuple[Device, ...], str | None]:
    """Return the devices that have a node, and their driver's version.

    Args:
        root: Where ``/dev`` is.
        run: Runs ``hl-smi``.
    """
    nodes = gaudi_nodes(root)
    if not nodes:
        return (), None
    told = _told(run(QUERY) or "")
    if len(told) != len(nodes):  # no tool, or one that sees what this container does not
        return tuple(Device(index, "Gaudi") for index in range(len(nodes))), None
    devices = tuple(
        Device(
            int(one["index"]),
            one["name"],
            int(one["memory.total"]) * MIB if one["memory.total"].isdigit() else None,
            identity=one["module_id"],
        )
        for one in told
    )
    return devices, told[0]["driver_version"]


def _told(text: str) -> list[dict[str, str]]:
    """Return the rows of ``hl-smi``'s answer, without those that are no row."""
    rows = ([cell.strip() for cell in line.split(",")] for line in text.splitlines())
    found = [dict(zip(FIELDS, row, strict=True)) for row in rows if len(row) == len(FIELDS)]
    return [row for row in found if row["index"].isdigit()]
