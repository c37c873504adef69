"""A pod that cannot serve logs why and what to change, and exits with the right code."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from images.engine import Engine
from tests.support.containers import TMP, Pod, run
from tests.support.launch import DEMO_CACHE

SMALL_TMP = TMP.replace("size=4g", "size=1m")


@pytest.mark.parametrize(
    ("environ", "code", "said"),
    [
        ({"MODEL_ID": ""}, 78, ["MODEL_ID"]),
        ({"PORT": "tcp://10.0.0.1:9000"}, 78, ["PORT", "tcp://10.0.0.1:9000"]),
        ({"ARG": "--max-model-length 100"}, 78, ["--max-model-len?"]),
        ({"MODEL_ID": "Another/Model"}, 66, ["Another/Model", "/mnt/models"]),
        ({"PORT": "80"}, 71, ["80", "1024"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_reported(
    engine: Engine, cpu_image: str, environ: dict[str, str], code: int, said: list[str]
) -> None:
    done = run(engine, cpu_image, environ=environ)
    assert done.returncode == code, done.stderr
    for word in said:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_models_volume_is_reported(engine: Engine, cpu_image: str) -> None:
    done = run(engine, cpu_image, volumes=())
    assert done.returncode == 66, done.stderr
    assert "/mnt/models" in done.stderr


def test_too_little_shared_memory_is_reported(engine: Engine, cpu_image: str) -> None:
    """The default of 64 MiB is too little."""
    done = run(engine, cpu_image, shm=None)
    assert done.returncode == 71, done.stderr
    for word in ("/dev/shm", "--shm-size", "emptyDir"):
        assert word in done.stderr


@pytest.mark.parametrize(
    ("tmp", "said"),
    [
        (TMP.replace("exec", "noexec"), ["noexec", "exec"]),
        (None, ["/tmp", "--tmpfs", "emptyDir"]),
        (SMALL_TMP, ["/tmp"]),
    ],
    ids=["noexec", "none", "small"],
)
def test_unusable_scratch_space_is_reported(
    engine: Engine, cpu_image: str, tmp: str | None, said: list[str]
) -> None:
    done = run(engine, cpu_image, tmp=tmp)
    assert done.returncode == 71, done.stderr
    for word in said:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_model_is_reported(engine: Engine, cpu_image: str, tmp_path: Path) -> None:
    cache = shutil.copytree(DEMO_CACHE, tmp_path / "cache", symlinks=True)
    for blob in cache.glob("models--*/blobs/*"):
        blob.chmod(0o600)
    done = run(engine, cpu_image, volumes=(f"{cache}:/mnt/models:ro",))
    assert done.returncode == 71, done.stderr
    assert "65534" in done.stderr
    assert "Traceback" not in done.stderr


def test_running_out_of_memory_is_reported(engine: Engine, cpu_image: str) -> None:
    """The kernel kills the engine; the entrypoint reports that memory ran out."""
    limit = ("--memory", "700m", "--memory-swap", "700m")
    pod = Pod(engine, cpu_image, options=limit, environ={"VLLM_CPU_KVCACHE_SPACE": "1"})
    try:
        code = pod.exit_code()
        printed = pod.logs()
    finally:
        pod.remove()
    # the kernel chooses which process it kills
    assert code in (70, 128 + signal.SIGKILL), printed
    for word in ("the memory limit of", "--memory", "resources.limits.memory"):
        assert word in printed
