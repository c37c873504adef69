"""A launch that cannot start fails at once: it names the cause and the fix, with its exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from entrypoint.planning.listen import Listen
from entrypoint.status.listener import open_listener
from tests.support.launch import DEMO, DEMO_CACHE, environment, run
from tests.support.ports import free_port

GOOD = {"MODEL_ID": DEMO, "HF_HUB_CACHE": str(DEMO_CACHE), "HOST": "127.0.0.1"}


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A copy of the demo model's cache, to damage."""
    return shutil.copytree(DEMO_CACHE, tmp_path / "cache", symlinks=True)


def snapshot(cache: Path) -> Path:
    return next(cache.glob("models--*/snapshots/*"))


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        # mistakes of the published examples
        ({"MODEL_ID": "", "MODELID": DEMO}, 78, ["MODELID", "MODEL_ID"]),
        ({"HF_HUB_CACHE": "/mnt/model"}, 66, ["/mnt/model", "inference-server download"]),
        ({"REVISION": "1"}, 66, ["REVISION", "'1'", "main", "ServingTemplate"]),
        ({"PORT": "tcp://10.0.0.1:9000"}, 78, ["PORT", "tcp://10.0.0.1:9000"]),
        # the rest of the contract
        ({"MODEL_ID": DEMO.lower()}, 66, [DEMO, "Did you mean"]),
        ({"REVISION": "v2"}, 66, ["REVISION", "v2", "v1"]),
        ({"TRUST_REMOTE_CODE": "maybe"}, 78, ["TRUST_REMOTE_CODE", "maybe"]),
        ({"DTYPE": "float12"}, 78, ["DTYPE", "float12", "bfloat16"]),
        ({"NUM_SHARD": "0"}, 78, ["NUM_SHARD"]),
        ({"ACCELERATOR": "cuda"}, 71, ["ACCELERATOR=cuda", "cpu"]),
        ({"MODEL_TARBALL": "/nowhere.tar"}, 78, ["MODEL_TARBALL", "/nowhere.tar"]),
        ({"MODEL_ID": "/no/such/dir"}, 66, ["/no/such/dir"]),
        ({"HOST": "192.0.2.1"}, 78, ["HOST", "192.0.2.1"]),
        # ARG
        ({"ARG": "--max-model-length 100"}, 78, ["--max-model-length", "--max-model-len?"]),
        ({"ARG": "--max-model-len many"}, 78, ["--max-model-len", "many"]),
        ({"ARG": "--chat-template '{{ x }}"}, 78, ["ARG", "quote"]),
        ({"ARG": "--dtype"}, 78, ["--dtype"]),
        ({"ARG": "--port 99999"}, 78, ["--port", "99999"]),
        ({"ARG": "--port 0"}, 78, ["--port"]),
        ({"ARG": "--tensor-parallel-size 0"}, 78, ["--tensor-parallel-size"]),
        ({"ARG": "--ssl-certfile /no.pem --ssl-keyfile /no.key"}, 78, ["/no.pem", "No such file"]),
        ({"ARG": "--uds /no/such/folder/s"}, 71, ["/no/such/folder/s"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_reported_by_name(
    tmp_path: Path, variables: dict[str, str], code: int, words: list[str]
) -> None:
    environ = environment(tmp_path, **{**GOOD, "PORT": str(free_port()), **variables})
    done = run(["serve"], environ)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_programs_get_an_error_as_json(tmp_path: Path) -> None:
    done = run(["plan", "--json"], environment(tmp_path, **{**GOOD, "REVISION": "1"}))
    assert done.returncode == 66
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "revision-not-found"
    assert error["variable"] == "REVISION"
    assert error["hint"]


class TestDamagedModels:
    def refused(self, tmp_path: Path, damaged: Path, *words: str) -> None:
        environ = environment(tmp_path, **{**GOOD, "HF_HUB_CACHE": str(damaged)})
        done = run(["serve"], {**environ, "PORT": str(free_port())})
        assert done.returncode == 65, done.stderr
        for word in words:
            assert word in done.stderr

    def test_a_dangling_link_is_reported(self, tmp_path: Path, damaged: Path) -> None:
        (snapshot(damaged) / "model.safetensors").resolve().unlink()
        self.refused(tmp_path, damaged, "model.safetensors")

    def test_an_empty_file_is_reported(self, tmp_path: Path, damaged: Path) -> None:
        (snapshot(damaged) / "tokenizer.json").resolve().write_bytes(b"")
        self.refused(tmp_path, damaged, "tokenizer.json", "empty")

    def test_truncated_weights_are_reported(self, tmp_path: Path, damaged: Path) -> None:
        weights = (snapshot(damaged) / "model.safetensors").resolve()
        weights.write_bytes(weights.read_bytes()[:-1000])
        self.refused(tmp_path, damaged, "model.safetensors")

    def test_a_missing_shard_of_the_index_is_reported(self, tmp_path: Path, damaged: Path) -> None:
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model.safetensors"}}
        (snapshot(damaged) / "model.safetensors.index.json").write_text(json.dumps(index))
        self.refused(tmp_path, damaged, "model-00001-of-00002.safetensors", "missing")


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    port = free_port()
    with open_listener(Listen("127.0.0.1", port)):
        done = run(["serve"], environment(tmp_path, **GOOD, PORT=str(port)))
    assert done.returncode == 71
    assert str(port) in done.stderr
