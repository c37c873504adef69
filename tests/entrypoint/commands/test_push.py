"""``push``: where the tarball is, and what is printed."""

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
    def test_the_key_is_given_or_follows_the_convention(
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
    def test_the_suffix_of_the_key_names_the_compression(
        self, tmp_path: Path, s3: S3StandIn, compression: str, suffix: str
    ) -> None:
        write_snapshot(tmp_path / "source", files=FILES)
        archive = pack(tmp_path / "source", tmp_path / "a.tar", compression)
        assert main(["push", str(archive), f"s3://{BUCKET}"]) == 0
        assert keys() == [f"models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct{suffix}"]

    def test_the_option_sets_the_family(self, tarball: Path, s3: S3StandIn) -> None:
        assert main(["push", str(tarball), f"s3://{BUCKET}/", "--family", "birds"]) == 0
        assert keys() == ["models/birds/cf4b3c4/tiiuae--falcon-7b-instruct.tar"]

    def test_the_family_of_a_full_key_is_an_error(
        self, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["push", str(tarball), URI, "--family", "birds"]) == 64
        assert "--family" in capsys.readouterr().err
        assert keys() == []

    def test_a_plain_model_needs_a_full_key(
        self, tmp_path: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_files(tmp_path / "source", FILES)
        archive = str(pack(tmp_path / "source", tmp_path / "a.tar"))
        assert main(["push", archive, f"s3://{BUCKET}/"]) == 64
        assert "full key" in capsys.readouterr().err
        assert main(["push", archive, URI]) == 0


class TestAnswer:
    def test_json_names_the_object_and_its_checksum(
        self, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["push", str(tarball), f"s3://{BUCKET}", "--json"]) == 0
        size = tarball.stat().st_size
        assert json.loads(capsys.readouterr().out) == {
            "uri": URI,
            "sha256": hashlib.sha256(tarball.read_bytes()).hexdigest(),
            "bytes": size,
            "sent_bytes": size,
            "replaced": False,
        }

    def test_an_object_that_is_up_to_date_is_reported(
        self, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["push", str(tarball), URI])
        capsys.readouterr()
        assert main(["push", str(tarball), URI]) == 0
        assert capsys.readouterr().out == f"{URI} is up to date\n"

    def test_replacing_other_content_is_reported(
        self, tmp_path: Path, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["push", str(random_file(tmp_path / "other.tar", 9)), URI])
        assert main(["push", str(tarball), URI]) == 0
        assert "replacing other content" in capsys.readouterr().out


def test_a_killed_push_resumes(tmp_path: Path, s3: S3StandIn) -> None:
    """A push is killed before the store has its last part: only that part is sent again."""
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
        ("words", "code", "shown"),
        [
            (["no-such.tar", URI], 66, "no-such.tar does not exist"),
            (["a-file/no-such.tar", URI], 66, "a-file/no-such.tar does not exist"),
            (["a-folder", URI], 64, "inference-server pack a-folder"),
            (["a.tar", "no-uri"], 64, "'no-uri'"),
            (["a.tar", URI, "--max-workers", "0"], 64, "--max-workers"),
            (["a.tar", "s3://no-such-bucket/a.tar"], 66, "no-such-bucket"),
        ],
    )
    def test_each_error_has_its_exit_code(
        self,
        tmp_path: Path,
        s3: S3StandIn,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        code: int,
        shown: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        random_file(tmp_path / "a.tar", 1)
        (tmp_path / "a-file").touch()
        (tmp_path / "a-folder").mkdir()
        assert main(["push", *words]) == code
        assert shown in capsys.readouterr().err

    def test_no_secret_is_printed(
        self, tarball: Path, s3: S3StandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        assert main(["push", str(tarball), f"s3://no-such-bucket/{secret}", "--json"]) == 66
        printed = capsys.readouterr()
        assert secret not in printed.out + printed.err
        assert "***" in printed.err
