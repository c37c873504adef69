"""One file's way to the disk, against the stand-in: resumed, in parts, tried again, given up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from entrypoint.store.hub import transfer as module
from entrypoint.store.hub.transfer import (
    TRIES,
    Damaged,
    Transfer,
    fetch_blob,
    partial_path,
)
from entrypoint.store.threads import Stop, Stopped
from entrypoint.store.writing.publish import publish
from tests.support.hub_stand_in import Fault, Hub, git_blob, serve_hub
from tests.support.models import COMMIT, sha256

LARGE = bytes(range(256)) * 200
SMALL = b'{"a": 1}'


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_hub(Hub({"a.bin": LARGE, "b.json": SMALL})) as hub:
        yield hub


class Waits(Stop):
    """Never set. Records the seconds instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


def fetch(hub: Hub, path: Path, transfer: Transfer, stopped: Stop | None = None) -> list[str]:
    """Fetch a file, and return the notices."""
    notices: list[str] = []
    url = f"{hub.address}/{hub.name}/resolve/{COMMIT}/{transfer.name}"
    fetch_blob(transfer, path, url, {}, stopped or Waits(), notices.append)
    return notices


def large() -> Transfer:
    return Transfer("a.bin", sha256(LARGE), len(LARGE))


class TestFetch:
    @pytest.mark.parametrize(
        ("name", "blob", "content"),
        [("a.bin", sha256(LARGE), LARGE), ("b.json", git_blob(SMALL), SMALL)],
    )
    def test_a_file_arrives_with_its_content(
        self, tmp_path: Path, hub: Hub, name: str, blob: str, content: bytes
    ) -> None:
        transfer = Transfer(name, blob, len(content))
        assert fetch(hub, tmp_path / blob, transfer) == []
        assert (tmp_path / blob).read_bytes() == content
        assert not partial_path(tmp_path / blob).exists()
        assert (transfer.done, transfer.resumed, transfer.complete) == (len(content), 0, True)

    def test_an_empty_file_needs_no_request(self, tmp_path: Path, hub: Hub) -> None:
        fetch(hub, tmp_path / "blob", Transfer("none", git_blob(b""), 0))
        assert (tmp_path / "blob").read_bytes() == b""
        assert hub.asked == []

    @pytest.mark.parametrize("there", [1, 1000, len(LARGE)])
    def test_a_partial_file_is_resumed(self, tmp_path: Path, hub: Hub, there: int) -> None:
        partial_path(tmp_path / "blob").write_bytes(LARGE[:there])
        transfer = large()
        fetch(hub, tmp_path / "blob", transfer)
        assert (tmp_path / "blob").read_bytes() == LARGE
        assert transfer.resumed == there
        assert hub.sent["a.bin"] == len(LARGE) - there

    def test_a_partial_file_that_is_too_long_is_cut(self, tmp_path: Path, hub: Hub) -> None:
        partial_path(tmp_path / "blob").write_bytes(LARGE + b"more")
        fetch(hub, tmp_path / "blob", large())
        assert (tmp_path / "blob").read_bytes() == LARGE
        assert hub.asked == []

    def test_a_very_large_file_comes_in_parts(
        self, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "SEGMENT", 20_000)
        fetch(hub, tmp_path / "blob", large())
        assert (tmp_path / "blob").read_bytes() == LARGE
        assert hub.asked == [("a.bin", 0), ("a.bin", 20_000), ("a.bin", 40_000)]

    def test_two_that_write_to_the_same_file_do_no_harm(self, tmp_path: Path, hub: Hub) -> None:
        """As where a file system has no locks."""
        hub.pause = 0.001
        with ThreadPoolExecutor(2) as pool:
            transfers = [large(), large()]
            for done in [pool.submit(fetch, hub, tmp_path / "blob", each) for each in transfers]:
                done.result()
        assert (tmp_path / "blob").read_bytes() == LARGE
        assert all(transfer.complete for transfer in transfers)

    @pytest.mark.parametrize("ranges", [False, True], ids=["no ranges", "damaged"])
    def test_one_that_starts_again_takes_nothing_from_another(
        self, tmp_path: Path, hub: Hub, ranges: bool
    ) -> None:
        """What another process has checked, it may rename at any moment."""
        hub.ranges = ranges
        partial = partial_path(tmp_path / "blob")
        partial.write_bytes(LARGE if ranges else LARGE[:40_000])
        before = partial.read_bytes()
        stopped = Stop()
        stopped.set()  # at the first piece
        wanted = Transfer("a.bin", "0" * 64, len(LARGE)) if ranges else large()
        with pytest.raises(Stopped):
            fetch(hub, tmp_path / "blob", wanted, stopped)
        assert hub.asked == [("a.bin", 0)]
        assert partial.read_bytes() == before

    @pytest.mark.parametrize("replaced", [True, False])
    def test_a_file_that_another_started_is_not_published(
        self, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, replaced: bool
    ) -> None:
        """1. Another process publishes the file, and a third one starts it again.

        Result: the complete file stays, or without one, an error.
        """
        blob = tmp_path / "blob"

        def publish_late(partial: Path, target: Path, *, state: os.stat_result) -> None:
            partial.rename(target if replaced else tmp_path / "elsewhere")
            partial.write_bytes(b"half")
            publish(partial, target, state=state)

        monkeypatch.setattr(module, "publish", publish_late)
        if replaced:
            fetch(hub, blob, large())
            assert blob.read_bytes() == LARGE
        else:
            with pytest.raises(OSError, match="another process has replaced it"):
                fetch(hub, blob, large())
            assert not blob.exists()
        assert partial_path(blob).read_bytes() == b"half"


