"""The demo model served from a tarball, and found in each kind of tarball."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import urllib.request
from pathlib import Path

import pytest
import torch
import zstandard

from tests.support.launch import DEMO, DEMO_CACHE, Launch, environment, run

FOLDER = DEMO_CACHE / "models--inference-server--Demo-Llama"
SNAPSHOT = next((FOLDER / "snapshots").iterdir())
EAGER = {"ARG": "--enforce-eager"}
"""Weights are loaded in the same way if nothing is compiled, and the launch takes half the time."""


def pack(target: Path, layout: str) -> Path:
    """Pack the demo model as the guides do."""
    plain = target.with_suffix(".partial")
    gzipped = target.name.endswith(".gz")
    with tarfile.open(plain, "w:gz") if gzipped else tarfile.open(plain, "w") as archive:
        if layout == "cache":
            archive.add(FOLDER, FOLDER.name)
        elif layout == "folder":
            archive.add(FOLDER, f"inference-server--Demo-Llama/{FOLDER.name}")
        else:
            for file in SNAPSHOT.iterdir():
                archive.add(file.resolve(), file.name)
    if target.name.endswith(".zst"):
        target.write_bytes(zstandard.compress(plain.read_bytes()))
    else:
        target.write_bytes(plain.read_bytes())
    plain.unlink()
    return target


def test_a_mounted_tarball_is_unpacked_and_served(home: Path, tmp_path: Path) -> None:
    """1. The first start unpacks and serves. 2. The next one uses the unpacked model."""
    pack(tmp_path / "Demo-Llama.tar.zst", "folder")
    variables = {"MODEL_ID": DEMO, "HUGGINGFACE_HUB_CACHE": str(tmp_path)}
    launch = Launch(environment(home, **variables), tmp_path / "server.log")
    try:
        answer = launch.until_ready().chat("What is this?", "inference-server--demo-llama")
        status = json.loads(launch.ask("/v1/status")[2])
    finally:
        assert launch.stop() == 0, launch.tail()
    assert answer["choices"][0]["message"]["content"].startswith("This is an inference server")
    assert "unpack" in status["phases"]
    assert status["model"]["source"] == "tarball"
    assert status["model"]["revision"] == SNAPSHOT.name

    planned = json.loads(run(["plan", "--json"], environment(home, **variables)).stdout)
    assert planned["model"]["source"] == "tarball"
    assert Path(planned["model"]["path"], "model.safetensors").exists()


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_a_plain_tarball_is_served_without_unpacking_the_weights(
    home: Path, tmp_path: Path, ranks: str
) -> None:
    """1. Each rank loads the weights from the tarball. 2. No weights are written to the disk."""
    archive = pack(tmp_path / "Demo-Llama.tar", "cache")
    variables = {"MODEL_ID": DEMO, "MODEL_TARBALL": str(archive), "NUM_SHARD": ranks}
    launch = Launch(environment(home, DTYPE="float32", **EAGER, **variables), tmp_path / "log")
    try:
        answer = launch.until_ready().chat("What is this?", "inference-server--demo-llama")
        status = json.loads(launch.ask("/v1/status")[2])
    finally:
        assert launch.stop() == 0, launch.tail()
    assert answer["choices"][0]["message"]["content"].startswith("This is an inference server")
    assert status["model"]["revision"] == SNAPSHOT.name
    assert status["model"]["bytes"] == sum(file.stat().st_size for file in SNAPSHOT.iterdir())

    planned = json.loads(run(["plan", "--json"], environment(home, **variables)).stdout)
    options = {option["option"]: option["value"] for option in planned["options"]}
    assert options["--load-format"] == "tarball"
    weights = (SNAPSHOT / "model.safetensors").stat().st_size
    path = Path(planned["model"]["path"])
    assert 0 < (path / "model.safetensors").stat().st_size < weights / 100
    assert (path / "tokenizer.json").read_bytes() == (SNAPSHOT / "tokenizer.json").read_bytes()


def test_a_signed_tarball_is_served_from_an_object_store(home: Path, tmp_path: Path) -> None:
    """1. Pack, sign and push. 2. The launch fetches, checks signature and hashes, and serves."""
    from tests.support.object_stores import BUCKET, KEY, serve_s3

    for command in (
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"],
        ["openssl", "ec", "-in", "key.pem", "-pubout", "-out", "key.pub"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    archive, key = tmp_path / "demo.tar", tmp_path / "key.pem"
    signature = tmp_path / "demo.sig"
    with serve_s3() as store:
        variables = {
            "AWS_ENDPOINT_URL": store.address,
            "AWS_ACCESS_KEY_ID": "AKIA-of-the-test",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "MODEL_ID": f"s3://{BUCKET}/{KEY}",
            "MODEL_VERIFY": "full",
            "MODEL_SIGNATURE": str(signature),
            "MODEL_SIGNATURE_KEY": str(tmp_path / "key.pub"),
        }
        environ = environment(home, DTYPE="float32", **EAGER, **variables)
        request = urllib.request.Request(f"{store.address}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request).close()
        for words in (
            ["pack", str(DEMO_CACHE), "-o", str(archive)],
            ["sign", str(archive), "--private-key", str(key), "-o", str(signature)],
            ["push", str(archive), variables["MODEL_ID"]],
        ):
            done = run(words, environ)
            assert done.returncode == 0, done.stderr
        launch = Launch(environ, tmp_path / "server.log")
        try:
            answer = launch.until_ready().chat("What is this?", "inference-server--demo-llama")
            status = json.loads(launch.ask("/v1/status")[2])
        finally:
            assert launch.stop() == 0, launch.tail()
    assert answer["choices"][0]["message"]["content"].startswith("This is an inference server")
    assert {"download", "unpack", "verify"} <= status["phases"].keys()
    assert "secret-of-the-test" not in launch.log.read_text()


def test_pickled_weights_run_no_code(home: Path, tmp_path: Path) -> None:
    """The engine refuses a pickle that runs a command, and the command does not run."""
    ran = tmp_path / "ran"

    class Command:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {ran}",)

    model = tmp_path / "model"
    model.mkdir()
    for file in SNAPSHOT.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, model)
    torch.save({"model.norm.weight": Command()}, model / "pytorch_model.bin")
    with tarfile.open(tmp_path / "pickled.tar", "w") as archive:
        archive.add(model, "pickled")
    variables = {"MODEL_ID": DEMO, "MODEL_TARBALL": str(tmp_path / "pickled.tar")}
    done = run(["serve"], environment(home, **variables))
    assert done.returncode == 65, done.stderr
    assert not ran.exists()
    # the pickle does run where pickled code is allowed
    torch.load(model / "pytorch_model.bin", weights_only=False)
    assert ran.exists()


@pytest.mark.parametrize("layout", ["cache", "folder", "plain"])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "beside the cache"])
def test_a_tarball_of_each_kind_is_found(
    home: Path, tmp_path: Path, layout: str, suffix: str, named: bool
) -> None:
    archive = pack(tmp_path / f"inference-server--Demo-Llama{suffix}", layout)
    where = {"MODEL_TARBALL": str(archive)} if named else {"HF_HUB_CACHE": str(tmp_path)}
    done = run(["plan", "--json"], environment(home, MODEL_ID=DEMO, **where))
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)["model"]
    assert model["source"] == "tarball"
    assert model["searched"][-1]["way"] == "tarball"


def test_a_tarball_of_another_model_is_refused(home: Path, tmp_path: Path) -> None:
    archive = pack(tmp_path / "some.tar", "cache")
    environ = environment(home, MODEL_ID="Another/Model", MODEL_TARBALL=str(archive))
    done = run(["serve"], environ)
    assert done.returncode == 66, done.stderr
    assert DEMO in done.stderr
    assert "Another/Model" in done.stderr
