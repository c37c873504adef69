"""Compares packing, loading, verifying and unpacking a model with the tools for it, and times the
search for one tarball among 500.

Run as ``python -m benchmarks.artifacts``. Both sides of a comparison run in turn, each with files
that are not in the page cache. Needs GNU tar, zstd, sha256sum, and free space for four times the
model's size.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.report import spread
from entrypoint.shared.tarball_index import Index
from tests.support.launch import COMMAND, DEMO_CACHE, environment

REPOSITORY = "Synthetic/Two-GB"
TARBALLS = 500

# The script of each side, run in its own process: it prepares, then prints the seconds of the rest.
LOAD = """\
import json, os, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
import torch
from safetensors import safe_open
from vllm.config.load import LoadConfig
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from entrypoint.shared.handover import TARBALL_FORMAT, TARBALL_INDEX

side, source, archive, into = sys.argv[1:]
parameters = {}
for path in Path(source).glob("*.safetensors"):
    with safe_open(path, "pt") as file:
        for name in file.keys():
            shape = file.get_slice(name).get_shape()
            parameters[name] = torch.zeros(shape, dtype=torch.bfloat16)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
from entrypoint.store.fetch import fetch_model
from entrypoint.store.search.find import find_model
from entrypoint.store.model import Request
from server.tarball import TarballLoader

started = time.perf_counter()
if side == "tarball":
    archive, into = Path(archive), Path(into)
    request = Request("Synthetic/Two-GB", None, (), archive, True, None, into, True, mount=into)
    model = fetch_model(find_model(request), request, lambda progress: None)
    path = model.path
    TarballLoader.index_path = path.parent / TARBALL_INDEX
    loader = TarballLoader(LoadConfig(load_format=TARBALL_FORMAT))
else:
    subprocess.run(["tar", "-xf", archive, "-C", into], check=True)
    path = next(Path(into).glob("models--*/snapshots/*"))
    loader = DefaultModelLoader(LoadConfig())
config = SimpleNamespace(model=str(path), revision=None)
for name, weight in loader.get_all_weights(config, torch.nn.Module()):
    parameters[name].copy_(weight)
print(time.perf_counter() - started)
"""
UNPACK = """\
import sys, time
from pathlib import Path
from entrypoint.store.fetch import fetch_model
from entrypoint.store.search.find import find_model
from entrypoint.store.model import Request

archive, into = map(Path, sys.argv[1:])
request = Request("Synthetic/Two-GB", None, (), archive, True, None, into, mount=into)
started = time.perf_counter()
fetch_model(find_model(request), request, lambda progress: None)
print(time.perf_counter() - started)
"""
FIND = """\
import sys, time
from pathlib import Path
from entrypoint.store.search.find import find_model
from entrypoint.store.model import Request

