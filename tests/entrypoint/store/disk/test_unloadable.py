"""The formats that vLLM has no loader for, each with what to do."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from entrypoint.store.disk.unloadable import FORMATS, Format, find_format, fix_for

PLACE = Path("/data/my model")


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_each_advice_is_a_complete_sentence_or_command(known: Format) -> None:
    fix = fix_for(known, PLACE, "file.x")
    assert "{" not in fix.replace("{\\", "")
    assert fix[0].isupper()


def test_the_command_for_a_gguf_file_is_one_that_a_shell_can_run() -> None:
    known, file = find_format(["README.md", "m.Q4.gguf"]) or (FORMATS[0], "")
    command = fix_for(known, PLACE, file).partition("gguf: ")[2]
    python, flag, code = shlex.split(command)
    assert (python, flag) == ("python", "-c")
    compile(code, "advice", "exec")
    assert "'/data/my model', gguf_file='m.Q4.gguf'" in code


@pytest.mark.parametrize(
    ("names", "file"),
    [
        (["a/b.onnx", "c.onnx"], "c.onnx"),
        (["global_step10/x.pt"], "global_step10/"),
        (["deep/er/model.gguf"], None),
        (["config.json", "model.safetensors"], None),
    ],
)
def test_a_format_is_recognized_by_files_and_folders(names: list[str], file: str | None) -> None:
    found = find_format(names)
    assert (found[1] if found else None) == file


def test_the_specific_format_comes_before_the_general_one() -> None:
    found = find_format(["consolidated.00.pth", "model.onnx", "x.pth"])
    assert found is not None
    assert found[0].name == "weights in Meta's own format"
