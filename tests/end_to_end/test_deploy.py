"""What is deployed beside the server, with the real server: the smoke client, the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy_files import DEPLOY, expressions
from tests.support.deploy_tools import tool
from tests.support.launch import DEMO, KEY, Launch
from tests.support.ports import free_port


class TestSmoke:
    def smoke(self, server: Launch, key: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(DEPLOY / "smoke.py"), server.url]
        return subprocess.run(words, env={"API_KEY": key}, capture_output=True, text=True)

    def test_the_smoke_client_prints_the_answer(self, server: Launch) -> None:
        done = self.smoke(server, KEY)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("inference-server--Demo-Llama: This is an inference server")

    def test_the_smoke_client_reports_a_wrong_key(self, server: Launch) -> None:
        done = self.smoke(server, "wrong")
        assert (done.returncode, done.stdout) == (1, "")
        assert "401" in done.stderr


def test_v1_has_the_same_metrics(server: Launch) -> None:
    names = [
        [line.split()[2] for line in server.ask(path)[2].decode().splitlines() if "# TYPE" in line]
        for path in ("/metrics", "/v1/metrics")
    ]
    assert names[0] == names[1]
    assert len(names[0]) > 10


def test_the_dashboards_metrics_are_vllms(server: Launch) -> None:
    server.chat("What is this?", DEMO, KEY)
    status, _, body = server.ask("/metrics")
    assert status == 200
    there = set(re.findall(r"^([a-zA-Z_:]\w*(?::\w+)*)", body.decode(), re.MULTILINE))
    used = set(re.findall(r"vllm:\w+", " ".join(expressions())))
    assert len(used) > 10
    assert used <= there


class Prometheus:
    """Debian's Prometheus, with our configuration pointed at one server."""

    def __init__(self, server: Launch, directory: Path) -> None:
        document = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())
        document["global"]["scrape_interval"] = "200ms"
        document["scrape_configs"][0]["static_configs"] = [
            {"targets": [f"127.0.0.1:{server.port}"]}
        ]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(document))
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        self.log = directory / "log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    tool("prometheus"),
                    f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address={address}",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def query(self, expression: str) -> list[Any]:
        words = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{words}", timeout=30) as answer:
            found: list[Any] = json.load(answer)["data"]["result"]
        return found

    def until(self, expression: str) -> list[Any]:
        """Query until the answer is not empty; return it."""
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, (expression, self.log.read_text())
            try:
                if found := self.query(expression):
                    return found
            except OSError:
                pass
            time.sleep(0.1)


@pytest.fixture
def prometheus(server: Launch, tmp_path: Path) -> Iterator[Prometheus]:
    started = Prometheus(server, tmp_path)
    yield started
    started.process.terminate()
    started.process.wait(30)


def test_every_panel_shows_something(server: Launch, prometheus: Prometheus) -> None:
    [sample] = prometheus.until("up")
    assert sample["metric"]["job"] == "inference-server"
    prometheus.until("vllm:generation_tokens_total")
    server.chat("What is this?", DEMO, KEY)
    [running] = prometheus.until("rate(vllm:generation_tokens_total[1m]) > 0")
    assert running["metric"]["model_name"] == "inference-server--Demo-Llama"
    for expression in expressions():
        prometheus.until(f"({expression}) == ({expression})")  # no result if it is not a number
