"""The wire form of every message, and that it is read back."""

import json
from pathlib import Path

import pytest

from entrypoint.store.progress import Progress
from entrypoint.store.transfer_process.messages import (
    TYPES,
    Downloaded,
    DownloadJob,
    Failure,
    ListedFile,
    Message,
    Notice,
    Pulled,
    PullJob,
    decode,
    encode,
)

COMMIT = "0" * 40
WIRE: list[tuple[Message, str]] = [
    (
        DownloadJob(
            "org/name",
            "v1",
            "hf_secret",
            Path("/cache"),
            endpoint="https://mirror",
            include=("*.json",),
            exclude=("a*", "b*"),
            format="gguf",
            workers=4,
            dry_run=True,
        ),
        '{"type": "download", "repository": "org/name", "revision": "v1", "token": "hf_secret", '
        '"root": "/cache", "endpoint": "https://mirror", "include": ["*.json"], '
        '"exclude": ["a*", "b*"], "format": "gguf", "workers": 4, "dry_run": true}',
    ),
    (
        DownloadJob("org/name", None, None, Path("/cache")),
        '{"type": "download", "repository": "org/name", "revision": null, "token": null, '
        '"root": "/cache", "endpoint": null, "include": [], "exclude": [], "format": null, '
        '"workers": 8, "dry_run": false}',
    ),
    (
        PullJob("s3://bucket/key.tar", Path("/scratch/key.tar")),
        '{"type": "pull", "uri": "s3://bucket/key.tar", "target": "/scratch/key.tar"}',
    ),
    (
        Progress(1, 20, {"a.json": (1, 2)}),
        '{"type": "progress", "done": 1, "total": 20, "files": {"a.json": [1, 2]}}',
    ),
    (Notice("trying again"), '{"type": "notice", "text": "trying again"}'),
    (
        Downloaded(Path("/cache/s"), COMMIT, (ListedFile("a.json", 20, 5),), 15, 1000),
        f'{{"type": "downloaded", "path": "/cache/s", "commit": "{COMMIT}", '
        '"files": [{"name": "a.json", "size": 20, "present": 5}], "fetched": 15, "free": 1000}',
    ),
    (
        Pulled(Path("/scratch/key.tar"), 20, 15, "ab", "etag"),
        '{"type": "pulled", "path": "/scratch/key.tar", "size": 20, "fetched": 15, '
        '"sha256": "ab", "verified": "etag"}',
    ),
    (
        Failure("format", "bin, gguf", ("bin", "gguf")),
        '{"type": "failure", "kind": "format", "detail": "bin, gguf", '
        '"formats": ["bin", "gguf"], "variable": null, "hint": null}',
    ),
    (
        Failure("machine", "no boto3", variable="MODEL_ID", hint="Install it."),
        '{"type": "failure", "kind": "machine", "detail": "no boto3", "formats": [], '
        '"variable": "MODEL_ID", "hint": "Install it."}',
    ),
]
IDS = [f"{type(message).__name__}-{number}" for number, (message, _) in enumerate(WIRE)]


@pytest.mark.parametrize(("message", "line"), WIRE, ids=IDS)
def test_each_message_has_its_wire_form(message: Message, line: str) -> None:
    assert encode(message) == line


@pytest.mark.parametrize(("message", "line"), WIRE, ids=IDS)
def test_each_message_is_read_back(message: Message, line: str) -> None:
    assert decode(line) == message


def test_each_type_has_a_snapshot() -> None:
    assert {json.loads(line)["type"] for _, line in WIRE} == TYPES.keys()


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "{}", '{"type": "other"}', '{"type": "notice"}', '{"type": "notice", "a": 1}'],
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of the parser or of decode
        decode(line)


def test_secrets_are_not_shown() -> None:
    job = DownloadJob("org/name", None, "hf_secret", Path("/cache"))
    assert "hf_secret" not in repr(job)
    assert "sig=word" not in repr(PullJob("https://a.blob/c/d?sig=word", Path("/a")))


def test_a_download_adds_up_its_files() -> None:
    files = (ListedFile("a", 20, 5), ListedFile("b", 10, 10))
    downloaded = Downloaded(Path("/s"), COMMIT, files, 15, 1000)
    assert (downloaded.size, downloaded.missing) == (30, 15)
