"""Device nodes: their numbers, and whether this process may open them."""

from pathlib import Path

import pytest

from entrypoint.hardware.nodes import closed, numbered
from tests.support.hardware import tree


def test_numbers_are_in_order_of_size(tmp_path: Path) -> None:
    names = ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "xnvidia3")
    root = tree(tmp_path, {f"dev/{name}": "" for name in names})
    assert numbered(root / "dev", "nvidia") == (2, 10)


def test_no_folder(tmp_path: Path) -> None:
    assert numbered(tmp_path / "dev", "nvidia") == ()


def test_the_first_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, to whom every node is open: hence the stand-in for access()."""
    tree(tmp_path, {"a": "", "b": ""})
    nodes = [tmp_path / "a", tmp_path / "b"]
    assert closed(nodes) is None
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path / "b")
    assert closed(nodes) == tmp_path / "b"
