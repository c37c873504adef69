"""What holds for every test: its marker, its group, and whether it runs beside others.

``pytest -n 2 --dist loadgroup --no-loadscope-reorder`` runs the tests in two processes. A group is
what one process runs in order: the tests that share an engine, or a test module. Tests that start
their own engine, and slow ones, are spread over the processes.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

MARKERS = {
    "container": "engine",
    "demo/test_evaluate.py": "slow",
    "demo/test_train.py": "slow",
    "end_to_end": "engine",
    "faults/test_scripted.py": "faults",
    "server": "engine",
}
"""Markers of complete folders and modules."""

ENGINES = ("server", "limited", "stalling")
"""Fixtures that start an engine for several tests, the one with most tests first."""

DOOR, ROOM = TESTS / "__init__.py", TESTS / "conftest.py"
"""Files to lock: a test holds the room; a test that must be alone also keeps the door shut."""


def marker_of(path: Path) -> str | None:
    """Return the marker of a test module by its place."""
    place = path.relative_to(TESTS)
    for known in (place, *place.parents):
        if marker := MARKERS.get(known.as_posix()):
            return marker
    return None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what ``-m 'not engine and not slow'`` leaves out: vLLM takes seconds."""
    left_out = config.option.markexpr.split(" and ")
    if collection_path.is_relative_to(TESTS) and f"not {marker_of(collection_path)}" in left_out:
        return True
    return None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = {}
    for item in items:
        if marker := marker_of(item.path):
            item.add_marker(marker)
        if group := group_of(item):
            item.add_marker(pytest.mark.xdist_group(group))
        groups[item] = group
    items.sort(key=lambda item: order(item, groups[item]))


def group_of(item: pytest.Item) -> str | None:
    """Return the group of a test; None for a test that any process may run."""
    place = item.path.relative_to(TESTS)
    fixtures = getattr(item, "fixturenames", ())
    for engine in ENGINES:
        if engine in fixtures:
            return engine
    if place.is_relative_to("server/openvino"):
        return "openvino"  # they share the converted models
    if place.parts[0] in ("end_to_end", "faults") or "slow" in item.keywords:
        return None
    return place.as_posix()


def order(item: pytest.Item, group: str | None) -> tuple[int, int]:
    """Return where a test stands: what takes long starts first, so that the processes end together.

    Tests that must be alone are the last of their group.
    """
    place = item.path.relative_to(TESTS).parts[0]
    kinds = ("end_to_end", "server", "faults")
    kind = kinds.index(place) if place in kinds else len(kinds) - ("slow" in item.keywords)
    engine = ENGINES.index(group) if group in ENGINES else len(ENGINES)
    alone = "alone" in item.keywords
    return (kind, 2 * engine + alone)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-timeout starts to count
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with turn("alone" in item.keywords):
        return (yield)


@contextmanager
def turn(alone: bool) -> Iterator[None]:
    """Wait until no test runs that must be alone; for such a test, until no other test runs."""
    with DOOR.open() as door, ROOM.open() as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)
