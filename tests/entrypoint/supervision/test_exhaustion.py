"""Which exceptions mean an exhausted limit. tests/faults exhausts real ones."""

import errno
import os

import pytest

from entrypoint.errors import MachineError
from entrypoint.supervision.exhaustion import exhaustion, named_limits


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
