"""The layout of the cache, and which snapshot a revision means."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import IncompleteModel, RevisionNotFound
from entrypoint.store.disk.cache import (
    Repository,
    Snapshot,
    choose_commit,
    find_repositories,
    open_snapshot,
    read_repository,
    repository_name,
)
from entrypoint.store.disk.loading import Loading
from tests.support.models import (
    COMMIT,
    FALCON,
    OTHER_COMMIT,
    model_files,
    write_files,
    write_snapshot,
)


def a_repository(*commits: str, **refs: str) -> Repository:
    return Repository(FALCON, Path("/cache/falcon"), commits, refs)


def problem_of(repository: Repository, revision: str | None) -> RevisionNotFound:
    with pytest.raises(RevisionNotFound) as caught:
        choose_commit(repository, revision)
    return caught.value


class TestDefaultRevision:
    def test_is_the_commit_of_main(self) -> None:
        repository = a_repository(COMMIT, OTHER_COMMIT, main=OTHER_COMMIT)
        assert choose_commit(repository, None) == OTHER_COMMIT

    def test_is_the_only_snapshot_without_main(self) -> None:
        assert choose_commit(a_repository(COMMIT, v1=COMMIT), None) == COMMIT

    def test_is_not_guessed_among_several(self) -> None:
        problem = problem_of(a_repository(COMMIT, OTHER_COMMIT), None)
        assert COMMIT in problem.message
        assert OTHER_COMMIT in problem.message
        assert "REVISION" in (problem.hint or "")

    def test_is_not_another_snapshot_if_that_of_main_is_missing(self) -> None:
        problem = problem_of(a_repository(OTHER_COMMIT, main=COMMIT), None)
        assert "refs/main" in problem.message
        assert f"{COMMIT!r}, whose snapshot is missing" in problem.message

    def test_is_not_guessed_from_an_empty_ref(self) -> None:
        assert "refs/main" in problem_of(a_repository(COMMIT, main=""), None).message

    def test_needs_a_snapshot(self) -> None:
        problem = problem_of(a_repository(), None)
        assert "it has no snapshots" in problem.message
        assert f"inference-server download {FALCON}" in (problem.hint or "")


class TestNamedRevision:
    @pytest.mark.parametrize(
        "revision",
        [COMMIT, "main", "v1.0", COMMIT[:7], COMMIT[:4], COMMIT[:7].upper(), "pr/1", "refs/pr/1"],
    )
    @pytest.mark.parametrize("nested", ["pr/1", "refs/pr/1"])
    def test_each_form_finds_the_commit(self, revision: str, nested: str) -> None:
        refs = {"main": COMMIT, "v1.0": COMMIT, nested: COMMIT}
        repository = Repository(FALCON, Path("/c"), (COMMIT, OTHER_COMMIT), refs)
        assert choose_commit(repository, revision) == COMMIT

    def test_a_snapshot_folder_of_any_name_is_found(self) -> None:
        assert choose_commit(a_repository("finetuned"), "finetuned") == "finetuned"

    def test_a_ref_wins_over_a_short_commit(self) -> None:
        repository = a_repository(COMMIT, OTHER_COMMIT, cf4b=OTHER_COMMIT)
        assert choose_commit(repository, "cf4b") == OTHER_COMMIT

    @pytest.mark.parametrize("revision", ["cf4", "cf", "0000", "nope", COMMIT[:7] + "0", "../main"])
    def test_a_missing_revision_is_an_error_that_lists_the_existing_ones(
        self, revision: str
    ) -> None:
        problem = problem_of(a_repository(COMMIT, main=COMMIT), revision)
        assert repr(revision) in problem.message
        assert f"it has main, {COMMIT}" in problem.message

    def test_an_ambiguous_commit_is_an_error_that_lists_the_candidates(self) -> None:
        twin = COMMIT[:8] + "0" * 32
        problem = problem_of(a_repository(COMMIT, twin, OTHER_COMMIT), COMMIT[:8])
        assert COMMIT in problem.message
        assert twin in problem.message
        assert OTHER_COMMIT not in problem.message

    def test_the_default_of_older_templates_is_explained(self) -> None:
        problem = problem_of(a_repository(COMMIT, main=COMMIT), "1")
        assert "REVISION is '1'" in problem.message
        assert COMMIT in problem.message
        assert "ServingTemplate" in (problem.hint or "")

    def test_a_ref_whose_snapshot_is_missing_is_not_offered(self) -> None:
        problem = problem_of(a_repository(COMMIT, gone=OTHER_COMMIT), "gone")
        assert "refs/gone" in problem.message
        assert a_repository(COMMIT, gone=OTHER_COMMIT).revisions() == (COMMIT,)


class TestLayout:
    def test_repositories_are_found_in_the_root_and_one_level_below(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        write_snapshot(tmp_path / "top", "openai-community/gpt2")
        write_snapshot(tmp_path / "top", FALCON)
        write_snapshot(tmp_path / ".locks", "a/locked")
        write_snapshot(tmp_path / "very" / "deep", "a/deep")
        assert find_repositories(tmp_path) == {
            FALCON: tmp_path / "models--tiiuae--falcon-7b-instruct",
            "openai-community/gpt2": tmp_path / "top" / "models--openai-community--gpt2",
        }

    @pytest.mark.parametrize(
        ("folder", "name"), [("models--gpt2", "gpt2"), ("models--a--b-c", "a/b-c")]
    )
    def test_a_folder_s_name_gives_the_repository(self, folder: str, name: str) -> None:
        assert repository_name(folder) == name

    def test_refs_and_snapshots_are_read(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        folder = tmp_path / "models--tiiuae--falcon-7b-instruct"
        (folder / "refs" / "refs" / "pr").mkdir(parents=True)
        (folder / "refs" / "refs" / "pr" / "1").write_text(f"{COMMIT}\n")
        repository = read_repository(folder)
        assert repository.commits == (COMMIT,)
        assert repository.refs == {"main": COMMIT, "refs/pr/1": COMMIT}

    def test_a_folder_without_snapshots_has_no_commits(self, tmp_path: Path) -> None:
        assert read_repository(tmp_path).commits == ()


class TestSnapshot:
    def test_a_complete_snapshot_is_opened(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path)
        size = sum(map(len, model_files().values()))
        assert open_snapshot(path.parents[1], None, Loading()) == Snapshot(
            path, FALCON, COMMIT, size
        )

    def test_a_missing_blob_is_an_error_with_the_command_that_fixes_it(
        self, tmp_path: Path
    ) -> None:
        path = write_snapshot(tmp_path)
        (path / "tokenizer.json").resolve().unlink()
        with pytest.raises(IncompleteModel, match=r"tokenizer\.json") as caught:
            open_snapshot(path.parents[1], None, Loading())
        assert caught.value.hint is not None
        assert f"--revision {COMMIT} --cache-dir {tmp_path}" in caught.value.hint

    def test_an_unfinished_download_is_an_error(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path)
        (path.parents[1] / "blobs" / "abcd.1f2e3d4c.incomplete").write_bytes(b"half")
        with pytest.raises(IncompleteModel, match=r"blobs/abcd\.1f2e3d4c\.incomplete"):
            open_snapshot(path.parents[1], None, Loading())

    def test_an_unfinished_download_that_was_repeated_is_no_error(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path)
        blob = (path / "config.json").resolve()
        blob.with_name(f"{blob.name}.1f2e3d4c.incomplete").write_bytes(b"half")
        assert isinstance(open_snapshot(path.parents[1], None, Loading()), Snapshot)

    def test_an_unfinished_download_beside_several_snapshots_is_not_held_against_one(
        self, tmp_path: Path
    ) -> None:
        path = write_snapshot(tmp_path)
        (path.parents[1] / "snapshots" / OTHER_COMMIT).mkdir()
        (path.parents[1] / "blobs" / "abcd.incomplete").write_bytes(b"half")
        assert isinstance(open_snapshot(path.parents[1], None, Loading()), Snapshot)

    def test_a_snapshot_of_plain_files_needs_no_blobs(self, tmp_path: Path) -> None:
        write_files(tmp_path / "models--a--b" / "snapshots" / "main", model_files())
        assert isinstance(open_snapshot(tmp_path / "models--a--b", None, Loading()), Snapshot)
