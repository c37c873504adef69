"""The rules of this suite: a test module for each module, no imports between them, names."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
CODE = ("entrypoint", "server")

WITHOUT_TESTS: dict[str, str] = {
    "entrypoint/hardware/hardware.py": "dataclasses without methods",
    "entrypoint/supervision/config.py": "a dataclass without methods",
    "entrypoint/note.py": "a dataclass without methods",
    "entrypoint/planning/defaults/defaults.py": "a dataclass without methods",
    "entrypoint/store/objects/store.py": "a protocol and dataclasses without methods",
}
"""Modules that need no test module, each with its reason."""

TESTS_OF_SEVERAL: dict[str, str] = {
    "tests/entrypoint/diagnosis/test_corpus.py": "the diagnosis of the logs that shaped it",
    "tests/entrypoint/diagnosis/test_held_out.py": "the diagnosis of logs that it did not know",
    "tests/entrypoint/store/tarballs/test_formats.py": "archives of other writers",
    "tests/entrypoint/store/tarballs/test_killed.py": "fetching and unpacking in killed processes",
    "tests/server/test_loader_rules.py": "the rules of vLLM's loaders and ours, compared",
    "tests/server/gate/test_limits.py": "the limits through HTTP, uvicorn, and the gate",
}
"""Test modules about more than one module, each with what they hold together."""

ARTICLES = {"a", "an", "the", "no", "not", "and", "or"}
"""Words that do not count in a name."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def mirror(module: Path) -> Path:
    """Return where the tests of a module belong."""
    name = module.stem.strip("_")
    return TESTS / module.relative_to(ROOT).with_name(f"test_{name}.py")


def modules() -> list[Path]:
    return [path for path in python_files(*CODE) if path.name != "__init__.py"]


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def belongs_to_pytest(dotted: str) -> bool:
    """Return whether a dotted name is a test module or a conftest of this suite."""
    parts = dotted.split(".")
    path = ROOT.joinpath(*parts).with_suffix(".py")
    return (
        parts[0] == "tests"
        and path.is_file()
        and (path.name == "conftest.py" or path.name.startswith("test_"))
    )


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def words_of(name: str) -> list[str]:
    """Return the words of a test's name that count."""
    return [word for word in name.split("_")[1:] if word not in ARTICLES]


def claims(name: str) -> bool:
    """Return whether a test's name has more than a subject."""
    return len(words_of(name)) > 1


def test_no_module_imports_from_a_test_module() -> None:
    wrong = [
        f"{relative(path)}: {name}"
        for path in python_files("tests", "benchmarks", *CODE)
        for name in imported(parse(path))
        if belongs_to_pytest(name)
    ]
    assert not wrong, "move what they share to tests/support"


def test_every_module_has_its_test_module() -> None:
    missing = {relative(path) for path in modules() if not mirror(path).is_file()}
    assert missing == set(WITHOUT_TESTS)


def test_every_test_module_belongs_to_a_module() -> None:
    mirrors = {mirror(path) for path in modules()}
    mirrors |= {mirror(path.parent) for path in python_files(*CODE) if path.name == "__init__.py"}
    alone = {
        relative(path)
        for folder in CODE
        for path in (TESTS / folder).rglob("test_*.py")
        if path not in mirrors
    }
    assert alone == set(TESTS_OF_SEVERAL)


def test_no_coroutine_called_scenario_is_hidden_in_a_test() -> None:
    nested = {
        relative(path)
        for path in python_files("tests")
        for outer in functions(parse(path))
        for node in ast.walk(outer)
        if node is not outer and isinstance(node, ast.AsyncFunctionDef) and node.name == "scenario"
    }
    assert not nested, "write `async def test_...` or a helper that takes a coroutine"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_json", False),
        ("test_a_cache", False),
        ("test_no_secret", False),
        ("test_arg_wins", True),
        ("test_a_dangling_link_is_refused", True),
    ],
)
def test_a_name_of_one_word_claims_nothing(name: str, expected: bool) -> None:
    assert claims(name) is expected


def test_every_test_name_claims_something() -> None:
    wrong = [
        f"{relative(path)}: {function.name}"
        for path in python_files("tests")
        if path.name.startswith("test_")
        for function in functions(parse(path))
        if function.name.startswith("test_") and not claims(function.name)
    ]
    assert not wrong


def test_no_name_of_two_words_is_used_more_than_twice() -> None:
    """A short name that fits in three places claims too little."""
    names = Counter(
        function.name
        for path in python_files("tests")
        if path.name.startswith("test_")
        for function in functions(parse(path))
        if function.name.startswith("test_") and len(words_of(function.name)) <= 2
    )
    assert [name for name, count in names.items() if count > 2] == []
