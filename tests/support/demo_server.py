"""The server that most tests with an engine share: the real vLLM, started once a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.launch import DEMO, DEMO_CACHE, KEY, PAGE, Launch, environment
from tests.support.workers import shared_folder

TOOLS = "--enable-auto-tool-choice --tool-call-parser hermes"
"""Options for tool calls in the format of Hermes, which vLLM can make any model write."""


_running: list[Launch] = []


def stop_demo_server() -> None:
    """Stop the server, if it runs, as the last test that uses it has ended.

    The supervisor's tests, which may be the next ones in this process, end all processes below it.
    """
    while _running:
        launch = _running.pop()
        assert launch.stop() == 0, launch.tail()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A home for all engines of the run, so that they share what they compile."""
    return shared_folder(tmp_path_factory, worker_id, "home")


@pytest.fixture(scope="session")
def loading(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """The demo model in float32, from the first moment of the launch.

    It calls tools, in the format of Hermes. Metrics need no key; a Kubernetes Service is called
    vllm. Some options come from a configuration file.
    """
    from benchmarks.soak import CONCURRENT, QUEUED  # it imports much that `make unit` needs not

    options = tmp_path_factory.mktemp("options") / "vllm.yaml"
    options.write_text(f"allowed-origins: ['{PAGE}']\nhost: 127.0.0.1\nmax_model_len: 2k\n")
    launch = Launch(
        environment(
            home,
            MODEL_ID=DEMO,
            HF_HUB_CACHE=str(DEMO_CACHE),
            DTYPE="float32",
            API_KEY=KEY,
            METRICS_PUBLIC="1",
            MAX_CONCURRENT_REQUESTS=str(CONCURRENT),
            MAX_QUEUED_REQUESTS=str(QUEUED),
            ARG=f"--config {options} {TOOLS}",
            VLLM_PORT="tcp://10.96.0.7:8000",
        ),
        tmp_path_factory.mktemp("server") / "log",
    )
    _running.append(launch)
    yield launch
    stop_demo_server()


@pytest.fixture(scope="session")
def server(loading: Launch) -> Launch:
    """The same server, ready."""
    return loading.until_ready()
