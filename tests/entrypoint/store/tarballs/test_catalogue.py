"""The catalogue records the contents of a tarball, and never confuses two tarballs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.errors import RefusedArtifact, RevisionNotFound
from entrypoint.store.fetch import fetch_model
from entrypoint.store.progress import ignore_progress
from entrypoint.store.search.find import find_model
from entrypoint.store.tarballs import archive as archive_module
from entrypoint.store.tarballs.catalogue import CATALOGUE, Catalogue
from tests.support.models import (
    COMMIT,
    COMPRESSIONS,
    FALCON,
    OTHER_COMMIT,
    a_request,
    compress,
    model_files,
    pack,
    pack_with_gnu_tar,
    run_unprivileged,
    write_files,
    write_snapshot,
)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, reading a tarball is an error."""

    def read(*_: object) -> None:
        raise AssertionError("a tarball was read")

    return lambda: monkeypatch.setattr(archive_module, "open_archive", read)


def a_tarball(tmp_path: Path, compression: str = "plain", name: str = FALCON) -> Path:
    write_snapshot(tmp_path / "source" / name, name)
    suffix = COMPRESSIONS[compression]
    return pack(
        tmp_path / "source" / name,
        tmp_path / "many" / f"{name.rpartition('/')[2]}{suffix}",
        compression,
    )


class TestMemory:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @pytest.mark.parametrize("whole", [False, True])
    def test_recorded_contents_are_not_read_again(
        self,
        tmp_path: Path,
        scratch: Path,
        compression: str,
        whole: bool,
        unread: Callable[[], None],
    ) -> None:
        archive = a_tarball(tmp_path, compression)
        first = Catalogue(scratch)
        found = first.look_up(archive, to_the_end=whole)
        first.save()
        unread()
        assert Catalogue(scratch).known(archive) == found
        assert Catalogue(scratch).look_up(archive, to_the_end=whole) == found
        assert list(found.repositories) == [FALCON]
        if whole or compression == "plain":
            assert found.repositories[FALCON].commits == (COMMIT,)
            assert found.formats == {FALCON: ("safetensors",)}

    def test_a_plain_model_is_recorded(self, tmp_path: Path, scratch: Path) -> None:
        archive = pack(write_files(tmp_path / "m", model_files()), tmp_path / "a.tar")
        first = Catalogue(scratch)
        found = first.look_up(archive)
        first.save()
        assert found.plain
        assert Catalogue(scratch).known(archive) == found

    def test_a_refusal_is_recorded(
        self, tmp_path: Path, scratch: Path, unread: Callable[[], None]
    ) -> None:
        (tmp_path / "a.tar").write_bytes(b"nonsense" * 100)
        first = Catalogue(scratch)
        with pytest.raises(RefusedArtifact) as read:
            first.look_up(tmp_path / "a.tar")
        first.save()
        unread()
        with pytest.raises(RefusedArtifact) as known:
            Catalogue(scratch).look_up(tmp_path / "a.tar")
        assert known.value.message == read.value.message

    def test_another_file_of_the_same_name_is_read(self, tmp_path: Path, scratch: Path) -> None:
        """Another size, another time, another inode: each alone is another file."""
        archive = a_tarball(tmp_path)
        catalogue = Catalogue(scratch)
        catalogue.look_up(archive)
        state = archive.stat()
        content = archive.read_bytes()
        os.utime(archive, ns=(1, 1))
        assert catalogue.known(archive) is None
        os.utime(archive, ns=(1, state.st_mtime_ns))
        assert catalogue.known(archive) is not None
        (tmp_path / "copy").write_bytes(content)
        os.utime(tmp_path / "copy", ns=(1, state.st_mtime_ns))
        (tmp_path / "copy").rename(archive)
        assert catalogue.known(archive) is None
        archive.write_bytes(content + b"\0")
        os.utime(archive, ns=(1, state.st_mtime_ns))
        assert catalogue.known(archive) is None

    def test_a_removed_tarball_is_forgotten(self, tmp_path: Path, scratch: Path) -> None:
        archives = [a_tarball(tmp_path, name=name) for name in ("a/b", "a/c")]
        catalogue = Catalogue(scratch)
        for archive in archives:
            catalogue.look_up(archive)
        archives[0].unlink()
        catalogue.save()
        kept = json.loads((scratch / CATALOGUE).read_bytes())["tarballs"]
        assert list(kept) == [str(archives[1])]


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [
            b"", b"{", b"[]", b"\xff\xfe", b'{"format": 0, "tarballs": {}}', b"[" * 100_000,
            b'{"format": 1}', b'{"format": 1, "tarballs": []}',
            b'{"format": 1, "tarballs": {"ARCHIVE": 1}}',
            b'{"format": 1, "tarballs": {"ARCHIVE": {"identity": IDENTITY}}}',
            b'{"format": 1, "tarballs": {"ARCHIVE": {"identity": IDENTITY, "contents": {}}}}',
            b'{"format": 1, "tarballs": {"ARCHIVE": {"identity": IDENTITY, "contents": [1]}}}',
            b'{"format": 1, "tarballs": {"ARCHIVE": {"identity": IDENTITY, "refused": 1}}}',
        ],
    )  # fmt: skip
    def test_a_damaged_catalogue_is_replaced(
        self, tmp_path: Path, scratch: Path, content: bytes
    ) -> None:
        archive = a_tarball(tmp_path)
        state = archive.stat()
        identity = str([state.st_size, state.st_mtime_ns, state.st_ino]).encode()
        content = content.replace(b"ARCHIVE", bytes(archive)).replace(b"IDENTITY", identity)
        (scratch / CATALOGUE).write_bytes(content)
        catalogue = Catalogue(scratch)
        assert list(catalogue.look_up(archive).repositories) == [FALCON]
        catalogue.save()
        assert Catalogue(scratch).known(archive) is not None

    def test_without_a_scratch_directory_nothing_is_written(self, tmp_path: Path) -> None:
        archive = a_tarball(tmp_path)
        catalogue = Catalogue(tmp_path / "none")
        catalogue.look_up(archive)
        catalogue.save()
        assert not (tmp_path / "none").exists()

    def test_a_catalogue_without_permissions_is_no_error(self, public_path: Path) -> None:
        archive = a_tarball(public_path)
        scratch = public_path / "scratch"
        scratch.mkdir(mode=0o755)
        (scratch / CATALOGUE).write_text("{}")
        (scratch / CATALOGUE).chmod(0)
        done = run_unprivileged(
            "from entrypoint.store.tarballs.catalogue import Catalogue\n"
            "catalogue = Catalogue(Path(sys.argv[1]))\n"
            "print(*catalogue.look_up(Path(sys.argv[2])).repositories)\n"
            "catalogue.save()",
            scratch, archive,
        )  # fmt: skip
        assert done.stdout == f"{FALCON}\n", done.stderr
        assert (scratch / CATALOGUE).read_text() == "{}"
        assert [path.name for path in scratch.iterdir()] == [CATALOGUE]


