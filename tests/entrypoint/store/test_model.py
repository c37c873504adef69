"""A request, and the model that was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import Source
from entrypoint.store.model import Model
from tests.support.models import a_request


def a_model(source: Source, path: Path | None, archive: Path | None = None) -> Model:
    return Model(source, path, None, None, None, 0, (), archive)


@pytest.mark.parametrize(
    ("model", "on_disk"),
    [
        (a_model("cache", Path("/m")), True),
        (a_model("tarball", Path("/m")), True),
        (a_model("tarball", Path("/m"), Path("/a.tar")), False),
        (a_model("hub", None), False),
        (a_model("hub", Path("/m")), True),
    ],
)
def test_a_model_is_on_disk_once_it_has_a_path_and_nothing_to_unpack(
    model: Model, on_disk: bool
) -> None:
    assert model.on_disk is on_disk


def test_the_token_of_a_request_is_not_shown(tmp_path: Path) -> None:
    request = a_request(tmp_path, token="hf_secret")
    assert "hf_secret" not in f"{request} {request!r}"
