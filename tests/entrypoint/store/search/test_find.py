"""The order in which places are searched for a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from entrypoint.store.search.find import find_model
from tests.support.models import (
    FALCON,
    a_request,
    model_files,
    write_snapshot,
)

SIZE = sum(map(len, model_files().values()))


class TestHub:
    def test_the_hub_is_searched_last(self, tmp_path: Path) -> None:
        model = find_model(a_request(tmp_path, tmp_path / "gone", offline=False, revision="v1"))
        assert (model.source, model.path, model.on_disk) == ("hub", None, False)
        assert (model.repository, model.requested_revision) == (FALCON, "v1")
        assert [attempt.way for attempt in model.searched] == ["cache", "tarball", "hub"]

    def test_the_hub_is_used_if_the_cache_has_an_incomplete_model(self, tmp_path: Path) -> None:
        (write_snapshot(tmp_path) / "model.safetensors").unlink()
        model = find_model(a_request(tmp_path, tmp_path, offline=False))
        assert model.source == "hub"
        assert "incomplete" in model.searched[0].outcome

    def test_the_hub_is_not_used_if_the_cache_has_the_model(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        assert find_model(a_request(tmp_path, tmp_path, offline=False)).source == "cache"


def test_nothing_slow_is_imported_for_a_directory_or_a_cache(tmp_path: Path) -> None:
    write_snapshot(tmp_path)
    script = (
        "import sys; from pathlib import Path\n"
        "from entrypoint.store.search.find import find_model\n"
        "from entrypoint.store.model import Request\n"
        "root = Path(sys.argv[1])\n"
        f"find_model(Request({FALCON!r}, None, (root,), None, True, None, root, mount=root))\n"
        "slow = {'huggingface_hub', 'zstandard', 'tarfile', 'gzip', 'httpx', 'subprocess'}\n"
        "print(sorted(slow & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
