"""Packing a model into a tarball. The same model gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from entrypoint.errors import ArtifactError, StorageError, UsageError
from entrypoint.store.disk.digest import BLOCK, Digests, Hasher, hash_type
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.manifest import Manifest, ManifestFile, derived_commit
from entrypoint.store.progress import Counter, OnProgress, ignore_progress
from entrypoint.store.tarballs.compress import Compression, compressed
from entrypoint.store.tarballs.layout import Member, lay_out, total_size
from entrypoint.store.tarballs.source import Source, SourceFile
from entrypoint.store.threads import Stop, in_threads
from entrypoint.store.writing.complete_file import complete_file
from entrypoint.store.writing.room import check_room


@dataclass(frozen=True, slots=True)
class PackedTarball:
    """A packed tarball.

    Attributes:
        path: The tarball.
        bytes: Its size.
        manifest: Its files.
    """

    path: Path
    bytes: int
    manifest: Manifest


def pack_model(
    source: Source,
    target: Path,
    *,
    compression: Compression = "none",
    threads: int,
    on_progress: OnProgress = ignore_progress,
) -> PackedTarball:
    """Pack a model into a tarball.

    Args:
        source: The model, from :func:`~entrypoint.store.tarballs.source.find_source`.
        target: The tarball, which is replaced if it exists.
        compression: How to compress the tarball.
        threads: How many files to hash, or blocks to compress, in parallel.
        on_progress: Called with each change of the bytes read.

    Raises:
        UsageError: ``target`` lies inside the model.
        ArtifactError: The content of a blob does not match the hash in its name.
        StorageError: A file changed while it was packed, or a read or a write failed.
    """
    target = target.absolute()
    if target.resolve().is_relative_to(source.place.resolve()):
        raise UsageError(
            f"The tarball {target} lies inside the model that it is made of, {source.place}.",
            hint="Write it to another folder, for example: -o /tmp/model.tar",
        )
    write = _write_plain if compression == "none" else _write_compressed
    try:
        with complete_file(target) as descriptor:
            job = _Job(source, target, descriptor, compression, threads, on_progress)
            manifest = write(job)
            size = os.fstat(descriptor).st_size
    except OSError as error:
        raise StorageError(
            f"Packing {source.place} to {target} failed: {error.filename or target}: "
            f"{why_unreadable(error)}.",
            hint="Use -o to write it to a folder with enough room that this user may write to.",
        ) from error
    return PackedTarball(target, size, manifest)


@dataclass(frozen=True, slots=True)
class _Job:
    """A model to pack into an open tarball."""

    source: Source
    target: Path
    descriptor: int
    compression: Compression
    threads: int
    on_progress: OnProgress


def _write_plain(job: _Job) -> Manifest:
    """Write the contents at their offsets, in parallel, and then the headers with their hashes."""
    digests: dict[str, Digests] = {}
    while True:
        draft = make_manifest(job.source, digests)
        members = lay_out(draft, job.source.refs)
        check_room(job.target.parent, total_size(members))
        os.truncate(job.descriptor, 0)
        os.truncate(job.descriptor, total_size(members))  # gaps read as zeros
        offsets = {member.blob: member.content_offset for member in members if member.blob}
        contents = _contents(job.source, draft)
        counter = Counter(sum(file.size for file in contents.values()), job.on_progress)
        hashed = _hash_all(job, contents, counter, offsets)
        known, digests = digests, {file.name: hashed[file.blob] for file in draft.files}
        for file in job.source.files:
            if known and known[file.name].sha256 != digests[file.name].sha256:
                raise _changed(file)
        manifest = make_manifest(job.source, digests)
        final = lay_out(manifest, job.source.refs)
        if len(final) == len(members):
            break
        # Two files have the same content and share one blob. Write again with the known hashes.
    for member in final:
        os.pwrite(job.descriptor, member.header + (member.data or b""), member.offset)
    return manifest


def _write_compressed(job: _Job) -> Manifest:
    """Write the tarball front to back. This needs all hashes beforehand.

    The names of large files in a cache are their hashes, so only small files are read twice.
    """
    source = job.source
    draft = make_manifest(source, {})
    contents = _contents(source, draft)
    unknown = {blob: f for blob, f in contents.items() if hash_type(f.blob or "") != "sha256"}
    total = sum(file.size for file in (*contents.values(), *unknown.values()))
    counter = Counter(total, job.on_progress)
    hashed = {blob: Digests(blob) for blob in contents}
    hashed |= _hash_all(job, unknown, counter)
    manifest = make_manifest(source, {f.name: hashed[f.blob] for f in draft.files})
    expected = {file.blob: file.sha256 for file in manifest.files}
    pieces = _stream(lay_out(manifest, source.refs), _contents(source, manifest), expected, counter)
    offset = 0
    for block in compressed(pieces, job.compression, job.threads):
        offset += _write(job.descriptor, block, offset)
    return manifest


def make_manifest(source: Source, digests: Mapping[str, Digests]) -> Manifest:
    """Return the manifest of a model.

    Args:
        source: The model.
        digests: ``{file name: hashes}``. A file without hashes gets a unique placeholder of the
            same length.
    """
    files = []
    for number, file in enumerate(source.files):
        placeholder = f"{number:064x}"
        sha256 = digests[file.name].sha256 if file.name in digests else placeholder
        files.append(ManifestFile(file.name, file.size, sha256, file.blob or sha256))
    commit = source.commit or derived_commit((file.name, file.sha256) for file in files)
    tool = f"inference-server {version('inference-server')}"
    return Manifest(source.repository, commit, tool, tuple(files))


def _contents(source: Source, manifest: Manifest) -> dict[str, SourceFile]:
    """Return ``{blob: a file with its content}``, largest first, because it takes longest."""
    found: dict[str, SourceFile] = {}
    for file, packed in zip(source.files, manifest.files, strict=True):
        found.setdefault(packed.blob, file)
    return dict(sorted(found.items(), key=lambda item: -item[1].size))


def _hash_all(
    job: _Job,
    contents: Mapping[str, SourceFile],
    counter: Counter,
    offsets: Mapping[str, int] | None = None,
) -> dict[str, Digests]:
    """Return the hashes of contents, and copy the contents into the tarball if requested.

    Args:
        job: The model and the tarball.
        contents: ``{blob: file}``.
        counter: Counts the bytes.
        offsets: ``{blob: offset in the tarball}`` of the copies, None for no copies.
    """

    def hash_one(blob: str, stop: Stop) -> Digests:
        file = contents[blob]
        offset = offsets[blob] if offsets else 0
        hasher = Hasher(file.size, git=hash_type(file.blob or "") == "git-sha1")
        with counter.file(file.name, file.size) as advance:
            for block in _read(file):
                stop.check()
                hasher.update(block)
                if offsets:
                    offset += _write(job.descriptor, block, offset)
                advance(len(block))
        digests = hasher.digests()
        _check_blob(file, digests)
        return digests

    return dict(zip(contents, in_threads(hash_one, contents, job.threads), strict=True))


def _stream(
    members: Sequence[Member],
    contents: Mapping[str, SourceFile],
    expected: Mapping[str, str],
    counter: Counter,
) -> Iterator[bytes | memoryview]:
    """Yield the tarball front to back, in pieces that are each valid until the next one."""
    for member in members:
        yield member.header
        if member.blob is None:
            yield member.data or b""
        else:
            file = contents[member.blob]
            hasher = Hasher(file.size)
            with counter.file(file.name, file.size) as advance:
                for block in _read(file):
                    hasher.update(block)
                    yield block
                    advance(len(block))
            _check_blob(file, hasher.digests())
            if hasher.digests().sha256 != expected[member.blob]:
                raise _changed(file)
        yield bytes(member.end - member.content_offset - member.size)
    yield bytes(total_size(members) - members[-1].end)


def _read(file: SourceFile) -> Iterator[memoryview]:
    """Yield the content of a file in blocks, each valid until the next one.

    Raises:
        StorageError: The file has changed since it was listed, or changes while it is read.
        OSError: It cannot be read.
    """
    descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if before.st_size != file.size:
            raise _changed(file)
        buffer = memoryview(bytearray(BLOCK))
        done = 0
        while done < file.size:
            count = os.preadv(descriptor, [buffer[: file.size - done]], done)
            if count == 0:
                raise _changed(file)
            done += count
            yield buffer[:count]
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise _changed(file)
    finally:
        os.close(descriptor)


def _write(descriptor: int, block: bytes | memoryview, offset: int) -> int:
    """Write all of a block at an offset; return its length in bytes."""
    view = memoryview(block)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
    return len(block)


def _check_blob(file: SourceFile, digests: Digests) -> None:
    actual = digests.of(file.blob) if file.blob else None
    if actual is not None and actual != file.blob:
        raise ArtifactError(
            f"{file.name} is damaged: its content has the hash {actual}, but its blob is named "
            f"{file.path}.",
            hint="Remove that blob and download the model again. Complete files are not downloaded "
            "again.",
        )


def _changed(file: SourceFile) -> StorageError:
    return StorageError(
        f"{file.path} changed while it was packed.",
        hint="Pack the model again when no other program writes to it.",
    )