class TestTries:
    def test_waits_get_longer_until_the_last_try(self, tmp_path: Path, hub: Hub) -> None:
        hub.faults["a.bin"] = Fault(status=503, times=100)
        waits = Waits()
        with pytest.raises(HfHubHTTPError, match="503"):
            fetch(hub, tmp_path / "blob", large(), waits)
        assert waits.seconds == [1, 2, 4, 8, 8]
        assert len(hub.asked) == TRIES + 1
        assert not (tmp_path / "blob").exists()

    def test_a_try_with_new_bytes_does_not_count(self, tmp_path: Path, hub: Hub) -> None:
        hub.faults["a.bin"] = Fault(cut=5000, times=9)
        waits = Waits()
        notices = fetch(hub, tmp_path / "blob", large(), waits)
        assert waits.seconds == [1] * 9
        assert notices[0].startswith("a.bin: stopped at 5,000 of 51,200 bytes (")
        assert hub.sent["a.bin"] == len(LARGE)

    def test_the_hub_sets_the_wait(self, tmp_path: Path, hub: Hub) -> None:
        limit = {"RateLimit": '"resolvers";r=0;t=7'}
        hub.faults["a.bin"] = Fault(status=429, headers=limit)
        waits = Waits()
        fetch(hub, tmp_path / "blob", large(), waits)
        assert waits.seconds == [7]

    @pytest.mark.parametrize(
        ("status", "headers"), [(403, {}), (404, {}), (429, {"Retry_After": "3600"})]
    )
    def test_a_permanent_error_is_not_retried(
        self, tmp_path: Path, hub: Hub, status: int, headers: dict[str, str]
    ) -> None:
        hub.faults["a.bin"] = Fault(status=status, headers=headers)
        waits = Waits()
        with pytest.raises(HfHubHTTPError, match=str(status)):
            fetch(hub, tmp_path / "blob", large(), waits)
        assert waits.seconds == []

    def test_a_hub_that_is_unreachable_is_an_error(self, tmp_path: Path, hub: Hub) -> None:
        waits = Waits()
        hub.storage = "http://127.0.0.1:1"
        with pytest.raises(httpx2.ConnectError):
            fetch(hub, tmp_path / "blob", large(), waits)
        assert len(waits.seconds) == TRIES


class TestRefused:
    @pytest.mark.parametrize(("size", "words"), [(100, "is longer"), (60_000, "HTTP 416|416")])
    def test_another_size_than_listed_is_refused(
        self, tmp_path: Path, hub: Hub, size: int, words: str
    ) -> None:
        with pytest.raises((Damaged, HfHubHTTPError), match=words):
            fetch(hub, tmp_path / "blob", Transfer("a.bin", sha256(LARGE), size))
        assert not (tmp_path / "blob").exists()

    def test_another_content_than_listed_is_not_resumed(self, tmp_path: Path, hub: Hub) -> None:
        with pytest.raises(Damaged, match="another content"):
            fetch(hub, tmp_path / "blob", Transfer("a.bin", "0" * 64, len(LARGE)))
        assert os.listdir(tmp_path) == []

    def test_wrong_content_is_withdrawn_where_another_process_has_published_it(
        self, tmp_path: Path, hub: Hub
    ) -> None:
        blob = tmp_path / "blob"
        partial_path(blob).touch()
        os.link(partial_path(blob), blob)
        with pytest.raises(Damaged, match="another content"):
            fetch(hub, blob, Transfer("a.bin", "0" * 64, len(LARGE)))
        assert os.listdir(tmp_path) == []

    def test_a_failure_of_another_file_stops_the_transfer(self, tmp_path: Path, hub: Hub) -> None:
        stopped = Stop()
        stopped.set()
        with pytest.raises(Stopped):
            fetch(hub, tmp_path / "blob", large(), stopped)
