"""Finding a model in a directory or in the caches, and the error if it is missing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from entrypoint.errors import (
    IncompleteModel,
    ModelNotFound,
    RevisionNotFound,
    SearchedPlace,
    SettingError,
    SeveralModels,
)
from entrypoint.store.search.find import find_model
from tests.support.models import (
    COMMIT,
    FALCON,
    OTHER_COMMIT,
    UNPRIVILEGED,
    a_request,
    model_files,
    pack,
    run_unprivileged,
    write_files,
    write_snapshot,
)
from tests.support.searches import miss

SIZE = sum(map(len, model_files().values()))


class TestDirectory:
    def test_a_path_is_found(self, tmp_path: Path) -> None:
        write_files(tmp_path / "m", model_files())
        model = find_model(a_request(tmp_path, model_id=str(tmp_path / "m")))
        assert (model.source, model.path, model.bytes) == ("directory", tmp_path / "m", SIZE)
        assert model.on_disk
        assert model.searched == (SearchedPlace("directory", str(tmp_path / "m"), "found"),)

    @pytest.mark.parametrize("model_id", ["./m", "../here/m", "~/m", "m"])
    def test_each_spelling_of_a_path_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_id: str
    ) -> None:
        write_files(tmp_path / "here" / "m", model_files())
        monkeypatch.chdir(tmp_path / "here")
        monkeypatch.setenv("HOME", str(tmp_path / "here"))
        model = find_model(a_request(tmp_path, model_id=model_id))
        assert model.path is not None
        assert model.path.is_absolute()
        assert model.path.samefile(tmp_path / "here" / "m")

    def test_the_path_of_a_tarball_is_refused_with_the_variable_for_it(
        self, tmp_path: Path
    ) -> None:
        write_files(tmp_path / "m", model_files())
        archive = pack(tmp_path / "m", tmp_path / "m.tar")
        error = miss(ModelNotFound, tmp_path, model_id=str(archive))
        assert f"{archive} is not a folder. Searched:" in error.message
        assert f"Set MODEL_TARBALL={archive}" in str(error.hint)

    def test_a_directory_comes_before_the_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_snapshot(tmp_path / "cache")
        write_files(tmp_path / FALCON, model_files())
        monkeypatch.chdir(tmp_path)
        assert find_model(a_request(tmp_path, tmp_path / "cache")).source == "directory"

    def test_a_missing_path_is_not_searched_on_the_hub(self, tmp_path: Path) -> None:
        write_files(tmp_path / "falcon-7b", model_files())
        wrong = tmp_path / "falcon7b"
        error = miss(ModelNotFound, tmp_path, model_id=str(wrong), offline=False)
        assert f"MODEL_ID is {str(wrong)!r}: {wrong} does not exist." in error.message
        assert error.nearest == str(tmp_path / "falcon-7b")
        assert error.variable == "MODEL_ID"

    def test_the_first_missing_folder_of_a_path_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        error = miss(ModelNotFound, tmp_path, model_id=str(tmp_path / "not" / "m"))
        assert str(tmp_path / "not") in [attempt.place for attempt in error.searched]
        assert "holds: there" in error.message

    def test_the_home_of_an_unknown_user_does_not_exist(self, tmp_path: Path) -> None:
        assert "does not exist" in miss(ModelNotFound, tmp_path, model_id="~no-such-user/m").message

    def test_an_unreachable_path_is_an_unreadable_model(self, public_path: Path) -> None:
        (public_path / "private" / "a").mkdir(parents=True)
        (public_path / "private").chmod(0)
        path = public_path / "private" / "a" / "m"
        done = run_unprivileged(
            "find_model(a_request(Path('/s'), model_id=sys.argv[1]))",
            path,
        )
        assert f"UnreadableModel: {path} cannot be read by uid {UNPRIVILEGED}, " in done.stderr

    def test_the_error_for_a_tarball_as_path_names_model_tarball(self, tmp_path: Path) -> None:
        (tmp_path / "m.tar").touch()
        error = miss(ModelNotFound, tmp_path, model_id=str(tmp_path / "m.tar"))
        assert "is not a folder" in error.message
        assert f"MODEL_TARBALL={tmp_path / 'm.tar'}" in (error.hint or "")

    def test_the_error_for_a_directory_of_tarballs_names_model_tarball(
        self, tmp_path: Path
    ) -> None:
        write_snapshot(tmp_path / "cache")
        pack(tmp_path / "cache", tmp_path / "m" / "falcon.tar.zst", "zstd")
        with pytest.raises(IncompleteModel, match=r"config\.json") as caught:
            find_model(a_request(tmp_path, model_id=str(tmp_path / "m")))
        assert f"MODEL_TARBALL={tmp_path / 'm' / 'falcon.tar.zst'}" in (caught.value.hint or "")

    def test_an_incomplete_directory_is_an_error(self, tmp_path: Path) -> None:
        write_files(tmp_path / "m", model_files(shards=2))
        (tmp_path / "m" / "model-00002-of-00002.safetensors").unlink()
        with pytest.raises(IncompleteModel, match=r"model-00002-of-00002\.safetensors"):
            find_model(a_request(tmp_path, model_id=str(tmp_path / "m")))

    def test_the_folder_of_a_repository_gives_its_snapshot(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path)
        model = find_model(a_request(tmp_path, model_id=str(path.parents[1]), revision=COMMIT[:7]))
        assert (model.source, model.path, model.revision) == ("directory", path, COMMIT)

    def test_the_folder_of_a_repository_without_the_revision_is_an_error(
        self, tmp_path: Path
    ) -> None:
        path = write_snapshot(tmp_path)
        model_id = str(path.parents[1])
        error = miss(RevisionNotFound, tmp_path, model_id=model_id, revision="v2")
        assert error.variable == "REVISION"

    def test_a_cache_of_several_models_is_an_error_that_lists_them(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache")
        write_snapshot(tmp_path / "cache", "a/b")
        error = miss(SeveralModels, tmp_path, model_id=str(tmp_path / "cache"))
        assert set(error.available) == {FALCON, "a/b"}


class TestSettings:
    @pytest.mark.parametrize("model_id", ["a/b/c", "a b", "-a", "a/b.git", "a..b", "é/b", "a/"])
    def test_an_invalid_repository_id_is_refused(self, tmp_path: Path, model_id: str) -> None:
        with pytest.raises(SettingError) as caught:
            find_model(a_request(tmp_path, model_id=model_id))
        assert repr(model_id) in caught.value.message
        assert caught.value.variable == "MODEL_ID"

    def test_the_error_for_a_served_name_suggests_the_repository(self, tmp_path: Path) -> None:
        with pytest.raises(SettingError) as caught:
            find_model(a_request(tmp_path, model_id="tiiuae--falcon-7b-instruct"))
        assert f"MODEL_ID={FALCON}" in (caught.value.hint or "")

    def test_a_missing_tarball_is_refused(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        with pytest.raises(SettingError, match=r"falcon\.tar") as caught:
            find_model(a_request(tmp_path, tmp_path, tarball=tmp_path / "falcon.tar"))
        assert caught.value.variable == "MODEL_TARBALL"


class TestCache:
    @pytest.mark.parametrize("revision", [None, "main", COMMIT, COMMIT[:7]])
    def test_each_form_of_revision_is_found(self, tmp_path: Path, revision: str | None) -> None:
        path = write_snapshot(tmp_path)
        model = find_model(a_request(tmp_path, tmp_path, revision=revision))
        assert (model.source, model.path, model.repository) == ("cache", path, FALCON)
        assert (model.revision, model.requested_revision) == (COMMIT, revision)
        assert (model.bytes, model.on_disk) == (SIZE, True)
        assert model.config == json.loads(model_files()["config.json"])

    def test_the_first_root_with_the_model_is_used(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "b")
        write_snapshot(tmp_path / "c")
        roots = [tmp_path / name for name in "abc"]
        model = find_model(a_request(tmp_path, *roots))
        assert model.path is not None
        assert model.path.is_relative_to(tmp_path / "b")
        assert [attempt.place for attempt in model.searched] == [str(root) for root in roots[:2]]

    def test_a_cache_in_a_folder_of_the_root_is_found(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path / "tiiuae--falcon-7b-instruct")
        assert find_model(a_request(tmp_path, tmp_path)).path == path

    def test_a_later_root_with_the_revision_is_used(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "a", commit=OTHER_COMMIT)
        path = write_snapshot(tmp_path / "b")
        model = find_model(a_request(tmp_path, tmp_path / "a", tmp_path / "b", revision=COMMIT))
        assert model.path == path
        assert model.searched[0].outcome == f"has the model, but not the revision {COMMIT!r}"

    def test_a_later_root_with_the_complete_model_is_used(self, tmp_path: Path) -> None:
        (write_snapshot(tmp_path / "a") / "model.safetensors").unlink()
        path = write_snapshot(tmp_path / "b")
        model = find_model(a_request(tmp_path, tmp_path / "a", tmp_path / "b"))
        assert model.path == path
        assert model.searched[0].outcome == "incomplete: *.safetensors"

    def test_an_incomplete_model_is_an_error_that_names_the_file(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path)
        (path / "model.safetensors").resolve().unlink()
        with pytest.raises(IncompleteModel, match=r"model\.safetensors \(dangling link"):
            find_model(a_request(tmp_path, tmp_path))

    def test_the_default_revision_of_older_templates_is_an_error(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        error = miss(RevisionNotFound, tmp_path, tmp_path, revision="1")
        assert "REVISION is '1'" in error.message
        assert error.available == {FALCON: ("main", COMMIT)}
        assert error.variable == "REVISION"
        assert "ServingTemplate" in (error.hint or "")

    @pytest.mark.parametrize("model_id", [FALCON.upper(), "tiiuae/falcon-7b-instuct"])
    def test_the_error_suggests_the_most_similar_name(self, tmp_path: Path, model_id: str) -> None:
        write_snapshot(tmp_path)
        error = miss(ModelNotFound, tmp_path, tmp_path, model_id=model_id)
        assert error.nearest == FALCON
        assert f"Set MODEL_ID={FALCON}" in (error.hint or "")

    def test_the_error_lists_the_outcome_for_each_root(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        write_files(tmp_path / "other", {"notes.txt": b"x"})
        write_snapshot(tmp_path / "full", "a/b")
        roots = [tmp_path / name for name in ("gone", "empty", "other", "full")]
        error = miss(ModelNotFound, tmp_path, *roots)
        cache = [attempt.outcome for attempt in error.searched if attempt.way == "cache"]
        assert cache == [
            "does not exist",
            "is empty",
            "holds no models--org--name folder",
            "holds 1 other model",
        ]
        assert error.searched[-1] == SearchedPlace(
            "hub", FALCON, "not searched, HF_HUB_OFFLINE is on"
        )
        assert error.available == {"a/b": ("main", COMMIT)}

    @pytest.mark.parametrize("made", [True, False])
    def test_a_sibling_of_the_root_with_a_similar_name_is_suggested(
        self, tmp_path: Path, made: bool
    ) -> None:
        # The published examples mount /mnt/model and read /mnt/models
        write_snapshot(tmp_path / "model")
        if made:
            (tmp_path / "models").mkdir()
        error = miss(ModelNotFound, tmp_path, tmp_path / "models")
        assert f"{tmp_path / 'model'} holds {FALCON}" in error.message
        assert (error.hint or "").startswith(f"Set HF_HUB_CACHE={tmp_path / 'model'}. Or download")

    def test_a_sibling_that_was_searched_is_not_suggested(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "model", "a/b")
        error = miss(ModelNotFound, tmp_path, tmp_path / "models", tmp_path / "model")
        assert (error.hint or "").startswith("Download it")

    def test_an_unreadable_root_is_an_unreadable_model(self, public_path: Path) -> None:
        (public_path / "cache").mkdir(mode=0)
        done = run_unprivileged(
            "root = Path(sys.argv[1])\nfind_model(a_request(root, root / 'cache'))",
            public_path,
        )
        cache = public_path / "cache"
        assert f"UnreadableModel: {cache} cannot be read by uid {UNPRIVILEGED}, " in done.stderr
        assert f"{cache}: permission denied for uid {UNPRIVILEGED}" in done.stderr

    @pytest.mark.parametrize("name", ["falcon-7b-instruct.tar", "other.tar"])
    def test_an_unreadable_tarball_is_an_unreadable_model(
        self, public_path: Path, name: str
    ) -> None:
        (public_path / "cache").mkdir()
        (public_path / "cache" / name).touch(mode=0)
        done = run_unprivileged(
            "root = Path(sys.argv[1])\nfind_model(a_request(root, root / 'cache'))",
            public_path,
        )
        archive = public_path / "cache" / name
        assert f"UnreadableModel: {archive} cannot be read by uid {UNPRIVILEGED}" in done.stderr

    def test_unreadable_files_are_named(self, public_path: Path) -> None:
        snapshot = write_snapshot(public_path / "cache")
        (snapshot / "tokenizer.json").resolve().chmod(0)
        done = run_unprivileged(
            "root = Path(sys.argv[1])\nfind_model(a_request(root, root / 'cache'))",
            public_path,
        )
        assert f"UnreadableModel: The model at {snapshot} cannot be read by uid" in done.stderr
        assert ": tokenizer.json." in done.stderr


class TestUnpackedByKServe:
    def test_a_plain_model_in_the_root_is_a_directory(self, tmp_path: Path) -> None:
        write_files(tmp_path / "models", model_files())
        model = find_model(a_request(tmp_path, tmp_path / "models"))
        assert (model.source, model.path) == ("directory", tmp_path / "models")
        assert model.repository is None
        assert model.searched[-1].outcome == f"found, treated as {FALCON}"

    def test_a_plain_model_in_a_folder_of_its_name_is_a_directory(self, tmp_path: Path) -> None:
        write_files(tmp_path / "models" / "falcon-7b-instruct", model_files())
        model = find_model(a_request(tmp_path, tmp_path / "models"))
        assert (model.source, model.path) == (
            "directory",
            tmp_path / "models" / "falcon-7b-instruct",
        )

    def test_a_plain_model_beside_a_cache_is_not_used(self, tmp_path: Path) -> None:
        write_files(tmp_path / "models", model_files())
        write_snapshot(tmp_path / "models", "a/b")
        miss(ModelNotFound, tmp_path, tmp_path / "models")


FOLDER = "models--tiiuae--falcon-7b-instruct"


class TestCopiedCaches:
    """Caches as people copy, mount and point at them."""

    @pytest.mark.parametrize(
        "content",
        [
            f"{COMMIT}\n".encode(),
            f"{COMMIT}\r\n".encode(),
            f"\ufeff{COMMIT}".encode(),
            COMMIT.encode("utf-16"),
            f'"{COMMIT}"'.encode(),
            COMMIT.upper().encode(),
            COMMIT[:7].encode(),
        ],
        ids=["newline", "CRLF", "BOM", "PowerShell", "quotes", "upper case", "short"],
    )
    def test_a_ref_written_by_hand_is_understood(self, tmp_path: Path, content: bytes) -> None:
        write_snapshot(tmp_path)
        (tmp_path / FOLDER / "refs" / "main").write_bytes(content)
        assert find_model(a_request(tmp_path, tmp_path)).revision == COMMIT

    @pytest.mark.parametrize("part", ["", "snapshots", "blobs", "refs", f"snapshots/{COMMIT}"])
    def test_any_folder_of_a_repository_is_its_model(self, tmp_path: Path, part: str) -> None:
        path = write_snapshot(tmp_path)
        found = find_model(a_request(tmp_path, model_id=str(tmp_path / FOLDER / part)))
        assert found.path == path

    @pytest.mark.parametrize(
        ("root", "cache"),
        [
            ("hub/hub", "hub"),
            ("hub/missing", "hub"),
            (f"hub/{FOLDER}", "hub"),
            (f"hub/{FOLDER}/snapshots", "hub"),
            ("home", "home/huggingface/hub"),
            ("home", "home/.cache/huggingface/hub"),
        ],
    )
    def test_a_folder_near_the_cache_names_the_cache(
        self, tmp_path: Path, root: str, cache: str
    ) -> None:
        write_snapshot(tmp_path / cache)
        error = miss(ModelNotFound, tmp_path, tmp_path / root)
        assert str(error.hint).startswith(f"Set HF_HUB_CACHE={tmp_path / cache}.")

    @pytest.mark.parametrize("above", ["", "models"])
    def test_a_folder_called_like_the_repository_is_named(self, tmp_path: Path, above: str) -> None:
        path = write_files(tmp_path / above / FALCON, model_files())
        error = miss(ModelNotFound, tmp_path, tmp_path)
        assert str(error.hint).startswith(f"Set MODEL_ID={path}.")

    def test_links_that_were_followed_are_harmless(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "a")
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        shutil.rmtree(tmp_path / "b" / FOLDER / "blobs")
        assert find_model(a_request(tmp_path, tmp_path / "b")).revision == COMMIT

    def test_links_without_blobs_have_the_advice_to_copy_them(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        shutil.rmtree(tmp_path / FOLDER / "blobs")
        with pytest.raises(IncompleteModel) as caught:
            find_model(a_request(tmp_path, tmp_path))
        assert "with its blobs" in str(caught.value.hint)

    def test_links_that_became_text_are_named(self, tmp_path: Path) -> None:
        for link in write_snapshot(tmp_path).iterdir():
            target = os.readlink(link)
            link.unlink()
            link.write_text(target)
        with pytest.raises(IncompleteModel) as caught:
            find_model(a_request(tmp_path, tmp_path))
        assert "config.json (the text of a link" in caught.value.message
        assert "cp -a" in str(caught.value.hint)

    def test_what_tools_leave_in_a_cache_is_harmless(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path)
        write_files(
            tmp_path, {f".locks/{FOLDER}/x.lock": b"", "CACHEDIR.TAG": b"", ".DS_Store": b""}
        )
        write_files(tmp_path / FOLDER, {f".no_exist/{COMMIT}/x.json": b"", ".DS_Store": b""})
        write_files(path, {"notes.txt": b"x", ".DS_Store": b"", "._config.json": b""})
        assert find_model(a_request(tmp_path, tmp_path)).path == path

    def test_a_name_without_its_owner_is_recognized(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        error = miss(ModelNotFound, tmp_path, tmp_path, model_id="Falcon-7B-Instruct")
        assert error.nearest == FALCON

    @pytest.mark.parametrize("name", ["model.zip", "model.tar.xz", "model.7z"])
    @pytest.mark.parametrize("given", ["file", "folder"])
    def test_an_archive_that_is_not_read_must_be_unpacked(
        self, tmp_path: Path, name: str, given: str
    ) -> None:
        write_files(tmp_path, {name: b"x"})
        path = tmp_path / name if given == "file" else tmp_path
        with pytest.raises((IncompleteModel, ModelNotFound)) as caught:
            find_model(a_request(tmp_path, model_id=str(path)))
        assert "Unpack it, and set MODEL_ID" in str(caught.value.hint)
