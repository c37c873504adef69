"""The internals of uvicorn and vLLM that this project relies on, compared with those installed.

These tests run first: if one fails after an update, adapt the module that its message names before
you look at any other failure.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from server import internals
from server.internals import INTERNALS, Internal

ROOT = Path(internals.__file__).parents[1]


def resolve(name: str) -> Any:
    module, _, attribute = name.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def parameters(function: Any) -> str:
    """Return a function's parameters without annotations and defaults."""
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=parameter.empty, default=parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))[1:-1]


def names_in(code: CodeType) -> set[str]:
    """Return the names of all attributes that code and the functions in it use."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*(names_in(each) for each in inner))


def has_attribute(owner: Any, name: str) -> bool:
    """Whether a module or a class, or an instance after ``__init__``, has an attribute."""
    if hasattr(owner, name) or isinstance(owner, ModuleType):
        return hasattr(owner, name)
    methods = (
        method
        for each in owner.__mro__
        for method in vars(each).values()
        if inspect.isfunction(method)
    )
    return any(name in names_in(method.__code__) for method in methods)


def message(internal: Internal, problem: str) -> str:
    return (
        f"{internal.name}: {problem}. {internal.used_by} relies on it: {internal.reason} "
        f"Check: {internal.check}"
    )


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.name)
def test_the_installed_packages_still_have_what_we_rely_on(internal: Internal) -> None:
    owner = resolve(internal.name)
    for name, expected in internal.signatures.items():
        function = getattr(owner, name) if name else owner
        found = parameters(function)
        assert found == expected, message(internal, f"{name} now takes ({found})")
    for name in internal.attributes:
        assert has_attribute(owner, name), message(internal, f"has no {name}")


def test_every_module_that_relies_on_an_internal_exists() -> None:
    for internal in INTERNALS:
        for module in internal.used_by.split(" and "):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), internal


def test_every_class_of_uvicorn_or_vllm_that_we_subclass_is_listed() -> None:
    listed = {internal.name.rpartition(":")[2] for internal in INTERNALS}
    found = set()
    for path in (ROOT / "server").rglob("*.py"):
        text = path.read_text()
        imported = set(re.findall(r"^from (?:uvicorn|vllm)\S* import (.+)$", text, re.M))
        names = {name.strip() for line in imported for name in line.split(",")}
        for module, base in re.findall(r"^class \w+\((?:(\w+)\.)?(\w+)\)", text, re.M):
            if (module or base) in names:
                found.add(base)
    assert {"HttpToolsProtocol", "NoSignalServer", "AsyncLLM"} <= found
    assert found - listed == set()


def test_a_changed_signature_is_noticed() -> None:
    """A test of the test: a parameter that is new or gone changes the text."""

    def before(a: int, *, b: str = "") -> None: ...
    def after(a: int, *, b: str = "", c: int = 0) -> None: ...

    assert parameters(before) == "a, *, b"
    assert parameters(before) != parameters(after)


def test_a_missing_attribute_is_noticed() -> None:
    class Owner:
        def __init__(self) -> None:
            self.known = 1

    assert has_attribute(Owner, "known")
    assert not has_attribute(Owner, "unknown")
