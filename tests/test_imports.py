"""What the entrypoint may import: it starts in a fraction of a second, and stays small."""

import pkgutil
import subprocess
import sys

import entrypoint


def test_the_entrypoint_imports_nothing_heavy() -> None:
    """Neither torch nor vLLM nor the hub's client."""
    every = [m.name for m in pkgutil.walk_packages(entrypoint.__path__, "entrypoint.")]
    assert "entrypoint.store.hub.client" in every
    # it runs in its own process because it imports the hub's client
    every.remove("entrypoint.store.hub.downloader")
    heavy = {"torch", "vllm", "transformers", "huggingface_hub", "fastapi", "numpy"}
    script = (
        "import importlib, sys\n"
        f"for name in {every!r}: importlib.import_module(name)\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