folder, scratch = map(Path, sys.argv[1:])
request = Request("Org/Model-499", None, (), folder, True, None, scratch, True, mount=scratch)
started = time.perf_counter()
find_model(request)
print(time.perf_counter() - started)
"""


def write_model(folder: Path, gigabytes: float) -> None:
    """Write a Llama of random bfloat16 weights in two shards."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    demo = next((DEMO_CACHE / "models--inference-server--Demo-Llama" / "snapshots").iterdir())
    shutil.copytree(demo, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    rows = int(gigabytes * 1e9 / 2 / 40 / 4096)
    weight_map = {}
    for shard in (1, 2):
        name = f"model-{shard:05d}-of-00002.safetensors"
        layers = range(20 * (shard - 1), 20 * shard)
        weights = {f"layer.{layer}": torch.randn(rows, 4096).bfloat16() for layer in layers}
        save_file(weights, folder / name, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(weights, name))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def forget(*paths: Path) -> None:
    """Remove files from the page cache."""
    os.sync()
    for path in paths:
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def emptied(folder: Path) -> Path:
    """Return the folder, emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def wall(*commands: Sequence[str | Path]) -> float:
    """Return the wall-clock seconds of commands, run one after another."""
    started = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def printed(script: str, *arguments: str | Path) -> float:
    """Run a script, and return the seconds that it prints last."""
    environ = {**environment(Path(tempfile.gettempdir())), "VLLM_LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def compare(what: str, theirs: Callable[[], float], ours: Callable[[], float], runs: int) -> None:
    """Run both sides in turn, and print the comparison."""
    pairs = [(theirs(), ours()) for _ in range(runs)]
    old, new = ([pair[side] for pair in pairs] for side in (0, 1))
    ratio = statistics.median(old) / statistics.median(new)
    print(f"{what}: {ratio:.2f} times as fast", flush=True)
    print(f"  theirs {spread(old)}, ours {spread(new)}", flush=True)


def weight_bytes_written(scratch: Path, source: Path) -> int:
    """Return the bytes of unpacked weights, without their headers."""
    index = Index.load(next(scratch.rglob("tarball.json")))
    headers = sum(
        8 + int.from_bytes((source / name).open("rb").read(8), "little") for name in index.files
    )
    laid_out = sum(path.stat().st_size for path in scratch.rglob("*.safetensors"))
    return laid_out - headers


def write_tarballs(folder: Path) -> None:
    """Write the tarballs of many small models."""
    with tempfile.TemporaryDirectory() as made:
        snapshot = Path(made, "snapshots", "1" * 40)
        snapshot.mkdir(parents=True)
        header = b'{"w":{"dtype":"U8","shape":[4096],"data_offsets":[0,4096]}}'
        weights = len(header).to_bytes(8, "little") + header + bytes(4096)
        (snapshot / "config.json").write_text("{}")
        (snapshot / "model.safetensors").write_bytes(weights)
        for number in range(TARBALLS):
            with tarfile.open(folder / f"model-{number:03d}.tar", "w") as tar:
                tar.add(snapshot.parent, f"models--Org--Model-{number}/snapshots")


@dataclass(frozen=True)
class Bench:
    """The folder and the number of runs of the measurements.

    Attributes:
        root: A folder on the disk to measure, with the model.
        runs: Number of runs of each side.
    """

    root: Path
    runs: int

    @property
    def source(self) -> Path:
        """The model's folder."""
        return self.root / "model"

    @property
    def into(self) -> Path:
        """The folder for the unpacked model."""
        return self.root / "into"

    @property
    def shards(self) -> list[Path]:
        """Its weights."""
        return sorted(self.source.glob("*.safetensors"))

    def pack_to(self, archive: Path, *options: str) -> list[str | Path]:
        """Return the command that packs the model."""
        command: list[str | Path] = [str(COMMAND), "pack", self.source, "-o", archive]
        return [*command, "--repository", REPOSITORY, *options]

    @contextmanager
    def packed(self, name: str, *options: str) -> Iterator[Path]:
        """Provide the packed model while the body runs."""
        archive = self.root / name
        wall(self.pack_to(archive, *options))
        try:
            yield archive
        finally:
            archive.unlink()

    def pack(self) -> None:
        """Compare ``pack`` with tar and sha256sum."""
        ours, theirs = self.root / "ours.tar", self.root / "theirs.tar"

        def packed() -> float:
            forget(self.source)
            ours.unlink(missing_ok=True)
            return wall(self.pack_to(ours))

        def tarred() -> float:
            forget(self.source)
            theirs.unlink(missing_ok=True)
            tar: list[str | Path] = ["tar", "-cf", theirs, "-C", self.root, self.source.name]
            return wall(tar, ["sha256sum", *self.shards])

        compare("pack, against tar -cf and sha256sum", tarred, packed, self.runs)
        ours.unlink()
        theirs.unlink()

    def load(self) -> None:
        """Compare loading from a tarball with unpacking it and vLLM's loader."""
        with self.packed("ours.tar") as archive:

            def loaded(side: str) -> float:
                emptied(self.into)
                forget(archive)
                return printed(LOAD, side, self.source, archive, self.into)

            compare(
                "tarball to weights, against tar -xf and vLLM's loader",
                partial(loaded, "folder"),
                partial(loaded, "tarball"),
                self.runs,
            )
            written = weight_bytes_written(self.into, self.source)
            print(f"  bytes of weights written: {written}", flush=True)

    def verify(self) -> None:
        """Compare ``verify`` with sha256sum of the weights."""
        with self.packed("ours.tar") as archive:

            def verified() -> float:
                forget(archive)
                return wall([str(COMMAND), "verify", archive])

            def summed() -> float:
                forget(self.source)
                return wall(["sha256sum", *self.shards])

            compare("verify, against sha256sum", summed, verified, self.runs)

    def unpack(self) -> None:
        """Compare unpacking with tar, for a tarball from ``pack`` and one from the zstd command."""
        with self.packed("ours.tar.zst", "--zstd") as archive:
            self._unpack(archive, "zstd by pack")
        with self.packed("ours.tar") as plain:
            archive = self.root / "theirs.tar.zst"
            subprocess.run(["zstd", "-q", plain, "-o", archive], check=True)
        self._unpack(archive, "zstd by the zstd command")
        archive.unlink()

    def _unpack(self, archive: Path, what: str) -> None:
        def unpacked() -> float:
            emptied(self.into)
            forget(archive)
            return printed(UNPACK, archive, self.into)

        def untarred() -> float:
            emptied(self.into)
            forget(archive)
            return wall(["tar", "--zstd", "-xf", archive, "-C", self.into])

        compare(f"unpack {what}, against tar --zstd -xf", untarred, unpacked, self.runs)

    def find(self) -> None:
        """Time the search in a folder of many tarballs."""
        folder, scratch = emptied(self.root / "tarballs"), emptied(self.root / "scratch")
        write_tarballs(folder)
        printed(FIND, folder, scratch)
        found = [printed(FIND, folder, scratch) for _ in range(self.runs)]
        print(f"one of {TARBALLS} tarballs, warm index: {spread(found)} s", flush=True)


MEASURES = {
    "pack": Bench.pack,
    "load": Bench.load,
    "verify": Bench.verify,
    "unpack": Bench.unpack,
    "find": Bench.find,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measure", nargs="*", help=f"any of {', '.join(MEASURES)}; default: all")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the model")
    parser.add_argument("--runs", type=int, default=5, help="number of runs of each side")
    parser.add_argument("--root", type=Path, help="a folder on the disk to measure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.root) as made:
        bench = Bench(Path(made), arguments.runs)
        write_model(bench.source, arguments.gigabytes)
        for name in arguments.measure or MEASURES:
            MEASURES[name](bench)
