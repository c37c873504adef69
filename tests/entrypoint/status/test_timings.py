"""How long earlier launches took, and which launches are alike."""

from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.planning.listen import Listen
from entrypoint.planning.option import PlannedOption
from entrypoint.shared.handover import Phase
from entrypoint.status.timings import FILE, KEPT, expected_seconds, launch_key, remember
from tests.support.samples import a_plan

SECONDS = {Phase.IMPORT: 20.5, Phase.WEIGHTS: 3.0}


def test_a_saved_launch_is_expected_by_its_key(tmp_path: Path) -> None:
    remember(tmp_path / "new", "key", SECONDS)
    assert expected_seconds(tmp_path / "new", "key") == SECONDS
    assert expected_seconds(tmp_path / "new", "another") == {}


def test_the_last_launch_replaces_earlier_ones(tmp_path: Path) -> None:
    remember(tmp_path, "key", SECONDS)
    remember(tmp_path, "key", {Phase.IMPORT: 1.0})
    assert expected_seconds(tmp_path, "key") == {Phase.IMPORT: 1.0}


def test_the_oldest_launches_are_dropped(tmp_path: Path) -> None:
    for number in range(KEPT + 1):
        remember(tmp_path, f"key-{number}", SECONDS)
    assert expected_seconds(tmp_path, "key-0") == {}
    assert expected_seconds(tmp_path, "key-1") == SECONDS


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}', '{"key": {"import": "x"}}'])
def test_a_damaged_file_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert expected_seconds(tmp_path, "key") == {}
    remember(tmp_path, "key", SECONDS)
    assert expected_seconds(tmp_path, "key") == SECONDS


def test_a_directory_that_cannot_be_created_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file" / "scratch", "key", SECONDS)
    assert expected_seconds(tmp_path / "file" / "scratch", "key") == {}


class TestKey:
    plan = a_plan(Listen("127.0.0.1", 8000))

    def key(self, *options: tuple[str, str]) -> str:
        planned = tuple(PlannedOption(name, value, "ARG", "ARG") for name, value in options)
        return launch_key(replace(self.plan, options=planned))

    def test_the_port_makes_no_difference(self) -> None:
        assert self.key(("--port", "1")) == self.key(("--port", "2"))

    def test_free_memory_makes_no_difference(self) -> None:
        name = "VLLM_CPU_KVCACHE_SPACE"
        assert self.key((name, "1")) == self.key((name, "2"))

    def test_the_dtype_makes_a_difference(self) -> None:
        assert self.key(("--dtype", "float32")) != self.key(("--dtype", "float16"))

    def test_the_model_makes_a_difference(self) -> None:
        other = replace(self.plan, model=replace(self.plan.model, path=Path("/other")))
        assert launch_key(other) != launch_key(self.plan)
