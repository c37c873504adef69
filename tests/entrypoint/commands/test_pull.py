"""``pull``: where the file is, what is printed, and that a kill does no harm."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from entrypoint.cli import main
from entrypoint.store.objects.pull import journal_of
from entrypoint.store.writing.publish import partial_path
from tests.support.object_stores import (
    BUCKET,
    KEY,
    MIB,
    URI,
    Asked,
    S3StandIn,
    open_s3,
    random_file,
)

NAME = KEY.rpartition("/")[2]
KILLS = 50
WORKERS = 2
PART_SECONDS = 0.05


@pytest.fixture
def content(tmp_path: Path, s3: S3StandIn) -> bytes:
    source = random_file(tmp_path / "source.tar", 3 * MIB + 7)
    assert main(["push", str(source), URI]) == 0
    return source.read_bytes()


class TestDestination:
    @pytest.mark.parametrize(
        ("words", "path"),
        [
            ([], NAME),
            (["."], NAME),
            (["folder"], f"folder/{NAME}"),
            (["new/"], f"new/{NAME}"),
            (["b.tar"], "b.tar"),
        ],
    )
    def test_the_destination_is_a_file_or_a_folder(
        self,
        tmp_path: Path,
        content: bytes,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        path: str,
    ) -> None:
        (tmp_path / "here" / "folder").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")
        capsys.readouterr()
        assert main(["pull", URI, *words]) == 0
        assert Path(path).read_bytes() == content
        printed = capsys.readouterr()
        assert printed.out == f"{path} (3.0 MiB, SHA-256 verified)\n"
        assert printed.err == ""


class TestAnswer:
    def test_json_names_the_file_and_its_checksum(
        self, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        assert main(["pull", URI, str(tmp_path / "b.tar"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "uri": URI,
            "path": str(tmp_path / "b.tar"),
            "bytes": len(content),
            "fetched_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "verified": "sha256",
        }

    def test_a_file_that_is_up_to_date_is_reported(
        self, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["pull", URI, str(tmp_path / "source.tar")]) == 0
        assert "is up to date" in capsys.readouterr().out

    def test_an_object_without_a_checksum_is_reported(
        self, tmp_path: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        open_s3().client.put_object(Bucket=BUCKET, Key=KEY, Body=b"by others")
        assert main(["pull", URI, str(tmp_path / "b.tar")]) == 0
        assert "ETag verified: the object has no SHA-256" in capsys.readouterr().out

    def test_a_missing_key_is_an_error_in_json(
        self, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        assert main(["pull", f"{URI}.gz", str(tmp_path), "--json"]) == 66
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["code"] == "model-not-found"
        assert f"Did you mean {URI!r}?" in error["message"]


@pytest.mark.slow
def test_a_pull_killed_at_random_moments_loses_little(tmp_path: Path, s3: S3StandIn) -> None:
    """A file under its final name is the object, whenever the process is killed.

    Each run resumes the killed one before it. Once the file is complete, it is removed, and the
    next run starts from scratch.
    """
    source = random_file(tmp_path / "source.tar", 8 * MIB)
    assert main(["push", str(source), URI]) == 0
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    target = tmp_path / "pulled" / "a.tar"
    command = [sys.executable, "-m", "entrypoint", "pull", URI, str(target)]
    command += ["--max-workers", str(WORKERS)]
    chance = random.Random(1)

    def run() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def slow(asked: Asked) -> None:
        if asked.range:
            time.sleep(PART_SECONDS)

    s3.fault = slow
    killed_in_the_middle = completed = 0
    for number in range(KILLS):
        asked = len(s3.gets())
        process = run()
        # a few are killed before the transfer starts, the others during the transfer
        until = time.monotonic() + (chance.uniform(0, 0.5) if number % 10 == 0 else 30)
        while len(s3.gets()) == asked and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 12 * PART_SECONDS / WORKERS))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if target.exists():
            assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
            target.unlink()
            completed += 1
        elif partial_path(target).exists():
            killed_in_the_middle += 1
    assert run().wait() == 0
    assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
    assert not journal_of(target).exists()
    assert os.listdir(target.parent) == [target.name]
    assert killed_in_the_middle > KILLS / 5
    assert completed
