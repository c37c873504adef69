"""The pages lead where they claim to, and name what exists."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.prose import FENCE, ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
MAKE = re.compile(r"(?:^|`)make ((?:[a-z-]+ ?)+)", re.MULTILINE)
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
SHA256_OF_APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def local_links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor of each link of ``page`` that stays in the repository."""
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" not in target:
            path, _, fragment = target.partition("#")
            yield (page.parent / path).resolve() if path else page, fragment


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for path, fragment in local_links(page):
        assert path.exists(), path
        if fragment:
            headings = HEADING.findall(FENCE.sub("", path.read_text()))
            assert fragment in map(anchor, headings), f"{path.name}#{fragment}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    named = {word for words in MAKE.findall(page.read_text()) for word in words.split()}
    assert named <= targets


def test_the_readme_leads_to_every_page() -> None:
    reached, open_pages = set(), [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        reached.add(page)
        linked = {path for path, _ in local_links(page) if path.suffix == ".md"}
        open_pages += linked - reached
    assert reached >= set(PAGES)


def test_license_is_the_unmodified_text_of_apache_2() -> None:
    copyright_line, text = (ROOT / "LICENSE").read_text().split("\n", 1)
    assert copyright_line.startswith("Copyright ")
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256_OF_APACHE_2
