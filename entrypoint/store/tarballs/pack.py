"""Packing a model into a tarball: hashed while it is copied, the same bytes each time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from entrypoint.errors import ArtifactError, StorageError, UsageError
from entrypoint.store.disk.digest import BLOCK, Digests, Hasher, naming
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
    """A tarball that was made.

    Attributes:
        path: Where it is.
        bytes: Its size.
        manifest: What is in it.
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
        source: What :func:`~entrypoint.store.tarballs.source.find_source` found.
        target: The tarball, which is replaced if it exists.
        compression: How the tarball is compressed.
        threads: How many files are read and hashed at once, or blocks compressed.
        on_progress: Called with each change of the bytes read.

    Raises:
        UsageError: ``target`` lies inside of what is packed.
        ArtifactError: The content of a blob is not what its name says.
        StorageError: A file changed meanwhile, or a read or a write failed.
    """
    target = target.absolute()
    if target.resolve().is_relative_to(source.place.resolve()):
        raise UsageError(
            f"The tarball {target} would lie inside of what is packed, {source.place}.",
            hint="Write it elsewhere, as: -o /tmp/model.tar",
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
            hint="Write it to a folder that this user may write to and that has room, with: -o",
        ) from error
    return PackedTarball(target, size, manifest)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is packed, to where; the descriptor is the target's."""

    source: Source
    target: Path
    descriptor: int
    compression: Compression
    threads: int
    on_progress: OnProgress


@dataclass(frozen=True, slots=True)
class _Copy:
    """Where contents are copied to: a descriptor, and ``{blob: offset}`` in bytes."""

    descriptor: int
    offsets: Mapping[str, int]


def _write_plain(job: _Job) -> Manifest:
    """Write each content at its place, several at once; then the headers, which hold hashes."""
    digests: dict[str, Digests] = {}
    while True:
        draft = make_manifest(job.source, digests)
        members = lay_out(draft, job.source.refs)
        check_room(job.target.parent, total_size(members))
        os.truncate(job.descriptor, 0)
        os.truncate(job.descriptor, total_size(members))  # what is not written is zeros
        offsets = {member.blob: member.content_offset for member in members if member.blob}
        copy = _Copy(job.descriptor, offsets)
        contents = _contents(job.source, draft)
        counter = Counter(sum(file.size for file in contents.values()), job.on_progress)
        hashed = _hash_all(contents, job.threads, counter, copy)
        known, digests = digests, {file.name: hashed[file.blob] for file in draft.files}
        for file in job.source.files:
            if known and known[file.name].sha256 != digests[file.name].sha256:
                raise _changed(file)
        manifest = make_manifest(job.source, digests)
        final = lay_out(manifest, job.source.refs)
        if len(final) == len(members):
            break
        # Two files of a directory are the same, and become one blob: once more, now that it is
        # known.
    for member in final:
        os.pwrite(job.descriptor, member.header + (member.data or b""), member.offset)
    return manifest


def _write_compressed(job: _Job) -> Manifest:
    """Write the tarball from its begin to its end, for which all hashes are wanted beforehand.

    Large files in a cache are called by theirs, so that only small ones are read twice.
    """
    source = job.source
    draft = make_manifest(source, {})
    contents = _contents(source, draft)
    unknown = {blob: f for blob, f in contents.items() if naming(f.blob or "") != "sha256"}
    total = sum(file.size for file in (*contents.values(), *unknown.values()))
    counter = Counter(total, job.on_progress)
    hashed = {blob: Digests(blob) for blob in contents}
    hashed |= _hash_all(unknown, job.threads, counter)
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
        digests: ``{file name: hashes}``. Where a file's are missing, something that is as long
            and its own stands for them.
    """
    files = []
    for number, file in enumerate(source.files):
        stand_in = f"{number:064x}"
        sha256 = digests[file.name].sha256 if file.name in digests else stand_in
        files.append(ManifestFile(file.name, file.size, sha256, file.blob or sha256))
    commit = source.commit or derived_commit((file.name, file.sha256) for file in files)
    tool = f"inference-server {version('inference-server')}"
    return Manifest(source.repository, commit, tool, tuple(files))


def _contents(source: Source, manifest: Manifest) -> dict[str, SourceFile]:
    """``{blob: a file with its content}``, the largest first: it takes longest."""
    found: dict[str, SourceFile] = {}
    for file, packed in zip(source.files, manifest.files, strict=True):
        found.setdefault(packed.blob, file)
    return dict(sorted(found.items(), key=lambda item: -item[1].size))


def _hash_all(
    contents: Mapping[str, SourceFile],
    threads: int,
    counter: Counter,
    copy: _Copy | None = None,
) -> dict[str, Digests]:
    """Hash contents, several at once, and copy them.

    Args:
        contents: ``{blob: file}``.
        threads: How many at once.
        counter: Counts the bytes.
        copy: Where they are copied to, if they are.
    """

    def hash_one(blob: str, stop: Stop) -> Digests:
        file = contents[blob]
        offset = copy.offsets[blob] if copy else 0
        hasher = Hasher(file.size, git=naming(file.blob or "") == "git-sha1")
        with counter.file(file.name, file.size) as advance:
            for block in _read(file):
                stop.check()
                hasher.update(block)
                if copy:
                    offset += _write(copy.descriptor, block, offset)
                advance(len(block))
        digests = hasher.digests()
        _check_blob(file, digests)
        return digests

    return dict(zip(contents, in_threads(hash_one, contents, threads), strict=True))


def _stream(
    members: Sequence[Member],
    contents: Mapping[str, SourceFile],
    expected: Mapping[str, str],
    counter: Counter,
) -> Iterator[bytes | memoryview]:
    """The tarball from its begin to its end, in pieces that are valid until the next is taken."""
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
    """The content of a file in blocks; the next one is written over the last.

    Raises:
        StorageError: The file is not what it was when it was listed, or changes meanwhile.
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
            f"{file.name} is damaged: its content has the hash {actual}, and its blob is called "
            f"{file.path}.",
            hint="Remove that blob and download the model again; what is whole is not fetched "
            "again.",
        )


def _changed(file: SourceFile) -> StorageError:
    return StorageError(
        f"{file.path} changed while it was packed.",
        hint="Pack the model again once nothing writes to it.",
    )
