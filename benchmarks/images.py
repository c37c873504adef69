"""Measures the images' sizes, and the seconds from ``run`` to the first 200 of ``/health/ready``.

Run as ``python -m benchmarks.images`` after ``make test-container``, which builds the images. Each
container serves the demo model as uid 65534 on a read-only root and keeps nothing from the run
before. All kinds of start run in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics

from images.build import tag
from images.engine import Engine
from tests.support.containers import Pod, container_engine

STARTS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("cpu", {}),
    # an empty place, so that the image's bytecode is not found
    "cpu without bytecode": ("cpu", {"PYTHONPYCACHEPREFIX": "/nonexistent"}),
    "openvino": ("openvino", {}),
}


def size(engine: Engine, image: str) -> int:
    """Return the unpacked size of an image in bytes."""
    return int(json.loads(engine.run("image", "inspect", image).stdout)[0]["Size"])


def start(engine: Engine, image: str, environ: dict[str, str]) -> float:
    """Start a container, and return the seconds until it is ready."""
    pod = Pod(engine, image, environ=environ)
    try:
        return pod.until_ready()
    finally:
        pod.remove()


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="number of starts of each kind")
    parser.add_argument("--only", choices=STARTS, action="append", help="measure only this kind")
    arguments = parser.parse_args()
    chosen = {name: STARTS[name] for name in arguments.only or STARTS}
    engine = container_engine()
    for kind in sorted({kind for kind, _ in chosen.values()}):
        print(f"{kind}: {size(engine, tag(kind)) / 1e9:.2f} GB")
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(arguments.runs):
        for name, (kind, environ) in chosen.items():
            seconds[name].append(start(engine, tag(kind), environ))
            print(f"{name}: {seconds[name][-1]:.0f} s", flush=True)
    for name, found in seconds.items():
        listed = " ".join(f"{value:.0f}" for value in found)
        print(f"{name}: median {statistics.median(found):.0f} s of {listed}")


if __name__ == "__main__":
    main()
