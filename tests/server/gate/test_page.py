"""The page of routes, compared with the installed vLLM's application."""

from __future__ import annotations

import pytest

from server.gate import page
from server.gate.routes import DECISIONS, decide

NEEDS_MORE = {"POST /cohere/v2/chat", "POST /cohere/v2/chat/render"}
"""Routes that need a package that is not installed."""


@pytest.fixture(scope="module")
def routes() -> set[str]:
    return page.every_route()


def test_every_route_has_a_decision(routes: set[str]) -> None:
    undecided = [route for route in routes if decide(*route.split(" ", 1)) is None]
    assert undecided == [], "closed, until someone decides in server/gate/routes.py"


def test_every_decision_has_a_route(routes: set[str]) -> None:
    assert set(DECISIONS) - routes == NEEDS_MORE


def test_the_page_is_up_to_date(routes: set[str]) -> None:
    assert page.OUTPUT.read_text() == page.render(routes), "run: make routes"


def test_the_page_shows_a_new_route_as_closed() -> None:
    assert "| `POST /v9/new` | nobody | |" in page.render({"POST /v9/new"})
