"""Tables for people: a launch plan, and the available models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from entrypoint.units import human_bytes


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(cells)).rstrip()


def _accelerator(accelerator: dict[str, Any]) -> str:
    text = f"{accelerator['count']} x {accelerator['kind']}"
    names = dict.fromkeys(device["name"] for device in accelerator["devices"])
    if names:
        text += f" ({', '.join(names)})"
    if accelerator["memory_bytes"]:
        # main memory counts if it is free, a device's memory always
        main = accelerator["kind"] in ("cpu", "openvino")
        text += f", {human_bytes(accelerator['memory_bytes'])} {'available' if main else 'each'}"
    return text


def plan_table(plan: dict[str, Any]) -> str:
    """Return a plan as a table.

    Args:
        plan: The result of :meth:`LaunchPlan.as_dict`, which holds no secret.
    """
    model = plan["model"]
    facts = [
        ("model", model["repository"] or model["path"] or "-"),
        ("revision", model["revision"] or "-"),
        ("found in", f"{model['source']}: {model['path'] or 'not fetched yet'}"),
        ("size", human_bytes(model["bytes"]) if model["path"] or model["bytes"] else "unknown"),
        ("served as", ", ".join(plan["served_model_names"])),
        ("accelerator", _accelerator(plan["accelerator"])),
    ]
    lines = list(_columns(facts))
    rows = [("option", "value", "from")]
    for option in plan["options"]:
        file = option["file"] and f"--config {option['file']}"
        reason = file or option["variable"] or option["origin"]
        if option["overrides"]:
            reason += f" (wins over {option['overrides']})"
        rows.append((option["option"], option["value"] or "", reason))
    lines += ["", *_columns(rows)]
    if plan["notes"]:
        lines += ["", *(f"  {note['level']}: {note['message']}" for note in plan["notes"])]
    return "\n".join(lines)


def models_table(models: Sequence[dict[str, Any]]) -> str:
    """Return models as a table.

    Args:
        models: The models as ``inference-server models --json`` prints them.
    """
    rows = [("model", "revision", "size", "format", "where", "note")]
    for model in models:
        revision = " ".join((model["revision"] or "-", *model["refs"]))
        rows.append(
            (
                model["model"] or "-",
                revision,
                "-" if model["bytes"] is None else human_bytes(model["bytes"]),
                ", ".join(model["formats"]) or "-",
                model["path"],
                model["problem"] or "",
            )
        )
    return "\n".join(_columns(rows))
