"""The environment of a launch in a test's folder, without a process or a network."""

from __future__ import annotations

from pathlib import Path


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    """Return variables that name a model in ``tmp_path/cache``, and scratch space beside it."""
    return {
        "MODEL_ID": "Org/Model",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "XDG_CACHE_HOME": str(tmp_path / "scratch"),
        **variables,
    }
