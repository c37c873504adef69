"""The real vLLM fails: the launch names the cause, exits with its code, and leaves no process.

tests/faults has most failures; these need the log lines of the real engine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.launch import DEMO, DEMO_CACHE, Launch, descendants, environment
from tests.support.processes import running

SNAPSHOT = next((DEMO_CACHE / "models--inference-server--Demo-Llama" / "snapshots").iterdir())


def a_model(place: Path, **changed: object) -> Path:
    """Copy the demo model, and change its configuration."""
    shutil.copytree(SNAPSHOT, place)
    config = place / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changed}))
    return place


def json_logging(place: Path) -> str:
    """Write a configuration of Python's logging for JSON records, and return its path."""
    stream = {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}
    columns = "%(asctime)s %(levelname)s %(name)s %(processName)s %(process)d %(message)s"
    configuration = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"class": "pythonjsonlogger.json.JsonFormatter", "format": columns}},
        "handlers": {"json": stream},
        "loggers": {"vllm": {"handlers": ["json"], "level": "INFO", "propagate": False}},
    }
    place.write_text(json.dumps(configuration))
    return str(place)


def nothing(launch: Launch) -> None:
    """Do nothing: the engine fails without help."""


def kill_the_worker(launch: Launch) -> None:
    """Kill the worker process while it compiles."""
    launch.until_listening()
    launch.until_the_engine_runs()
    launch.until_phase("compile")
    below = descendants(launch.process.pid)
    os.kill(next(pid for pid, line in below.items() if "VLLM::Worker" in line), signal.SIGKILL)


@pytest.mark.parametrize(
    ("changed", "variables", "act", "code", "kind", "words"),
    [
        pytest.param(
            {"architectures": ["FancyForCausalLM"]},
            {},
            nothing,
            65,
            "architecture-unsupported",
            ["FancyForCausalLM", "phase import"],
            id="an architecture that vLLM does not have",
        ),
        pytest.param(
            {"max_position_embeddings": 2_000_000},
            {"ARG": "--enforce-eager"},
            nothing,
            78,
            "context-longer-than-cache",
            ["--max-model-len", "VLLM_CPU_KVCACHE_SPACE"],
            id="a context that the cache cannot hold",
        ),
        pytest.param(
            {"num_hidden_layers": 4},
            {"ARG": "--enforce-eager", "VLLM_LOGGING_CONFIG_PATH": "json"},
            nothing,
            65,
            "weights-mismatch",
            ["model.layers.3."],
            id="weights of fewer layers, with logs in JSON",
        ),
        pytest.param(
            {"vocab_size": 4_000_000_000},
            {
                "ARG": "--enforce-eager --load-format dummy",
                "VLLM_LOGGING_CONFIG_PATH": "json",
            },
            nothing,
            71,
            "host-out-of-memory",
            ["bytes of main memory"],
            id="a model larger than the memory, with logs in JSON",
        ),
        pytest.param(
            {}, {}, kill_the_worker, 70, "killed", ["phase compile"], id="a killed worker"
        ),
    ],
)
def test_the_cause_is_named(
    home: Path,
    tmp_path: Path,
    changed: dict[str, object],
    variables: dict[str, str],
    act: Callable[[Launch], None],
    code: int,
    kind: str,
    words: list[str],
) -> None:
    told = tmp_path / "termination-log"
    model = str(a_model(tmp_path / "model", **changed)) if changed else DEMO
    if "VLLM_LOGGING_CONFIG_PATH" in variables:
        path = json_logging(tmp_path / "logging.json")
        variables = {**variables, "VLLM_LOGGING_CONFIG_PATH": path}
    launch = Launch(
        environment(
            home,
            MODEL_ID=model,
            HF_HUB_CACHE=str(DEMO_CACHE),
            TERMINATION_LOG=str(told),
            **variables,
        ),
        tmp_path / "log",
    )
    try:
        launch.until_listening()
        below = launch.until_the_engine_runs()
        act(launch)
        assert launch.process.wait(300) == code, launch.tail()
    finally:
        launch.stop(signal.SIGKILL)
    message = told.read_text()
    assert message.startswith(f"{kind} (exit code {code}): "), message
    for word in words:
        assert word in message
        assert word in launch.log.read_text()
    assert not [pid for pid in below if running(pid)]
