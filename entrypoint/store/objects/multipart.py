"""Uploading to S3 in parts, each with its SHA-256, and going on with an upload that was begun."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from entrypoint.errors import InferenceServerError, StoreError
from entrypoint.store.objects import problems
from entrypoint.store.objects.parts import Part, cut, upload_part_size
from entrypoint.store.objects.retry import Transient, retrying
from entrypoint.store.objects.s3 import S3Object
from entrypoint.store.objects.store import SHA256, Advance, Sent
from entrypoint.store.threads import Threads, take_finished
from entrypoint.store.writing.complete_file import write_text

log = logging.getLogger("inference-server")


class S3Store(S3Object):
    """One object in a bucket. See :class:`~entrypoint.store.objects.store.ObjectStore`."""

    def put(self, source: Path, sha256: str, scratch: Path, workers: int, advance: Advance) -> Sent:
        """Upload a file in parts; an unfinished upload is resumed."""
        return upload(self, source, sha256, scratch, workers, advance)


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that was begun, as it is remembered until it is complete.

    Its metadata cannot be asked for, so this says for which content it was begun.

    Attributes:
        id: What the store calls it.
        sha256: Of the whole file.
        size: Of the whole file, bytes.
        part_size: Bytes of each part but the last.
    """

    id: str
    sha256: str
    size: int
    part_size: int


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that the store has, compared with the file's.

    Attributes:
        etag: What the store calls it.
        checksum: Its SHA-256 in base64, where the store has told it.
    """

    etag: str
    checksum: str | None

    def as_argument(self, number: int) -> dict[str, object]:
        """What completes an upload says of it."""
        named: dict[str, object] = {"PartNumber": number + 1, "ETag": self.etag}
        return named | ({"ChecksumSHA256": self.checksum} if self.checksum else {})


def upload(
    store: S3Object, source: Path, sha256: str, scratch: Path, workers: int, advance: Advance
) -> Sent:
    """Upload a file; see :meth:`~entrypoint.store.objects.store.ObjectStore.put`."""
    size = source.stat().st_size
    part_size = upload_part_size(size)
    with source.open("rb", buffering=0) as file:
        if size <= part_size:
            _put_whole(store, os.pread(file.fileno(), size, 0), sha256)
            advance(size)
            return Sent(size, 1)
        note = _note_of(store, source, scratch)
        begun, there = _remembered(note), None
        if begun and (begun.sha256, begun.size, begun.part_size) != (sha256, size, part_size):
            _abort(store, begun)
        elif begun:
            there = _listed(store, begun)
        if begun is None or there is None:
            begun, there = _begin(store, note, sha256, size, part_size), {}
        sent = _send_parts(store, file.fileno(), begun, there, workers, advance)
    note.unlink()
    return sent


def _put_whole(store: S3Object, content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _changed_here(store)
    store.ask(
        "put_object",
        **store.address,
        **_checksum(store, content),
        Body=content,
        Metadata={SHA256: sha256},
    )


def _checksum(store: S3Object, content: bytes) -> dict[str, str]:
    """What has the store compare what arrives; MD5 for one that knows no other checksum."""
    if store.knows_checksums:
        digest = hashlib.sha256(content).digest()
        return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": _base64(digest)}
    return {"ContentMD5": _base64(hashlib.md5(content, usedforsecurity=False).digest())}


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _note_of(store: S3Object, source: Path, scratch: Path) -> Path:
    """Where the upload of this file to this object is remembered."""
    identity = f"{store.endpoint}\n{store.uri}\n{source.resolve()}"
    digest = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    return scratch / "uploads" / f"{digest[:16]}.json"


def _remembered(note: Path) -> Upload | None:
    try:
        return Upload(**json.loads(note.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _abort(store: S3Object, begun: Upload) -> None:
    """Have the store throw the parts away, which cost money until then."""
    log.warning("the upload to %s that was begun is of another content: it is aborted", store.uri)
    try:
        store.ask_if_there("abort_multipart_upload", **store.address, UploadId=begun.id)
    except InferenceServerError as error:
        log.warning("%s", error.message)


def _begin(store: S3Object, note: Path, sha256: str, size: int, part_size: int) -> Upload:
    answer = store.ask(
        "create_multipart_upload",
        **store.address,
        **({"ChecksumAlgorithm": "SHA256"} if store.knows_checksums else {}),
        Metadata={SHA256: sha256},
    )
    begun = Upload(str(answer["UploadId"]), sha256, size, part_size)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_text(note, json.dumps(asdict(begun)))
    return begun


def _listed(store: S3Object, begun: Upload) -> dict[int, dict[str, Any]] | None:
    """``{number from 0: what the store has of it}``, None if it has no such upload any more."""
    found: dict[int, dict[str, Any]] = {}
    marker = 0
    while True:
        answer = store.ask_if_there(
            "list_parts", **store.address, UploadId=begun.id, PartNumberMarker=marker
        )
        if answer is None:
            return None
        found |= {int(part["PartNumber"]) - 1: part for part in answer.get("Parts", ())}
        if not answer.get("IsTruncated"):
            return found
        marker = int(answer["NextPartNumberMarker"])


def _is_same(part: dict[str, Any], content: bytes) -> bool:
    """Whether a part that the store lists is the file's: by SHA-256, else by MD5."""
    if part["Size"] != len(content):
        return False
    if checksum := part.get("ChecksumSHA256"):
        return bool(checksum == _base64(hashlib.sha256(content).digest()))
    return _etag_is_md5(str(part["ETag"]), content)


