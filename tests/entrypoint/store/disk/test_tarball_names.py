"""Which names are names of tarballs."""

from __future__ import annotations

import pytest

from entrypoint.store.disk.tarball_names import without_suffix


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.zst"])
def test_each_suffix_of_a_tarball_is_removed(suffix: str) -> None:
    assert without_suffix(f"a.tar.b{suffix}") == "a.tar.b"


@pytest.mark.parametrize("name", ["model.zip", "model.tar.xz", "tar", "model.gz", ""])
def test_a_name_without_such_a_suffix_stays_as_it_is(name: str) -> None:
    assert without_suffix(name) == name
