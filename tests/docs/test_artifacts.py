"""docs/artifacts.md: each command runs as printed, in order, in one folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploy_files import ROOT
from tests.support.hub_stand_in import Hub, serve_hub
from tests.support.launch import COMMAND
from tests.support.models import COMMIT, FALCON, model_files
from tests.support.object_stores import serve_s3

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "artifacts.md").read_text(), re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
CONFIG = {"model_type": "falcon", "architectures": ["FalconForCausalLM"]}


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a hub with Falcon, and of an object store with a bucket."""
    import boto3

    files = {**model_files(), "config.json": json.dumps(CONFIG).encode()}
    with serve_hub(Hub(files)) as hub, serve_s3() as store:
        names = {
            "AWS_ENDPOINT_URL": store.address,
            "AWS_ACCESS_KEY_ID": "AKIA-of-the-test",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=store.address,
            aws_access_key_id=names["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=names["AWS_SECRET_ACCESS_KEY"],
            region_name=names["AWS_DEFAULT_REGION"],
        )
        client.create_bucket(Bucket="my-bucket")
        client.close()
        yield {
            **names,
            "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "HF_ENDPOINT": hub.address,
            "ACCELERATOR": "cpu",
        }


@pytest.mark.slow
def test_every_command_runs_in_order(tmp_path: Path, environ: dict[str, str]) -> None:
    """Run every command. Instead of `serve`, plan the launch and check the model's source."""
    served = 0
    (tmp_path / "home").mkdir()
    for line in COMMANDS:
        words = line.replace("inference-server serve", "inference-server plan --json")
        done = subprocess.run(
            words, shell=True, cwd=tmp_path, env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, (line, done.stderr)
        if words != line:
            served += 1
            model = json.loads(done.stdout)["model"]
            assert model["source"] in ("tarball", "object-store"), line
    assert served == 2


@pytest.mark.slow
def test_push_prints_the_key_on_the_page(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "home").mkdir()
    key = f"models/falcon/{COMMIT[:7]}/{FALCON.replace('/', '--')}.tar"
    page = (ROOT / "docs" / "artifacts.md").read_text()
    assert f"s3://my-bucket/{key}" in page
    for line in COMMANDS[:4]:
        done = subprocess.run(
            shlex.split(line), cwd=tmp_path, env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, (line, done.stderr)
    assert f"s3://my-bucket/{key}" in done.stdout
