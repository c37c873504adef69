"""Which keys are accepted, also after the file has changed."""

import os
from pathlib import Path

import pytest

from entrypoint.shared.keys import Keys, read_keys


def written(path: Path, text: str) -> Path:
    """Write a file as Kubernetes updates one: write a new file and rename it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)
    return path


class TestNames:
    def test_each_accepted_key_has_its_own_name(self) -> None:
        keys = Keys(["first", "second"])
        name = keys.name_of("Bearer second")
        assert name
        assert name != keys.name_of("Bearer first")
        assert "second" not in name

    @pytest.mark.parametrize(
        "header", ["", "first", "Basic first", "Bearer", "Bearer ", "Bearer firs", "Bearer first1"]
    )
    def test_a_wrong_header_is_not_accepted(self, header: str) -> None:
        assert Keys(["first"]).name_of(header) is None

    @pytest.mark.parametrize("header", ["bearer first", "BEARER first", "Bearer  first "])
    def test_the_case_of_the_scheme_and_extra_blanks_do_not_matter(self, header: str) -> None:
        assert Keys(["first"]).name_of(header)

    def test_a_key_may_contain_characters_outside_ascii(self) -> None:
        assert Keys(["schlüssel"]).name_of("Bearer schlüssel")


def test_requests_need_a_key_only_if_one_is_set() -> None:
    assert not Keys([])
    assert Keys(["first"])


class TestFile:
    def test_fixed_keys_and_those_of_the_file_are_accepted(self, tmp_path: Path) -> None:
        keys = Keys(["fixed"], written(tmp_path / "keys", "one\n\n  two  \n"))
        assert all(keys.name_of(f"Bearer {key}") for key in ("fixed", "one", "two"))

    def test_a_changed_file_replaces_its_keys_only(self, tmp_path: Path) -> None:
        path = written(tmp_path / "keys", "old\n")
        keys = Keys(["fixed"], path)
        keys.reload()
        assert keys.name_of("Bearer old")
        written(path, "new\n")
        keys.reload()
        assert keys.name_of("Bearer new")
        assert keys.name_of("Bearer fixed")
        assert keys.name_of("Bearer old") is None

    @pytest.mark.parametrize("text", ["", " \n", None])
    def test_an_unusable_new_file_leaves_the_previous_keys(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
    ) -> None:
        """A file in the middle of an update neither locks clients out nor opens the server."""
        path = written(tmp_path / "keys", "old\n")
        keys = Keys([], path)
        if text is None:
            path.unlink()
        else:
            written(path, text)
        keys.reload()
        assert keys.name_of("Bearer old")
        assert keys
        assert "API_KEY_FILE" in caplog.text

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"cannot be read: No such file or directory$"):
            read_keys(tmp_path / "keys")
