"""The pod is read without changes, and must have what the engine needs."""

from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.errors import MachineError
from entrypoint.hardware.hardware import Kind
from entrypoint.pod.pod import QUEUE_BYTES, SCRATCH_BYTES, Place, check_pod, read_place, read_pod
from tests.support.samples import POD, ROOMY


class TestReading:
    def test_a_missing_folder_has_its_parents_space(self, tmp_path: Path) -> None:
        place = read_place(tmp_path / "a" / "b")
        assert place.path == tmp_path / "a" / "b"
        assert place.writable
        assert place.free_bytes > 0

    def test_a_noexec_mount_is_not_executable(self) -> None:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        options = next(mount[3] for mount in mounts if mount[1] == "/proc").split(",")
        assert read_place(Path("/proc")).executable is ("noexec" not in options)

    def test_reading_creates_nothing(self, tmp_path: Path) -> None:
        read_pod({"HOME": "/dev/null/home"}, tmp_path / "scratch")
        assert list(tmp_path.iterdir()) == []

    def test_a_machine_can_have_no_dev_shm(self, tmp_path: Path) -> None:
        assert read_pod({}, tmp_path, shm=tmp_path / "shm").shm is None

    def test_a_pod_has_redirected_caches_and_injected_variables(self, tmp_path: Path) -> None:
        pod = read_pod({"VLLM_PORT": "tcp://10.0.0.1:80"}, tmp_path)
        assert pod.environment["VLLM_CACHE_ROOT"] == str(tmp_path / "vllm")
        assert pod.injected == ("VLLM_PORT",)


def shm(free_bytes: int) -> Place:
    return replace(ROOMY, path=Path("/dev/shm"), free_bytes=free_bytes)


class TestSharedMemory:
    @pytest.mark.parametrize(("kind", "ranks"), [("cpu", 1), ("cpu", 2), ("cuda", 2), ("hpu", 8)])
    def test_dockers_default_size_is_too_small(self, kind: Kind, ranks: int) -> None:
        pod = replace(POD, shm=shm(64 << 20))
        with pytest.raises(
            MachineError, match=r"/dev/shm has 64\.0 MiB free, .* need [23]"
        ) as raised:
            check_pod(pod, kind, ranks)
        assert "--shm-size 1g" in str(raised.value.hint)
        assert "medium: Memory" in str(raised.value.hint)

    @pytest.mark.parametrize(("kind", "ranks"), [("cuda", 1), ("rocm", 1), ("openvino", 1)])
    def test_an_engine_in_one_process_needs_no_shared_memory(self, kind: Kind, ranks: int) -> None:
        check_pod(replace(POD, shm=shm(64 << 20)), kind, ranks)
        check_pod(replace(POD, shm=None), kind, ranks)

    def test_more_ranks_need_more_shared_memory(self) -> None:
        pod = replace(POD, shm=shm(QUEUE_BYTES + (10 << 20)))
        check_pod(pod, "cpu", 1)
        with pytest.raises(MachineError):
            check_pod(pod, "cpu", 2)

    def test_dev_shm_must_exist(self) -> None:
        with pytest.raises(MachineError, match="/dev/shm is missing"):
            check_pod(replace(POD, shm=None), "cpu", 1)

    def test_dev_shm_must_be_writable(self) -> None:
        with pytest.raises(MachineError, match="/dev/shm is not writable for user"):
            check_pod(replace(POD, shm=replace(shm(1 << 30), writable=False)), "cpu", 1)


class TestScratch:
    @pytest.mark.parametrize("kind", ["cpu", "cuda", "rocm"])
    def test_the_scratch_directory_must_not_be_noexec(self, kind: Kind) -> None:
        pod = replace(POD, scratch=replace(ROOMY, executable=False))
        with pytest.raises(MachineError, match="noexec") as raised:
            check_pod(pod, kind, 1)
        assert "--tmpfs /tmp:exec" in str(raised.value.hint)
        assert "Kubernetes" in str(raised.value.hint)

    def test_the_scratch_directory_must_have_space(self) -> None:
        pod = replace(POD, scratch=replace(ROOMY, free_bytes=SCRATCH_BYTES - 1))
        with pytest.raises(MachineError, match="free, and the engine needs") as raised:
            check_pod(pod, "cpu", 1)
        assert raised.value.exit_code == 71

    def test_an_engine_that_compiles_nothing_needs_no_scratch_space(self) -> None:
        check_pod(replace(POD, scratch=replace(ROOMY, free_bytes=0, executable=False)), "hpu", 1)


def test_an_unusable_tmpdir_is_replaced_for_the_engine_with_a_note(tmp_path: Path) -> None:
    pod = read_pod({"HOME": str(tmp_path), "TMPDIR": "/nonexistent"}, tmp_path / "scratch")
    assert pod.temporary == Path("/tmp")
    assert pod.environment["TMPDIR"] == "/tmp"
    (note,) = pod.notes
    assert note.message == ("TMPDIR='/nonexistent' does not exist. Using /tmp for temporary files.")
    assert "TMPDIR" not in read_pod({"TMPDIR": str(tmp_path)}, tmp_path).environment
