"""The libraries to load first are found where they are installed."""

from pathlib import Path

from entrypoint.hardware.preload import preload_libraries
from tests.support.hardware import tree


def test_both_libraries_are_found_in_loading_order(tmp_path: Path) -> None:
    debian = "usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"
    root = tree(tmp_path, {debian: "", "venv/lib/libiomp5.so": ""})
    assert preload_libraries(root, root / "venv") == {
        "tcmalloc": str(root / debian),
        "openmp": str(root / "venv/lib/libiomp5.so"),
    }


def test_the_allocator_is_found_in_red_hats_folder(tmp_path: Path) -> None:
    root = tree(tmp_path, {"usr/lib64/libtcmalloc_minimal.so.4": ""})
    assert preload_libraries(root, root / "venv") == {
        "tcmalloc": str(root / "usr/lib64/libtcmalloc_minimal.so.4")
    }


def test_missing_libraries_are_left_out(tmp_path: Path) -> None:
    assert preload_libraries(tmp_path, tmp_path) == {}
