"""Converting a model to OpenVINO once, with optimum-intel in a separate environment."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from entrypoint.errors import ArtifactError, MachineError, StorageError
from entrypoint.openvino.weights import Weights, is_converted
from entrypoint.store.model import Model
from entrypoint.store.writing.complete_folder import make_folder

ENVIRONMENTS = (Path("/opt/openvino-convert"), Path(sys.prefix).with_name(".venv-convert"))
"""The converter's environment if OPENVINO_CONVERTER is not set: in the image, or beside this
environment."""

TAIL_LINES = 12
"""How many of the converter's last lines an error shows."""

NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_PRELOAD")
"""Variables that would make the converter's Python import packages of this environment."""


def find_converter(given: Path | None) -> Path:
    """Return the converter's command.

    Args:
        given: The value of OPENVINO_CONVERTER: the directory of a virtual environment.

    Raises:
        MachineError: No converter is installed.
    """
    for environment in (given,) if given else ENVIRONMENTS:
        command = environment / "bin" / "optimum-cli"
        if command.is_file():
            return command
    searched = ", ".join(str(each) for each in ((given,) if given else ENVIRONMENTS))
    raise MachineError(
        f"The model is not in OpenVINO's format, and no converter is installed in {searched}.",
        variable="OPENVINO_CONVERTER",
        hint="Use the openvino image, or run: make install. Or serve a converted model "
        "(optimum-cli export openvino).",
    )


def convert(
    model: Model,
    weights: Weights,
    command: Path,
    environment: Mapping[str, str],
    trust_remote_code: bool,
) -> None:
    """Convert a model, unless another process has done so in the meantime.

    Args:
        model: The model, on the disk.
        weights: The OpenVINO model to make.
        command: The converter.
        environment: The converter's complete environment.
        trust_remote_code: Whether Python code that comes with the model may run.

    Raises:
        ArtifactError: The converter failed. The error shows the end of its output.
        StorageError: A read or a write failed.
    """
    target, source = weights.path, model.path
    assert source is not None

    def fill(partial: Path) -> None:
        words = [
            *(str(command), "export", "openvino", "--model", str(source)),
            *("--task", "text-generation-with-past"),
            *("--weight-format", str(weights.format)),
            *(("--trust-remote-code",) if trust_remote_code else ()),
            str(partial),
        ]
        with tempfile.TemporaryDirectory() as modules:  # Python code in here is run
            own_modules = {**environment, "HF_MODULES_CACHE": modules}
            code, tail = _run(words, own_modules, target.parent)
        if code != 0 or not is_converted(partial):
            raise _failed(source, code, tail)

    needed = model.bytes // 2 if weights.format == "int8" else model.bytes
    try:
        make_folder(target, fill, needed=needed, is_complete=is_converted)
    except OSError as error:
        raise StorageError(
            f"Converting {source} to {target} failed: {error.filename or target}: "
            f"{error.strerror}.",
            variable="XDG_CACHE_HOME",
            hint="Set XDG_CACHE_HOME or TMPDIR to a folder with enough room that this user may "
            "write to.",
        ) from error


def converter_environment(environ: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return the converter's environment: ours and the plan's, without access to the hub."""
    inherited = {name: value for name, value in environ.items() if name not in NOT_PASSED_ON}
    planned = {name: value for name, value in added.items() if name not in NOT_PASSED_ON}
    return {**inherited, **planned, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def _run(words: list[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Run the converter. Return its exit code and its last lines."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        words,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.strip():
                    tail.append(line.rstrip())
        except BaseException:
            process.kill()
            raise
    return process.returncode, "\n  ".join(tail)


def _failed(source: Path, code: int, tail: str) -> ArtifactError:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    memory = " It may have run out of memory." if code == -9 else ""
    return ArtifactError(
        f"The model at {source} cannot be converted to OpenVINO: the converter {how}.{memory} "
        f"Its last lines:\n  {tail}",
        variable="MODEL_ID",
        hint="Serve it with ACCELERATOR=cpu, or convert it elsewhere (optimum-cli export openvino) "
        "and serve the resulting directory.",
    )
