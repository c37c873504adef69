"""Python code that comes with a model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import RefusedCode, Source
from entrypoint.launch import plan_launch
from entrypoint.note import Note
from entrypoint.planning.plan import LaunchPlan
from entrypoint.planning.remote_code import (
    check_code,
    code_notes,
    is_pinned,
    read_code,
    read_codes,
)
from entrypoint.shared.handover import CODE_VARIABLE
from entrypoint.store.model import Model
from tests.support.models import COMMIT, model_files, write_snapshot

OWN = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XModel"}
FOREIGN = {"AutoConfig": "tiiuae/falcon-7b--configuration_x.XConfig"}
CODE = {
    "configuration_x.py": b"class XConfig: ...\n",
    "modeling_x.py": b"from .parts import Part\nimport torch\nclass XModel: ...\n",
    "parts.py": b"    from .deeper import Deep\nclass Part: ...\n",
    "deeper.py": b"",
    "train.py": b"nobody names it",
}


def files(auto_map: object = OWN, name: str = "config.json") -> dict[str, bytes]:
    """A model's files, with an ``auto_map`` in one of its configurations."""
    config = {"architectures": ["FalconForCausalLM"], "auto_map": auto_map}
    return {**model_files(), **CODE, name: json.dumps(config).encode()}


def written(directory: Path, content: dict[str, bytes]) -> Path:
    directory.mkdir(exist_ok=True)
    for name, each in content.items():
        (directory / name).write_bytes(each)
    return directory


class TestReading:
    def test_named_modules_and_their_imports_are_read(self, tmp_path: Path) -> None:
        code = read_code(written(tmp_path, files()))
        assert list(code.files) == [
            "configuration_x.py",
            "deeper.py",
            "modeling_x.py",
            "parts.py",
        ]
        assert code.files["parts.py"] == hashlib.sha256(CODE["parts.py"]).hexdigest()
        assert code.missing == ()

    @pytest.mark.parametrize("name", ["tokenizer_config.json", "preprocessor_config.json"])
    def test_every_configuration_is_read(self, tmp_path: Path, name: str) -> None:
        code = read_code(written(tmp_path, files(name=name)))
        assert {reference.configuration for reference in code.references} == {name}

    def test_nested_configurations_are_read(self, tmp_path: Path) -> None:
        config = {"vision_config": {"layers": [{"auto_map": FOREIGN}]}}
        code = read_code(written(tmp_path, {"config.json": json.dumps(config).encode()}))
        assert [reference.name for reference in code.references] == list(FOREIGN.values())

    @pytest.mark.parametrize(
        "value", [["slow.Tokenizer", None], {"torchvision": "slow.Tokenizer"}, "slow.Tokenizer"]
    )
    def test_every_spelling_is_read(self, tmp_path: Path, value: object) -> None:
        code = read_code(written(tmp_path, files({"AutoTokenizer": value})))
        assert [reference.module for reference in code.references] == ["slow.py"]
        assert code.missing == ("slow.py",)

    @pytest.mark.parametrize("text", [b"{", b"[1]", b'{"auto_map": 1}', b'{"auto_map": null}'])
    def test_a_configuration_without_code_has_none(self, tmp_path: Path, text: bytes) -> None:
        assert read_code(written(tmp_path, {"config.json": text})).references == ()

    @pytest.mark.parametrize(
        ("name", "foreign"),
        [
            ("modeling.Model", False),
            ("parts/modeling.Model", False),
            ("org/name--modeling.Model", True),
            ("/tmp/modeling.Model", True),
            ("../modeling.Model", True),
        ],
    )
    def test_code_elsewhere_is_foreign(self, tmp_path: Path, name: str, foreign: bool) -> None:
        (reference,) = read_code(written(tmp_path, files({"AutoModel": name}))).references
        assert reference.foreign is foreign


def notes_of(directory: Path, trusted: bool, tokenizer: Path | None = None) -> list[Note]:
    model = Model("directory", directory, None, None, None, 1000, ())
    return list(code_notes(model, read_codes(model, tokenizer), trusted, signed=True))


class TestCheck:
    def test_code_of_another_repository_is_refused(self, tmp_path: Path) -> None:
        codes = {tmp_path: read_code(written(tmp_path, files(FOREIGN)))}
        with pytest.raises(RefusedCode, match=r"tiiuae/falcon-7b--configuration_x") as raised:
            check_code(codes)
        assert raised.value.exit_code == 65
        assert "AutoConfig in config.json" in raised.value.message

    def test_a_tokenizers_code_of_another_repository_is_refused(self, tmp_path: Path) -> None:
        tokenizer = written(tmp_path / "t", files(FOREIGN, "tokenizer_config.json"))
        model = Model("directory", written(tmp_path / "m", model_files()), None, None, None, 1, ())
        with pytest.raises(RefusedCode, match=r"tokenizer_config\.json"):
            check_code(read_codes(model, tokenizer))

    def test_the_models_own_code_passes(self, tmp_path: Path) -> None:
        check_code({tmp_path: read_code(written(tmp_path, files()))})


