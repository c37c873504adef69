"""The configuration file: what YAML holds, with its lines, and every way in which it is wrong."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoint.arg.config_file import MAX_BYTES, read_config_file
from entrypoint.errors import SettingError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vllm.yaml"


def read(file: Path, content: str | bytes) -> dict[str, Any]:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    entries = read_config_file(str(file)).entries
    return {entry.key: entry.value for entry in entries if not entry.repeated}


def refusal(path: Path | str) -> SettingError:
    with pytest.raises(SettingError) as caught:
        read_config_file(str(path))
    assert caught.value.variable == "ARG"
    assert caught.value.hint
    assert f"--config {str(path)!r}" in caught.value.message or str(path) in caught.value.message
    return caught.value


class TestRead:
    @pytest.mark.parametrize(
        "content",
        [
            "port: 8000\nseed: 1\n",
            "port: 8000\r\nseed: 1\r\n",
            "\ufeffport: 8000\n",
            '{"port": 8000, "a": {"b": [1, 2]}}',
            "---\n# ours\nport: 8000\n...\n",
            "a: yes\nb: off\nc: ~\nd: 0x10\ne: 1.10\nf: '1.10'\ng: [a, 1, null]\n",
            "base: &x {a: 1}\nb: *x\n",
            "a: {<<: {x: 1, y: 2}, y: 3}\n",
            "chat-template: |\n  {{ x }}\n  {% y %}\n",
            "a: >-\n  one\n  two\n",
        ],
    )
    def test_the_values_are_those_that_vllm_reads(self, file: Path, content: str) -> None:
        assert read(file, content) == yaml.safe_load(content)

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.text("abc-_", min_size=1),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=5,
            ),
            min_size=1,
        )
    )
    def test_any_document_has_the_values_that_vllm_reads(
        self, tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
    ) -> None:
        file = tmp_path_factory.getbasetemp() / "any.yaml"
        content = yaml.safe_dump(document, allow_unicode=True)
        assert read(file, content) == yaml.safe_load(content)

    def test_each_key_has_its_line_and_its_text(self, file: Path) -> None:
        file.write_text("# first\nport: 0x10\n\na:\n  b: 1\nc: 'x'\n")
        entries = read_config_file(str(file)).entries
        assert [(e.key, e.line, e.written) for e in entries] == [
            ("port", 2, "0x10"),
            ("a", 4, None),
            ("c", 6, "x"),
        ]

    def test_of_a_repeated_key_only_the_last_counts(self, file: Path) -> None:
        file.write_text("seed: 1\nport: 2\nseed: 3\n")
        entries = read_config_file(str(file)).entries
        assert [(e.key, e.value, e.repeated) for e in entries] == [
            ("seed", 1, True),
            ("port", 2, False),
            ("seed", 3, False),
        ]

    def test_an_overridden_merged_key_is_not_a_repetition(self, file: Path) -> None:
        file.write_text("<<: {seed: 1, port: 2}\nseed: 3\n")
        entries = read_config_file(str(file)).entries
        assert [(e.key, e.value, e.repeated) for e in entries] == [
            ("port", 2, False),
            ("seed", 3, False),
        ]

    def test_a_relative_path_is_read(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file.write_text("seed: 1\n")
        monkeypatch.chdir(file.parent)
        assert read_config_file("vllm.yaml").entries[0].value == 1

    def test_a_link_as_of_a_config_map_is_read(self, file: Path) -> None:
        (file.parent / "..data").mkdir()
        (file.parent / "..data" / "vllm.yaml").write_text("seed: 1\n")
        file.symlink_to("..data/vllm.yaml")
        assert read_config_file(str(file)).entries[0].value == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"# nothing\n", "is empty"),
            (b"{}", "is empty"),
            (b"--- \n", "is empty"),
            (b"- seed\n", "not a mapping"),
            (b"--seed 1\n", "not a mapping"),
            (b"seed", "not a mapping"),
            (b"seed: 1\n---\nport: 2\n", "line 2"),
            (b"seed: 1\nport 2\n", "line 3, column 1 is not valid YAML"),
            (b"seed: 1\n\tport: 2\n", "line 2, column 1 is not valid YAML"),
            (b"seed: [1\n", "is not valid YAML"),
            (b"seed: 'x\n", "is not valid YAML"),
            (b"a: !env X\n", "line 1, column 4 is not valid YAML"),
            (b"a: !!python/object/apply:os.system ['true']\n", "is not valid YAML"),
            (b"a: *unknown\n", "undefined alias"),
            (b"a: !!int x\n", "is not valid YAML"),
            (b"a: \xff\xfe\n", "is not valid YAML"),
            (b"a: \x00\n", "is not valid YAML"),
            (b"1: 2\n", "line 1: the key '1' is not an option's name"),
            (b"on: 2\n", "line 1: the key 'on' is not an option's name"),
            (b"? [a]\n: 2\n", "line 1: the key that is no text"),
            (b"a: &a [*a]\n", "recursive"),
            (b"a: " + b"[" * 60 + b"]" * 60, "nested more than"),
            (b"a: " + b"[" * 20_000, "nested too deeply"),
            (b"a: [" + b"1," * 20_000 + b"]", "more than 10000 values"),
            (b"a: " + b"x" * MAX_BYTES, "has more than 256 KiB"),
            (
                b"a: &a [x,x,x,x,x,x,x,x]\n"
                + b"\n".join(
                    b"%c: &%c [%s]" % (c + 1, c + 1, b",".join([b"*%c" % c] * 8))
                    for c in range(97, 105)
                ),
                "more than 10000 values",
            ),
        ],
        ids=range(27),
    )
    def test_what_holds_no_options(self, file: Path, content: bytes, message: str) -> None:
        file.write_bytes(content)
        assert message in refusal(file).message

    def test_a_missing_file_is_named_with_its_complete_path(self, tmp_path: Path) -> None:
        assert "does not exist" in refusal(tmp_path / "missing.yaml").message
        assert f"The complete path is {Path.cwd()}/missing.yaml" in refusal("missing.yaml").message

    def test_what_is_not_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "folder.yaml").mkdir()
        os.mkfifo(tmp_path / "pipe.yaml")
        (tmp_path / "file").write_text("seed: 1\n")
        for name in ("folder.yaml", "pipe.yaml"):
            assert "is not a regular file" in refusal(tmp_path / name).message
        assert "does not exist" in refusal(tmp_path / "file" / "x.yaml").message
        assert "does not exist" in refusal("").message or "regular" in refusal("").message
        assert "cannot be read" in refusal(tmp_path / ("x" * 300)).message

    @pytest.mark.parametrize("name", ["vllm.json", "vllm", "vllm.YAML", "vllm.yaml.bak"])
    def test_another_suffix_is_refused_as_vllm_does(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("seed: 1\n")
        assert ".yaml or .yml" in refusal(tmp_path / name).message
