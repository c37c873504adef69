"""``push``: where a tarball goes, and what is said of it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.models import (
    COMPRESSIONS,
    model_files,
    pack,
    write_files,
    write_snapshot,
)
from tests.support.object_stores import (
    BUCKET,
    MIB,
    URI,
    Asked,
    S3StandIn,
    open_s3,
    random_file,
)

FILES = model_files() | {"config.json": b'{"model_type": "falcon"}'}


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    write_snapshot(tmp_path / "source", files=FILES)
    return pack(tmp_path / "source", tmp_path / "any-name.tar")


def keys() -> list[str]:
    answer = open_s3().client.list_objects_v2(Bucket=BUCKET)
    return [item["Key"] for item in answer.get("Contents", ())]


class TestKey:
    @pytest.mark.parametrize(
        ("uri", "key"),
        [
            ("", "models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct.tar"),
            ("/team/", "team/models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct.tar"),
            ("/a/b.tar", "a/b.tar"),
            ("/b", "b"),
        ],
    )
    def test_by_convention_or_as_it_is(
        self,
        tarball: Path,
        s3: S3StandIn,
        capsys: pytest.CaptureFixture[str],
        uri: str,
        key: str,
    ) -> None:
        assert main(["push", str(tarball), f"s3://{BUCKET}{uri}"]) == 0
        assert keys() == [key]
        printed = capsys.readouterr()
        assert printed.out.startswith(f"s3://{BUCKET}/{key} (")
        assert printed.out.count("\n") == 1
        assert printed.err == ""

    @pytest.mark.parametrize(("compression", "suffix"), COMPRESSIONS.items())
    def test_it_tells_how_it_is_packed(
        self, tmp_path: Path, s3: S3StandIn, compression: str, suffix: str
    ) -> None:
        write_snapshot(tmp_path / "source", files=FILES)
        archive = pack(tmp_path / "source", tmp_path / "a.tar", compression)
        assert main(["push", str(archive), f"s3://{BUCKET}"]) == 0
        assert keys() == [f"models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct{suffix}"]

    def test_the_family_can_be_said(self, tarball: Path, s3: S3StandIn) -> None:
        assert main(["push", str(tarball), f"s3://{BUCKET}/", "--family", "birds"]) == 0
        assert keys() == ["models/birds/cf4b3c4/tiiuae--falcon-7b-instruct.tar"]

    def test_the_family_of_a_whole_key_is_an_error(
        self, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["push", str(tarball), URI, "--family", "birds"]) == 64
        assert "--family" in capsys.readouterr().err
        assert keys() == []

    def test_a_plain_model_needs_a_whole_key(
        self, tmp_path: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_files(tmp_path / "source", FILES)
        archive = str(pack(tmp_path / "source", tmp_path / "a.tar"))
        assert main(["push", archive, f"s3://{BUCKET}/"]) == 64
        assert "whole key" in capsys.readouterr().err
        assert main(["push", archive, URI]) == 0


class TestAnswer:
    def test_json(self, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["push", str(tarball), f"s3://{BUCKET}", "--json"]) == 0
        size = tarball.stat().st_size
        assert json.loads(capsys.readouterr().out) == {
            "uri": URI,
            "sha256": hashlib.sha256(tarball.read_bytes()).hexdigest(),
            "bytes": size,
            "sent_bytes": size,
            "replaced": False,
        }

    def test_what_is_there_already(
        self, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["push", str(tarball), URI])
        capsys.readouterr()
        assert main(["push", str(tarball), URI]) == 0
        assert capsys.readouterr().out == f"{URI} is there already\n"

    def test_another_content_in_its_place(
        self, tmp_path: Path, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["push", str(random_file(tmp_path / "other.tar", 9)), URI])
        assert main(["push", str(tarball), URI]) == 0
        assert "in place of another content" in capsys.readouterr().out


def test_a_push_that_was_killed_goes_on(tmp_path: Path, s3: S3StandIn) -> None:
    """Killed when its last part arrives, before the store has it: only that one is sent again."""
    source = random_file(tmp_path / "a.tar", 24 * MIB + 1)
    command = [sys.executable, "-m", "entrypoint", "push", str(source), URI, "--max-workers=1"]
    environ = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "scratch")}
    process = subprocess.Popen(command, env=environ)

    def fault(asked: Asked) -> str | None:
        if asked.part != 4:
            return None
        process.kill()
        process.wait()
        return "SlowDown"

    s3.fault = fault
    assert process.wait() == -signal.SIGKILL
    s3.fault = lambda asked: None
    assert sorted(s3.sent_parts()) == [1, 2, 3, 4]
    assert keys() == []
    s3.requests.clear()
    assert main(["push", str(source), URI], environ) == 0
    assert s3.sent_parts() == [4]
    assert main(["pull", URI, str(tmp_path / "b.tar")]) == 0
    assert (tmp_path / "b.tar").read_bytes() == source.read_bytes()


class TestErrors:
    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["no-such.tar", URI], 74, "no-such.tar"),
            (["a.tar", "no-uri"], 64, "'no-uri'"),
            (["a.tar", URI, "--max-workers", "0"], 64, "--max-workers"),
            (["a.tar", "s3://no-such-bucket/a.tar"], 66, "no-such-bucket"),
        ],
    )
    def test_exit_code(
        self,
        tmp_path: Path,
        s3: S3StandIn,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        code: int,
        said: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        random_file(tmp_path / "a.tar", 1)
        assert main(["push", *words]) == code
        assert said in capsys.readouterr().err

    def test_no_secret_is_told(
        self, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        assert main(["push", str(tarball), f"s3://no-such-bucket/{secret}", "--json"]) == 66
        printed = capsys.readouterr()
        assert secret not in printed.out + printed.err
        assert "***" in printed.err
