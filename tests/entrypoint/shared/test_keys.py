"""Which keys are let in, and that a changed file counts."""

import os
from pathlib import Path

import pytest

from entrypoint.shared.keys import Keys, read_keys


def written(path: Path, text: str) -> Path:
    """Write a file as Kubernetes updates one: a new file, put in its place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)
    return path


class TestNames:
    def test_a_known_key(self) -> None:
        keys = Keys(["first", "second"])
        name = keys.name_of("Bearer second")
        assert name
        assert name != keys.name_of("Bearer first")
        assert "second" not in name

    @pytest.mark.parametrize(
        "header", ["", "first", "Basic first", "Bearer", "Bearer ", "Bearer firs", "Bearer first1"]
    )
    def test_what_is_not_let_in(self, header: str) -> None:
        assert Keys(["first"]).name_of(header) is None

    @pytest.mark.parametrize("header", ["bearer first", "BEARER first", "Bearer  first "])
    def test_how_the_scheme_is_spelled_does_not_matter(self, header: str) -> None:
        assert Keys(["first"]).name_of(header)

    def test_characters_outside_ascii(self) -> None:
        assert Keys(["schlüssel"]).name_of("Bearer schlüssel")


def test_no_key_is_needed_where_there_is_none() -> None:
    assert not Keys([])
    assert Keys(["first"])


class TestFile:
    def test_keys_of_both(self, tmp_path: Path) -> None:
        keys = Keys(["fixed"], written(tmp_path / "keys", "one\n\n  two  \n"))
        assert all(keys.name_of(f"Bearer {key}") for key in ("fixed", "one", "two"))

    def test_a_change_counts(self, tmp_path: Path) -> None:
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
    def test_a_change_for_the_worse_leaves_the_keys(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
    ) -> None:
        """Nobody is locked out, and nobody let in, by a file that is half-way through a change."""
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

    def test_a_missing_one(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="cannot be read"):
            read_keys(tmp_path / "keys")