class TestNotes:
    def test_code_that_does_not_run_is_noted(self, tmp_path: Path) -> None:
        (note,) = notes_of(written(tmp_path, files(FOREIGN)), trusted=False)
        assert note.level == "info"
        assert "which does not run" in note.message

    def test_code_that_may_run_is_noted_with_its_hashes(self, tmp_path: Path) -> None:
        (note,) = notes_of(written(tmp_path, files()), trusted=True)
        assert f"deeper.py (SHA-256 {hashlib.sha256(b'').hexdigest()})" in note.message

    def test_a_tokenizers_code_gets_a_warning(self, tmp_path: Path) -> None:
        """The model's signature does not cover it."""
        model = written(tmp_path / "m", model_files())
        tokenizer = written(tmp_path / "t", files(name="tokenizer_config.json"))
        (note,) = notes_of(model, True, tokenizer)
        assert note.level == "warning"
        assert "is not verified with it" in note.message

    def test_missing_code_gets_a_warning(self, tmp_path: Path) -> None:
        content = {name: each for name, each in files().items() if name != "parts.py"}
        notes = notes_of(written(tmp_path, content), trusted=True)
        (warning,) = [note.message for note in notes if note.level == "warning"]
        assert "parts.py" in warning

    def test_a_model_without_code_does_not_need_the_switch(self, tmp_path: Path) -> None:
        (note,) = notes_of(written(tmp_path, model_files()), trusted=True)
        assert "this model has no code. Turn it off." in note.message


class TestPin:
    @pytest.mark.parametrize(
        ("source", "asked", "found", "pinned"),
        [
            ("cache", COMMIT, COMMIT, True),
            ("hub", COMMIT.upper(), COMMIT, True),
            ("cache", "main", COMMIT, False),
            ("cache", COMMIT[:7], COMMIT, False),
            ("cache", None, COMMIT, False),
            ("directory", COMMIT, None, False),
            ("tarball", COMMIT, COMMIT, False),
            ("object-store", COMMIT, COMMIT, False),
        ],
    )
    def test_only_a_full_commit_of_the_hub_is_pinned(
        self, source: Source, asked: str | None, found: str | None, pinned: bool
    ) -> None:
        assert is_pinned(Model(source, Path("/m"), None, found, asked, 1, ())) is pinned

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"source": "cache", "revision": COMMIT}, f"REVISION={COMMIT}"),
            (
                {"source": "cache", "revision": COMMIT, "requested_revision": "v1"},
                "REVISION=v1 may move",
            ),
            ({"source": "tarball"}, "this model is a tarball"),
        ],
    )
    def test_an_unpinned_model_gets_a_warning(
        self, tmp_path: Path, changes: dict[str, Any], words: str
    ) -> None:
        model = replace(
            Model("directory", written(tmp_path, files()), None, None, None, 1000, ()), **changes
        )
        notes = code_notes(model, read_codes(model, None), trusted=True, signed=False)
        (warning,) = [note for note in notes if note.level == "warning"]
        assert words in warning.message
        assert "MODEL_SIGNATURE_KEY" in warning.message


class TestLaunch:
    """From the variables, over a cache."""

    def plan(self, tmp_path: Path, **variables: str) -> LaunchPlan:
        write_snapshot(tmp_path / "cache", "Org/Model", files=files())
        return plan_launch(
            {
                "MODEL_ID": "Org/Model",
                "HF_HUB_CACHE": str(tmp_path / "cache"),
                "HF_HUB_OFFLINE": "1",
                "XDG_CACHE_HOME": str(tmp_path / "scratch"),
                **variables,
            }
        )

    def test_code_is_off_unless_set(self, tmp_path: Path) -> None:
        assert json.loads(self.plan(tmp_path).env[CODE_VARIABLE]) == []

    @pytest.mark.parametrize(
        "variables", [{"TRUST_REMOTE_CODE": "1"}, {"ARG": "--trust-remote-code"}]
    )
    def test_without_a_commit_there_is_a_warning(
        self, tmp_path: Path, variables: dict[str, str]
    ) -> None:
        plan = self.plan(tmp_path, **variables)
        levels = [note.level for note in plan.notes if note.variable == "TRUST_REMOTE_CODE"]
        assert levels == ["warning", "info"]

    def test_with_a_commit_there_is_no_warning(self, tmp_path: Path) -> None:
        plan = self.plan(tmp_path, TRUST_REMOTE_CODE="1", REVISION=COMMIT)
        levels = [note.level for note in plan.notes if note.variable == "TRUST_REMOTE_CODE"]
        assert levels == ["info"]

    def test_a_tokenizer_in_a_directory_may_bring_code(self, tmp_path: Path) -> None:
        tokenizer = written(tmp_path / "tokenizer", {"tokenizer.json": b"{}"})
        plan = self.plan(tmp_path, TRUST_REMOTE_CODE="1", TOKENIZER=str(tokenizer))
        assert str(tokenizer) in json.loads(plan.env[CODE_VARIABLE])
