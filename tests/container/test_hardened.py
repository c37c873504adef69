"""The images serve as any user, if only /tmp and /dev/shm are writable."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from images.engine import Engine
from tests.support.containers import ARBITRARY, NOBODY, Pod, health_check
from tests.support.launch import DEMO, DRAIN_SECONDS

SERVICES = {"VLLM_PORT": "tcp://10.0.0.7:8000", "VLLM_SERVICE_HOST": "10.0.0.7"}
"""What Kubernetes injects if a Service is called vllm."""


def client(pod: Pod) -> OpenAI:
    return OpenAI(base_url=f"{pod.url}/v1", api_key="none", max_retries=0)


def answer(pod: Pod) -> str:
    completion = client(pod).chat.completions.create(
        model=DEMO,
        messages=[{"role": "user", "content": "What is this?"}],
        temperature=0,
        max_tokens=40,
    )
    return completion.choices[0].message.content or ""


@pytest.fixture(scope="module", params=["cpu", "openvino"])
def image(request: pytest.FixtureRequest) -> str:
    name: str = request.getfixturevalue(f"{request.param}_image")
    return name


@pytest.fixture(scope="module")
def nobody(engine: Engine, image: str) -> Iterator[Pod]:
    """A pod that runs as uid 65534, ready."""
    pod = Pod(engine, image, environ={**SERVICES, "SHUTDOWN_TIMEOUT": DRAIN_SECONDS})
    try:
        pod.until_ready()
        yield pod
    finally:
        pod.remove()


class TestNobody:
    def test_it_answers_a_question(self, nobody: Pod) -> None:
        assert answer(nobody).startswith("This is an inference server")

    def test_it_runs_without_privileges(self, nobody: Pod) -> None:
        state = nobody.inspect()["State"]
        status = Path(f"/proc/{state['Pid']}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        assert fields["Uid"].split() == ["65534"] * 4
        assert int(fields["CapEff"], 16) == 0
        assert fields["NoNewPrivs"].strip() == "1"

    def test_the_first_process_is_the_entrypoint(self, nobody: Pod) -> None:
        pid = nobody.inspect()["State"]["Pid"]
        line = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        assert line[1].endswith("/inference-server")
        assert line[2] == "serve"

    def test_the_health_check_succeeds(self, nobody: Pod, engine: Engine, image: str) -> None:
        """The image's own command, run in the container as the engine runs it."""
        _, *command = health_check(engine, image)
        done = engine.run("exec", nobody.name, *command)
        assert "answers 200" in done.stdout

    def test_injected_variables_are_logged(self, nobody: Pod) -> None:
        assert "VLLM_PORT" in nobody.logs()

    def test_a_stream_in_a_pod_finishes_after_sigterm(self, nobody: Pod) -> None:
        """1. A long stream runs. 2. SIGTERM. 3. The stream completes. 4. Exit code 0.

        The last test of this container.
        """
        reason = None
        stream: Any = client(nobody).completions.create(
            model=DEMO,
            prompt="What is this?",
            max_tokens=600,
            temperature=0,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        for piece, chunk in enumerate(stream):
            if piece == 5:
                threading.Thread(target=nobody.signal, args=("TERM",)).start()
            reason = chunk.choices[0].finish_reason or reason
        assert nobody.exit_code() == 0, nobody.logs()
        assert reason == "length"


def test_a_user_without_a_name_can_serve(engine: Engine, image: str) -> None:
    """OpenShift picks a uid without a line in /etc/passwd, and the group root."""
    pod = Pod(engine, image, user=ARBITRARY)
    try:
        pod.until_ready()
        assert answer(pod).startswith("This is an inference server")
        pod.signal("TERM")
        assert pod.exit_code() == 0, pod.logs()
    finally:
        pod.remove()


def test_the_default_user_is_not_root(engine: Engine, image: str) -> None:
    """Without --user, the image does not run as root."""
    user = engine.run("image", "inspect", "--format", "{{.Config.User}}", image).stdout.strip()
    assert user == NOBODY
