"""The files in a tarball are found with their positions, links followed, without unpacking."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.integrity import check_files, examine_model
from entrypoint.store.tarballs.tree import PackedFiles, Tree, read_tree
from tests.support.models import (
    COMMIT,
    FALCON,
    model_files,
    of_type,
    pack,
    pack_with_gnu_tar,
    tar_of,
    write_files,
    write_snapshot,
)

Member = tuple[str, bytes | Callable[[tarfile.TarInfo], None]]

SNAPSHOT = ("models--tiiuae--falcon-7b-instruct", "snapshots", COMMIT)


def link(target: str) -> Callable[[tarfile.TarInfo], None]:
    return of_type(tarfile.SYMTYPE, target=target)


def tree_of(tmp_path: Path, *members: Member) -> Tree:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(*members))
    return read_tree(path, FALCON)


class TestFiles:
    @pytest.mark.parametrize("packer", [pack, pack_with_gnu_tar])
    def test_files_of_a_snapshot_are_found(
        self, tmp_path: Path, packer: Callable[..., Path]
    ) -> None:
        """1. Names, sizes and contents are those of the snapshot. 2. The same checks hold."""
        snapshot = write_snapshot(tmp_path / "cache", files=model_files(shards=3, size=70_000))
        files = read_tree(packer(tmp_path / "cache", tmp_path / "a.tar"), FALCON).files(SNAPSHOT)
        there = directory_files(snapshot)
        assert files.sizes == there.sizes
        assert all(files.read(name) == there.read(name) for name in there.sizes)
        assert check_files(files) == check_files(there)

    def test_files_of_a_plain_model_are_found(self, tmp_path: Path) -> None:
        source = write_files(tmp_path / "m" / "top", {**model_files(), "sub/README": b"Falcon"})
        (source / ".git").mkdir()
        (source / ".git" / "HEAD").write_text("main")
        files = read_tree(pack(tmp_path / "m", tmp_path / "a.tar"), FALCON).files(("top",))
        assert files.sizes == directory_files(source).sizes
        assert files.read("sub/README", 3, 1) == b"alc"
        assert files.read("sub/README", 100, 4) == b"on"
        assert files.read("sub/README", -1, 100) == b""

    def test_other_repositories_are_skipped(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache")
        write_snapshot(tmp_path / "cache", "a/b")
        tree = read_tree(pack(tmp_path / "cache", tmp_path / "a.tar"), FALCON)
        assert tree.folders(()) == ["models--tiiuae--falcon-7b-instruct"]
        assert tree.folders(SNAPSHOT[:2]) == [COMMIT]

    def test_a_link_may_come_before_its_target(self, tmp_path: Path) -> None:
        tree = tree_of(tmp_path, ("m/config.json", link("../b/1")), ("b/1", b"{}"))
        assert tree.files(("m",)).read("config.json") == b"{}"

    def test_a_hard_link_counts_as_its_file(self, tmp_path: Path) -> None:
        hard = of_type(tarfile.LNKTYPE, target="b/1")
        tree = tree_of(tmp_path, ("b/1", b"{}"), ("m/config.json", hard))
        assert tree.files(("m",)).read("config.json") == b"{}"

    def test_a_link_through_a_linked_folder_is_followed(self, tmp_path: Path) -> None:
        tree = tree_of(
            tmp_path, ("now", link("v1")), ("m/config.json", link("../now/1")), ("v1/1", b"{}")
        )
        assert tree.files(("m",)).read("config.json") == b"{}"

    @pytest.mark.parametrize("target", ["../b/none", "config.json", "tokenizer.json"])
    def test_a_dangling_link_is_a_problem(self, tmp_path: Path, target: str) -> None:
        """To a missing file, to itself, in a circle."""
        tree = tree_of(
            tmp_path, ("m/config.json", link(target)), ("m/tokenizer.json", link("config.json"))
        )
        files = tree.files(("m",))
        assert files.problems["config.json"].text == f"dangling link to {target}"
        assert "config.json" in examine_model(files)[1]

    def test_a_link_to_a_folder_is_no_file(self, tmp_path: Path) -> None:
        tree = tree_of(tmp_path, ("m/config.json", link("../b")), ("b/1", b"{}"))
        assert not tree.files(("m",)).sizes

    def test_an_archive_that_is_cut_short_is_refused(self, tmp_path: Path) -> None:
        files = model_files() | {"model.safetensors": model_files()["model.safetensors"][:-1]}
        write_snapshot(tmp_path / "cache", files=files)
        found = read_tree(pack(tmp_path / "cache", tmp_path / "a.tar"), FALCON).files(SNAPSHOT)
        assert examine_model(found)[1]["model.safetensors"].text.startswith("truncated")


class TestRefused:
    @pytest.mark.parametrize(
        ("member", "why"),
        [
            (("../x", b""), "leads out"),
            (("m", link("/etc")), "out of the archive"),
            (("m", of_type(tarfile.CHRTYPE)), "is not a file"),
            (("config.json", b"{}"), "occurs twice"),
        ],
    )
    def test_hostile_members_are_refused(self, tmp_path: Path, member: Member, why: str) -> None:
        with pytest.raises(RefusedArtifact, match=why):
            tree_of(tmp_path, ("config.json", b"{}"), member)

    def test_a_damaged_archive_is_refused(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache", files=model_files(size=40_000))
        archive = pack(tmp_path / "cache", tmp_path / "a.tar")
        archive.write_bytes(archive.read_bytes()[:-30_000])
        with pytest.raises(RefusedArtifact):
            read_tree(archive, FALCON)


def test_a_file_with_holes_is_sparse(tmp_path: Path) -> None:
    source = write_files(tmp_path / "m", {"config.json": b"{}"})
    with (source / "model.safetensors").open("wb") as file:
        file.truncate(3_000_000)
        file.seek(2_000_000)
        file.write(b"x")
    subprocess.run(["tar", "-S", "-cf", tmp_path / "a.tar", "-C", source, "."], check=True)
    files: PackedFiles = read_tree(tmp_path / "a.tar", FALCON).files(())
    assert files.sizes["model.safetensors"] == 3_000_000
    assert files.entries["model.safetensors"].sparse
    assert not files.entries["config.json"].sparse
