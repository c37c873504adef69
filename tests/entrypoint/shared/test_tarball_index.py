"""The index by which the engine's loader finds the weights in a tarball."""

from pathlib import Path

from entrypoint.shared.tarball_index import Index


def test_a_written_index_reads_back_equal(tmp_path: Path) -> None:
    index = Index(
        "/m.tar", 4096, 17, "model", {"a.safetensors": (1536, 20), "b.safetensors": (2, 3)}
    )
    (tmp_path / "tarball.json").write_text(index.dump())
    assert Index.load(tmp_path / "tarball.json") == index