def _etag_is_md5(etag: str, content: bytes) -> bool:
    return etag.strip('"').lower() == hashlib.md5(content, usedforsecurity=False).hexdigest()


class _Sender:
    """Sends what the store has not yet of a file, part by part."""

    def __init__(self, store: S3Object, file: int, begun: Upload, there: dict[int, dict[str, Any]]):
        self.store = store
        self.file = file
        self.begun = begun
        self.there = there

    def send(self, part: Part) -> tuple[SentPart, int]:
        """Return the part that the store has now, and how many bytes were sent for it.

        Raises:
            StoreError: The store did not answer, refused, or has something else now; or the file
                is shorter than it was.
        """
        content = os.pread(self.file, part.size, part.start)
        if len(content) != part.size:
            raise _changed_here(self.store)
        listed = self.there.get(part.number)
        if listed and _is_same(listed, content):
            return SentPart(str(listed["ETag"]), listed.get("ChecksumSHA256")), 0
        return self._sent(part, content), part.size

    def _sent(self, part: Part, content: bytes) -> SentPart:
        checksum = _checksum(self.store, content)

        def once() -> SentPart:
            with self.store.translated():
                answer = self.store.client.upload_part(
                    **self.store.address,
                    **checksum,
                    UploadId=self.begun.id,
                    PartNumber=part.number + 1,
                    Body=content,
                )
            etag, told = str(answer["ETag"]), answer.get("ChecksumSHA256")
            wanted = checksum.get("ChecksumSHA256")
            # A store that tells none may have ignored the one that came with the part.
            if wanted and not (told == wanted if told else _etag_is_md5(etag, content)):
                detail = f"it has another checksum for part {part.number + 1}"
                raise Transient(problems.refused(self.store.uri, detail), detail)
            return SentPart(etag, told)

        return retrying(f"part {part.number + 1} of {self.store.uri}", once)


def _send_parts(
    store: S3Object,
    file: int,
    begun: Upload,
    there: dict[int, dict[str, Any]],
    workers: int,
    advance: Advance,
) -> Sent:
    """Send the parts, the missing ones, and have the store make the object of them."""
    sender = _Sender(store, file, begun, there)
    parts = list(cut(begun.size, begun.part_size))
    finished: dict[int, SentPart] = {}
    sent = 0
    with Threads(workers) as threads:
        running = {threads.start(sender.send, part): part for part in parts}
        while running:
            for part, (stored, count) in take_finished(running):
                finished[part.number] = stored
                sent += count
                advance(part.size)
    # Where the answer was lost and it is asked again, there is no such upload any more.
    store.ask_if_there(
        "complete_multipart_upload",
        **store.address,
        UploadId=begun.id,
        MultipartUpload={
            "Parts": [stored.as_argument(number) for number, stored in sorted(finished.items())]
        },
    )
    return Sent(sent, len(parts))


def _changed_here(store: S3Object) -> StoreError:
    return StoreError(
        f"The file changed during the push to {store.uri}.",
        hint="Push it again when it is complete.",
    )
