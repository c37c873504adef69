"""The message that Kubernetes shows after a failure."""

import os
from pathlib import Path

import pytest

from entrypoint.errors import EngineFailed, ModelNotFound
from entrypoint.supervision import termination
from entrypoint.supervision.termination import LIMIT_BYTES, termination_message, write_termination

ERROR = ModelNotFound("a/b", (), {}, None, hint="Fetch it.")


def unmasked(text: str) -> str:
    return text


class TestMessage:
    def test_it_starts_with_code_cause_and_fix(self) -> None:
        assert termination_message(ERROR, [], unmasked).decode() == (
            "model-not-found (exit code 66): The model 'a/b' (MODEL_ID) was not found.\nFetch it."
        )

    def test_the_engines_last_lines_follow(self) -> None:
        message = termination_message(ERROR, ["one", "two"], unmasked).decode()
        assert message.endswith("Fetch it.\n\nThe engine's last lines:\none\ntwo\n")

    def test_as_many_complete_lines_as_fit(self) -> None:
        lines = [f"line {number} é" for number in range(2000)]
        message = termination_message(ERROR, lines, unmasked)
        assert LIMIT_BYTES - 20 < len(message) <= LIMIT_BYTES
        shown = message.decode().splitlines()
        begin = shown.index("The engine's last lines:") + 1
        assert shown[begin:] == lines[-len(shown[begin:]) :]

    @pytest.mark.parametrize("before", range(4))
    def test_a_long_cause_is_cut_between_characters(self, before: int) -> None:
        message = termination_message(EngineFailed("x" * before + "é€" * 3000), ["l"], unmasked)
        assert LIMIT_BYTES - 3 <= len(message) <= LIMIT_BYTES
        message.decode()

    def test_a_secret_is_masked_before_the_cut(self) -> None:
        """Not even half of a secret is shown where the message is cut."""
        error = EngineFailed("x" * (LIMIT_BYTES - 40) + "geheim")
        message = termination_message(error, [], lambda text: text.replace("geheim", "***"))
        assert b"gehe" not in message


class TestWrite:
    def test_the_file_is_overwritten_in_place(self, tmp_path: Path) -> None:
        """Kubernetes mounts the file, so it must not be replaced."""
        path = tmp_path / "log"
        path.write_text("the previous content, which is longer")
        inode = path.stat().st_ino
        write_termination(b"message", path)
        assert path.read_text() == "message"
        assert path.stat().st_ino == inode

    def test_a_path_that_is_set_is_created(self, tmp_path: Path) -> None:
        write_termination(b"message", tmp_path / "log")
        assert (tmp_path / "log").read_text() == "message"

    def test_the_default_path_is_never_created(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(termination, "DEFAULT", tmp_path / "log")
        write_termination(b"message", termination.DEFAULT)
        assert not (tmp_path / "log").exists()
        (tmp_path / "log").touch()
        write_termination(b"message", termination.DEFAULT)
        assert (tmp_path / "log").read_text() == "message"

    def test_it_never_fails_and_never_waits(self, tmp_path: Path) -> None:
        (tmp_path / "directory").mkdir()
        os.mkfifo(tmp_path / "pipe")  # without a reader
        for name in ("directory", "pipe", "none/log", "x" * 300):
            write_termination(b"message", tmp_path / name)
        write_termination(b"message", Path("~nobody-with-this-name/log"))