class TestSearch:
    def test_a_directory_of_tarballs_is_read_once(
        self, tmp_path: Path, scratch: Path, unread: Callable[[], None]
    ) -> None:
        for number, compression in enumerate(list(COMPRESSIONS) * 4):
            a_tarball(tmp_path, compression, f"org/model-{number}")
        wanted = a_request(tmp_path, tarball=tmp_path / "many", model_id="org/model-7")
        first = find_model(wanted)
        assert first.repository == "org/model-7"
        unread()
        again = find_model(wanted)
        assert (again.path, again.revision, again.bytes) == (
            first.path, first.revision, first.bytes,
        )  # fmt: skip
        assert again.searched == first.searched

    def test_a_listed_tarball_shows_its_second_model(self, tmp_path: Path, scratch: Path) -> None:
        """
        1. Of two models only the first is seen: the other is not found.
        2. The tarball is read to its end.
        Result: the other is found, and its revisions are known before it is unpacked.
        """
        write_snapshot(tmp_path / "source", "a/b")
        write_snapshot(tmp_path / "source", FALCON)
        archive = pack(tmp_path / "source", tmp_path / "many" / "a.tar.gz", "gzip")
        request = a_request(tmp_path, tarball=tmp_path / "many")
        with pytest.raises(Exception, match=r"holds a/b; .* models --full"):
            find_model(request)
        catalogue = Catalogue(scratch)
        catalogue.look_up(archive, to_the_end=True)
        catalogue.save()
        model = find_model(request)
        assert (model.repository, model.revision, model.on_disk) == (FALCON, COMMIT, False)
        assert model.bytes > sum(map(len, model_files().values()))
        assert fetch_model(model, request, ignore_progress).revision == COMMIT
        with pytest.raises(RevisionNotFound):
            find_model(a_request(tmp_path, tarball=archive, revision=OTHER_COMMIT))


def test_known_tarballs_do_not_cost_the_import_of_tarfile(tmp_path: Path, scratch: Path) -> None:
    import subprocess

    write_snapshot(tmp_path / "source")
    archive = pack_with_gnu_tar(tmp_path / "source", tmp_path / "many" / "a.tar")
    archive.with_name("b.tar.gz").write_bytes(compress(archive.read_bytes(), "gzip"))
    request = a_request(tmp_path, tarball=tmp_path / "many", model_id="none/such")
    with pytest.raises(Exception, match="was not found"):
        find_model(request)
    script = (
        "import sys; from pathlib import Path\n"
        "from entrypoint.errors import ModelNotFound\n"
        "from entrypoint.store.search.find import find_model\n"
        "from entrypoint.store.model import Request\n"
        "folder = Path(sys.argv[1])\n"
        "many, scratch = folder / 'many', folder / 'scratch'\n"
        "request = Request('none/such', None, (), many, True, None, scratch, mount=Path('/none'))\n"
        "try:\n"
        "    find_model(request)\n"
        "except ModelNotFound as error:\n"
        "    print(*error.available, 'tarfile' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{FALCON} False\n"
