"""Which exceptions mean an exhausted limit. tests/faults exhausts real ones."""

import errno
import os
import subprocess
import sys

import pytest

from entrypoint.errors import MachineError
from entrypoint.supervision.exhaustion import NEEDED_FILES, exhaustion, named_limits


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("can't start new thread"), "thread or process"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "thread or process"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "file or connection"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "memory"),
        (MemoryError(), "memory"),
    ],
)
def test_an_exhausted_limit_is_named(error: Exception, words: str) -> None:
    found = exhaustion(error)
    assert found is not None
    assert words in found.message
    assert found.exit_code == 71


@pytest.mark.parametrize("error", [RuntimeError("other"), OSError(errno.EACCES, "no"), OSError()])
def test_another_error_names_no_limit(error: Exception) -> None:
    assert exhaustion(error) is None


def test_an_error_in_the_block_is_replaced_by_the_limit() -> None:
    with pytest.raises(MachineError, match="file or connection"), named_limits():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    with pytest.raises(KeyError), named_limits():
        raise KeyError


class TestFileLimit:
    """In separate processes, because a limit cannot be raised again."""

    def raised(self, limits: str) -> str:
        script = (
            "import resource\n"
            "from entrypoint.errors import MachineError\n"
            "from entrypoint.supervision.exhaustion import raise_file_limit\n"
            "try: raise_file_limit()\n"
            "except MachineError as error: print(error.in_words())\n"
            "else: print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        )
        words = ["prlimit", f"--nofile={limits}", sys.executable, "-c", script]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    @pytest.mark.parametrize("limit", [5, 6, 7, 40, NEEDED_FILES - 1])
    def test_a_limit_below_what_the_engine_needs_is_named(self, limit: int) -> None:
        words = self.raised(f"{limit}:{limit}")
        assert f"The limit on open files is {limit}" in words
        assert f"needs at least {NEEDED_FILES}" in words
        assert "ulimit -n" in words

    def test_the_soft_limit_is_raised_to_the_hard_one(self) -> None:
        assert self.raised("10:1000") == "(1000, 1000)\n"
        assert (
            self.raised(f"{NEEDED_FILES}:{NEEDED_FILES}") == f"({NEEDED_FILES}, {NEEDED_FILES})\n"
        )
