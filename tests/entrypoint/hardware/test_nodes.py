"""Device nodes are listed by number, and inaccessible ones are found."""

from pathlib import Path

import pytest

from entrypoint.hardware.nodes import first_inaccessible, numbered_entries
from tests.support.hardware import tree


def test_entries_are_sorted_by_number(tmp_path: Path) -> None:
    names = ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "xnvidia3")
    root = tree(tmp_path, {f"dev/{name}": "" for name in names})
    assert numbered_entries(root / "dev", "nvidia") == (2, 10)


def test_a_missing_folder_has_no_entries(tmp_path: Path) -> None:
    assert numbered_entries(tmp_path / "dev", "nvidia") == ()


def test_the_first_inaccessible_node_is_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """access() is replaced, because root may open every node."""
    tree(tmp_path, {"a": "", "b": ""})
    nodes = [tmp_path / "a", tmp_path / "b"]
    assert first_inaccessible(nodes) is None
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path / "b")
    assert first_inaccessible(nodes) == tmp_path / "b"
