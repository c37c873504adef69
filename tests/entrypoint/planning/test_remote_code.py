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
from entrypoint.planning.listen import Listen
from entrypoint.planning.plan import LaunchPlan
from entrypoint.planning.remote_code import guard, is_pinned, is_trusted, read_code
from entrypoint.shared.handover import CODE_VARIABLE
from entrypoint.store.model import Model
from tests.support.models import COMMIT, model_files, write_snapshot
from tests.support.samples import a_plan

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


def a_plan_of(path: Path, trusted: bool, **changes: Any) -> LaunchPlan:
    plan = a_plan(Listen("127.0.0.1", 1))
    model = replace(plan.model, path=path, **changes)
    argv = (str(path), "--trust-remote-code") if trusted else (str(path),)
    return replace(plan, argv=argv, model=model)


class TestReading:
    def test_what_is_named_and_what_that_imports(self, tmp_path: Path) -> None:
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
    def test_every_configuration(self, tmp_path: Path, name: str) -> None:
        code = read_code(written(tmp_path, files(name=name)))
        assert {reference.configuration for reference in code.references} == {name}

    def test_the_parts_of_a_model(self, tmp_path: Path) -> None:
        config = {"vision_config": {"layers": [{"auto_map": FOREIGN}]}}
        code = read_code(written(tmp_path, {"config.json": json.dumps(config).encode()}))
        assert [reference.name for reference in code.references] == list(FOREIGN.values())

    @pytest.mark.parametrize(
        "value", [["slow.Tokenizer", None], {"torchvision": "slow.Tokenizer"}, "slow.Tokenizer"]
    )
    def test_every_spelling(self, tmp_path: Path, value: object) -> None:
        code = read_code(written(tmp_path, files({"AutoTokenizer": value})))
        assert [reference.module for reference in code.references] == ["slow.py"]
        assert code.missing == ("slow.py",)

    @pytest.mark.parametrize("text", [b"{", b"[1]", b'{"auto_map": 1}', b'{"auto_map": null}'])
    def test_a_configuration_that_says_nothing(self, tmp_path: Path, text: bytes) -> None:
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
    def test_where_it_lies(self, tmp_path: Path, name: str, foreign: bool) -> None:
        (reference,) = read_code(written(tmp_path, files({"AutoModel": name}))).references
        assert reference.foreign is foreign


@pytest.mark.parametrize(
    ("argv", "trusted"),
    [
        (("/m",), False),
        (("/m", "--trust-remote-code"), True),
        (("/m", "--trust-remote-code", "--no-trust-remote-code"), False),
        (("/m", "--no-trust-remote-code", "--trust-remote-code"), True),
    ],
)
def test_the_last_word_counts(argv: tuple[str, ...], trusted: bool) -> None:
    assert is_trusted(argv) is trusted


class TestGuard:
    def test_code_of_another_repository(self, tmp_path: Path) -> None:
        plan = a_plan_of(written(tmp_path, files(FOREIGN)), trusted=True)
        with pytest.raises(RefusedCode, match=r"tiiuae/falcon-7b--configuration_x") as raised:
            guard(plan, None, signed=True)
        assert raised.value.exit_code == 65
        assert "AutoConfig in config.json" in raised.value.message

    def test_it_is_let_be_where_nothing_may_run(self, tmp_path: Path) -> None:
        plan = guard(a_plan_of(written(tmp_path, files(FOREIGN)), trusted=False), None, False)
        assert json.loads(plan.env[CODE_VARIABLE]) == []
        (note,) = plan.notes
        assert note.level == "info"
        assert "which does not run" in note.message

    def test_the_code_that_may_run(self, tmp_path: Path) -> None:
        plan = guard(a_plan_of(written(tmp_path, files()), trusted=True), None, signed=True)
        assert json.loads(plan.env[CODE_VARIABLE]) == [str(tmp_path)]
        (note,) = plan.notes
        assert f"deeper.py (SHA-256 {hashlib.sha256(b'').hexdigest()})" in note.message

    def test_a_tokenizer_of_its_own(self, tmp_path: Path) -> None:
        """It may bring code too, which the model's signature does not vouch for."""
        model = written(tmp_path / "m", model_files())
        tokenizer = written(tmp_path / "t", files(name="tokenizer_config.json"))
        plan = guard(a_plan_of(model, trusted=True), tokenizer, signed=True)
        assert json.loads(plan.env[CODE_VARIABLE]) == [str(model), str(tokenizer)]
        (note,) = plan.notes
        assert note.level == "warning"
        assert "is not verified with it" in note.message

    def test_a_tokenizer_with_code_of_another_repository(self, tmp_path: Path) -> None:
        model = written(tmp_path / "m", model_files())
        tokenizer = written(tmp_path / "t", files(FOREIGN, "tokenizer_config.json"))
        with pytest.raises(RefusedCode, match=r"tokenizer_config\.json"):
            guard(a_plan_of(model, trusted=True), tokenizer, signed=True)

    def test_code_that_is_missing(self, tmp_path: Path) -> None:
        config = {name: content for name, content in files().items() if name != "parts.py"}
        plan = guard(a_plan_of(written(tmp_path, config), trusted=True), None, signed=True)
        assert ["parts.py" in note.message for note in plan.notes if note.level == "warning"] == [
            True
        ]

    def test_a_model_without_code(self, tmp_path: Path) -> None:
        plan = guard(a_plan_of(written(tmp_path, model_files()), True), None, signed=True)
        assert "leave it out" in plan.notes[0].message


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
    def test_a_commit(
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
    def test_the_warning(self, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
        written(tmp_path, files())
        plan = guard(a_plan_of(tmp_path, True, **changes), None, signed=False)
        (warning,) = [note for note in plan.notes if note.level == "warning"]
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

    def test_off_unless_set(self, tmp_path: Path) -> None:
        assert json.loads(self.plan(tmp_path).env[CODE_VARIABLE]) == []

    @pytest.mark.parametrize(
        "variables", [{"TRUST_REMOTE_CODE": "1"}, {"ARG": "--trust-remote-code"}]
    )
    def test_on_without_a_commit(self, tmp_path: Path, variables: dict[str, str]) -> None:
        plan = self.plan(tmp_path, **variables)
        levels = [note.level for note in plan.notes if note.variable == "TRUST_REMOTE_CODE"]
        assert levels == ["warning", "info"]

    def test_on_with_a_commit(self, tmp_path: Path) -> None:
        plan = self.plan(tmp_path, TRUST_REMOTE_CODE="1", REVISION=COMMIT)
        levels = [note.level for note in plan.notes if note.variable == "TRUST_REMOTE_CODE"]
        assert levels == ["info"]

    def test_a_tokenizer_in_a_directory(self, tmp_path: Path) -> None:
        tokenizer = written(tmp_path / "tokenizer", {"tokenizer.json": b"{}"})
        plan = self.plan(tmp_path, TRUST_REMOTE_CODE="1", TOKENIZER=str(tokenizer))
        assert str(tokenizer) in json.loads(plan.env[CODE_VARIABLE])
