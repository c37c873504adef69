"""The names that the server answers to."""

from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.planning.served_names import served_names
from entrypoint.store.model import Model
from tests.support.samples import MODEL, SNAPSHOT, asked


def test_they_are_derived_from_the_repository_id() -> None:
    assert served_names(asked(), MODEL) == ("Meta--Llama", "meta--llama", "Meta/Llama")


def test_only_the_first_slash_is_replaced() -> None:
    model = Model("cache", SNAPSHOT, "a/b/c", None, None, 0, ())
    assert served_names(asked(MODEL_ID="a/b/c"), model) == ("a--b/c", "a/b/c")


def test_a_directory_is_named_by_its_last_component() -> None:
    model = Model("directory", Path("/data/My-Model"), None, None, None, 0, ())
    names = served_names(asked(MODEL_ID="/data/My-Model/"), model)
    assert names == ("My-Model", "my-model", "/data/My-Model/")


def test_a_uri_is_not_a_name() -> None:
    model = replace(MODEL, path=None, repository=None)
    names = served_names(asked(MODEL_ID="s3://bucket/Org--Model.tar"), model)
    assert names == ("Org--Model", "org--model")


def test_a_model_in_a_tarball_is_named_by_model_id() -> None:
    model = replace(MODEL, source="tarball", path=Path("/scratch/a-1/x"), repository=None)
    assert served_names(asked(), model) == ("Meta--Llama", "meta--llama", "Meta/Llama")


def test_model_serve_name_wins_over_derived_names() -> None:
    assert served_names(asked(MODEL_SERVE_NAME="one, two,one"), MODEL) == ("one", "two")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(SettingError, match="MODEL_SERVE_NAME='one,,two' contains an empty name"):
        served_names(asked(MODEL_SERVE_NAME="one,,two"), MODEL)
