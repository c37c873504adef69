"""Searches for a model that fail."""

from __future__ import annotations

from typing import Any

import pytest

from entrypoint.errors import ModelNotFound
from entrypoint.store.search.find import find_model
from tests.support.models import a_request


def miss(kind: type[ModelNotFound], *args: Any, **changes: Any) -> ModelNotFound:
    """Return the error of a search for a model that cannot be found."""
    with pytest.raises(kind) as caught:
        find_model(a_request(*args, **changes))
    assert type(caught.value) is kind
    return caught.value
