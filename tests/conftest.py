"""What holds for every test: its marker, its group, and whether it runs beside others.

``pytest -n 2`` runs the tests in two processes. A group runs in one process, in order: the tests
that share an engine, or else a test module.
"""

from __future__ import annotations

import fcntl
import logging
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.support.demo_server"]

TESTS = Path(__file__).parent

MARKERS = {
    "clients": "engine",
    "container": "engine",
    "demo/test_evaluate.py": "slow",
    "demo/test_train.py": "slow",
    "end_to_end": "engine",
    "entrypoint/store/hub/test_client.py": "slow",
    "entrypoint/supervision/test_supervisor.py": "slow",
    "faults/test_scripted.py": "faults",
    "server": "engine",
}
"""Markers of folders and modules."""

GROUPS = {
    "clients/test_conformance.py": "server",
    "clients/test_examples.py": "server",
    "container/test_accelerators.py": "stand-in image",
    "container": "cpu image",
    "end_to_end/test_chat.py": "server",
    "end_to_end/test_deploy.py": "server",
    "end_to_end/test_errors.py": "server",
    "end_to_end/test_gate.py::TestKeys": "server",
    "end_to_end/test_hostile.py": "server",
    "end_to_end/test_launch.py::TestServing": "server",
    "end_to_end/test_ranks.py": "server",
    "end_to_end/test_requests.py": "server",
    "end_to_end/test_soak.py": "server",
    "end_to_end/test_tool_calls.py": "server",
    "server/openvino": "converted models",
}
"""Groups of several modules, by the start of a test's id; the first match counts."""

SPREAD = (
    "end_to_end/test_failures.py",
    "end_to_end/test_launch.py",
    "end_to_end/test_refusals.py",
    "end_to_end/test_tarball.py",
    "faults/test_scripted.py",
)
"""Modules whose tests share nothing: each test is a group."""

LONGEST = ("container", "end_to_end", "clients", "server", "faults")
"""Folders that take long; they start first, so that the processes end together."""

FIRST = TESTS / "server/test_internals.py"
"""The test that names what an update of uvicorn or vLLM has changed."""


def marker_of(path: Path) -> str | None:
    """Return the marker of a test module, by its folder or name."""
    place = path.relative_to(TESTS)
    for known in (place, *place.parents):
        if marker := MARKERS.get(known.as_posix()):
            return marker
    return None


def group_of(test: str) -> str:
    """Return the group of a test, by its id."""
    test = test.removeprefix("tests/")
    if test.startswith("container/") and "[openvino" in test:
        return "openvino image"
    for start, group in GROUPS.items():
        if test.startswith(start):
            return group
    return test if test.startswith(SPREAD) else test.partition("::")[0]


def order(item: pytest.Item) -> tuple[int, int, bool]:
    """Return where a test stands: long ones first, those that run alone last in their group."""
    if item.path == FIRST:
        return (-1, 0, False)
    folder = item.path.relative_to(TESTS).parts[0]
    long = LONGEST.index(folder) if folder in LONGEST else len(LONGEST)
    kind = 0 if group_of(item.nodeid) == "server" else 2 - ("slow" in item.keywords)
    return (long, kind, "alone" in item.keywords)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what ``-m 'not engine and not slow'`` leaves out: vLLM takes seconds."""
    left_out = config.option.markexpr.split(" and ")
    if collection_path.is_relative_to(TESTS) and f"not {marker_of(collection_path)}" in left_out:
        return True
    return None


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if marker := marker_of(item.path):
            item.add_marker(marker)
    items.sort(key=order)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Give each process a group at a time; pytest-xdist 3.8 loses its own groups on pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


@cache
def turns() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of the locks by which the processes take turns; removed at the end."""
    return tempfile.TemporaryDirectory(prefix="inference-server-tests-")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["turns"] = turns().name


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-timeout starts to count
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    level = logging.root.level
    try:
        if not hasattr(item.config, "workerinput"):
            return (yield)
        with turn(Path(item.config.workerinput["turns"]), "alone" in item.keywords):
            return (yield)
    finally:
        logging.root.setLevel(level)  # parts of vLLM change it as they are imported


@pytest.hookimpl(trylast=True)  # after the fixtures
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    from tests.support.demo_server import stop_demo_server  # pytest registers the plugin first

    ends = nextitem is None or group_of(nextitem.nodeid) != "server"
    if group_of(item.nodeid) == "server" and ends:
        stop_demo_server()


@contextmanager
def turn(folder: Path, alone: bool) -> Iterator[None]:
    """Wait until no test runs that must be alone; for such a test, until no other test runs."""
    # a test that must be alone keeps the door shut until the others have left the room
    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)
