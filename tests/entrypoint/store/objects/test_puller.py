"""The process that pulls: its result, its progress, and its failures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from entrypoint.errors import InferenceServerError, RefusedArtifact, SettingError
from entrypoint.store.objects.puller import failure_of, run
from entrypoint.store.progress import Progress
from entrypoint.store.transfer_process.messages import Failure, Message, Pulled, PullJob
from tests.support.object_stores import BUCKET, KEY, MIB, URI, S3StandIn, open_s3


def test_the_result_is_what_was_pulled(tmp_path: Path, s3: S3StandIn) -> None:
    open_s3().client.put_object(Bucket=BUCKET, Key=KEY, Body=bytes(2 * MIB))
    sent: list[Message] = []
    result = run(PullJob(URI, tmp_path / "a.tar"), os.environ, sent.append)
    assert isinstance(result, Pulled)
    assert (result.path, result.size, result.verified) == (tmp_path / "a.tar", 2 * MIB, "etag")
    assert sent[-1] == Progress(2 * MIB, 2 * MIB)


def test_an_error_is_a_failure(tmp_path: Path, s3: S3StandIn) -> None:
    result = run(PullJob(URI, tmp_path / "a.tar"), os.environ, lambda message: None)
    assert isinstance(result, Failure)
    assert result.kind == "model-not-found"
    assert URI in result.detail


def test_the_settings_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"S3_ENDPOINT": "http://[", "AWS_DEFAULT_REGION": "us-east-1"}
    result = run(PullJob(URI, tmp_path / "a.tar"), environ, lambda message: None)
    assert isinstance(result, Failure)
    assert (result.kind, result.variable) == ("setting", "S3_ENDPOINT")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            SettingError("X is wrong.", variable="X", hint="Set X."),
            Failure("setting", "X is wrong.", variable="X", hint="Set X."),
        ),
        (
            RefusedArtifact(Path("/a.tar"), "its SHA-256 differs", hint="Pull it again."),
            Failure("refused-artifact", "its SHA-256 differs", hint="Pull it again."),
        ),
    ],
)
def test_a_failure_has_the_attributes_of_the_error(
    error: InferenceServerError, failure: Failure
) -> None:
    assert failure_of(error) == failure
