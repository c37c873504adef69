"""What a launch demands of its model: before any engine, on real files, wherever they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrypoint.errors import (
    ArtifactError,
    FailedVerification,
    InferenceServerError,
    SettingError,
)
from entrypoint.launch import prepare_launch, read_inputs
from entrypoint.planning.plan import LaunchPlan
from entrypoint.shared.handover import Phase
from entrypoint.store.disk.manifest import MANIFEST
from entrypoint.store.progress import Progress
from entrypoint.store.tarballs.compress import SUFFIX, Compression
from entrypoint.store.tarballs.pack import pack_model
from entrypoint.store.tarballs.source import find_source
from entrypoint.store.verification.signature import Signer, sign
from tests.support.hub_cache import write_hub_snapshot
from tests.support.hub_stand_in import blob_id
from tests.support.models import COMMIT, model_files, sha256, write_files
from tests.support.problems import texts
from tests.support.signing_keys import KeyPair, make_key

NAME = "Org/Model"
FOLDER = "models--Org--Model"
FILES = model_files(shards=2, size=100_000)
SHARD = "model-00002-of-00002.safetensors"
HASHES = {name: sha256(content) for name, content in FILES.items()}
KINDS = ("cache", "none", "zstd")
"""A cache, and tarballs of it by their compression; out of the uncompressed one weights are loaded
where they are."""


@dataclass
class Launch:
    """A launch as far as the engine, and what it reported."""

    tmp_path: Path

    def prepare(self, **variables: str) -> LaunchPlan:
        environ = {
            "MODEL_ID": NAME,
            "HF_HUB_CACHE": str(self.tmp_path / "store"),
            "HF_HUB_OFFLINE": "1",
            "XDG_CACHE_HOME": str(self.tmp_path / "scratch"),
            **variables,
        }
        self.phases: list[Phase] = []
        self.read: list[Progress] = []
        return prepare_launch(read_inputs(environ), self.phases.append, self.read.append)

    def refused(self, **variables: str) -> dict[str, str]:
        """The problems that it is refused for."""
        with pytest.raises(FailedVerification) as raised:
            self.prepare(**variables)
        assert raised.value.exit_code == 65
        return texts(raised.value.problems)


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(tmp_path)


def store(tmp_path: Path, kind: str) -> Path:
    """Put the model where the launch finds it; return what lies beside the signature."""
    root = tmp_path / "store"
    if kind == "plain":
        return write_files(root / "Model", FILES)
    write_hub_snapshot(root, NAME, files=FILES)
    if kind == "cache":
        return root / FOLDER
    compression: Compression = "zstd" if kind == "zstd" else "none"
    target = tmp_path / f"Model{SUFFIX[compression]}"
    pack_model(find_source(str(root)), target, compression=compression, threads=2)
    os.rename(root, tmp_path / "source")
    root.mkdir()
    return target.rename(root / target.name)


def damage(artifact: Path, name: str = SHARD) -> None:
    """Change one byte of a file's content, in a cache, a tarball or a plain directory."""
    content = FILES[name]
    changed = content[:-1] + bytes([content[-1] ^ 1])
    if (artifact / "blobs").is_dir():
        (artifact / "blobs" / blob_id(name, content)).write_bytes(changed)
    elif artifact.is_dir():
        (artifact / name).write_bytes(changed)
    else:
        whole = artifact.read_bytes()
        assert whole.count(content) == 1
        artifact.write_bytes(whole.replace(content, changed))


class TestSize:
    """The default."""

    @pytest.mark.parametrize("kind", [*KINDS, "plain"])
    def test_size_accepts_a_complete_model(self, tmp_path: Path, launch: Launch, kind: str) -> None:
        """Its files are not read, so there is no verify phase."""
        store(tmp_path, kind)
        launch.prepare()
        assert Phase.VERIFY not in launch.phases

    def test_size_finds_files_that_only_the_manifest_lists(
        self, tmp_path: Path, launch: Launch
    ) -> None:
        """A file that no index lists is missing, or has another size."""
        artifact = store(tmp_path, "cache")
        tarball = tmp_path / "m.tar"
        made = pack_model(find_source(str(artifact)), tarball, threads=1)
        (artifact / MANIFEST).write_bytes(made.manifest.dump())
        launch.prepare()
        link = artifact / "snapshots" / COMMIT / ".gitattributes"
        link.unlink()
        problem = {".gitattributes": "missing, listed in the manifest"}
        assert launch.refused() == problem
        link.write_bytes(b"{ }")
        assert launch.refused() == {".gitattributes": "has 3 bytes, but 0 in the manifest"}
        launch.prepare(MODEL_VERIFY="off")

    @pytest.mark.parametrize("kind", ["cache", "none"])
    def test_size_does_not_find_a_flipped_bit(
        self, tmp_path: Path, launch: Launch, kind: str
    ) -> None:
        """That takes MODEL_VERIFY=full."""
        damage(store(tmp_path, kind))
        launch.prepare()


class TestFull:
    @pytest.mark.parametrize("kind", KINDS)
    def test_full_accepts_a_complete_model(self, tmp_path: Path, launch: Launch, kind: str) -> None:
        """1. A phase after fetching. 2. Progress up to the last byte."""
        store(tmp_path, kind)
        launch.prepare(MODEL_VERIFY="full")
        assert launch.phases[-1] is Phase.VERIFY
        size = sum(map(len, FILES.values()))
        assert launch.read[-1] == Progress(size, size)

    @pytest.mark.parametrize("kind", ["cache", "none"])
    @pytest.mark.parametrize("name", [SHARD, "config.json"])
    def test_full_finds_a_flipped_bit(
        self, tmp_path: Path, launch: Launch, kind: str, name: str
    ) -> None:
        artifact = store(tmp_path, kind)
        if name == "config.json" and kind == "cache":
            blob = artifact / "blobs" / blob_id(name, FILES[name])
            blob.write_bytes(FILES[name].replace(b"falcon", b"falcom"))
        elif name == "config.json":
            whole = artifact.read_bytes()
            artifact.write_bytes(whole.replace(b'"n_head": 71', b'"n_head": 72'))
        else:
            damage(artifact, name)
        assert list(launch.refused(MODEL_VERIFY="FULL")) == [name]

    @pytest.mark.parametrize("kind", ["none", "zstd"])
    def test_unpacked_files_that_changed_are_found(
        self, tmp_path: Path, launch: Launch, kind: str
    ) -> None:
        """The copy is what is loaded, so the copy is what is verified."""
        store(tmp_path, kind)
        path = launch.prepare(MODEL_VERIFY="full").model.path
        assert path is not None
        config = path / "config.json"
        config.write_bytes(config.read_bytes().replace(b"falcon", b"falcom"))
        assert list(launch.refused(MODEL_VERIFY="full")) == ["config.json"]
        launch.prepare()

    def test_files_added_to_the_unpacked_ones_are_found(
        self, tmp_path: Path, launch: Launch
    ) -> None:
        """The engine would load a file that is not in the tarball."""
        store(tmp_path, "none")
        model = launch.prepare().model
        path = model.path
        assert path is not None
        assert model.packed is not None
        (path / "modeling.py").write_text("import os")
        (path / "tokenizer.json").unlink()
        with (path / SHARD).open("r+b") as file:
            file.write(b"\0")
        assert launch.refused(MODEL_VERIFY="full").keys() == {
            "modeling.py",
            "tokenizer.json",
            SHARD,
        }

    def test_full_refuses_a_plain_directory(self, tmp_path: Path, launch: Launch) -> None:
        store(tmp_path, "plain")
        with pytest.raises(ArtifactError, match="cannot verify the model") as raised:
            launch.prepare(MODEL_VERIFY="full")
        assert raised.value.variable == "MODEL_VERIFY"
        assert launch.read == []

    def test_full_refuses_a_snapshot_of_plain_files(self, tmp_path: Path, launch: Launch) -> None:
        artifact = store(tmp_path, "cache")
        link = artifact / "snapshots" / COMMIT / "tokenizer.json"
        link.unlink()
        link.write_bytes(b"[]")
        with pytest.raises(ArtifactError, match="content of 1 files in snapshots"):
            launch.prepare(MODEL_VERIFY="full")


class TestSignature:
    @pytest.fixture
    def pair(self, tmp_path: Path) -> KeyPair:
        return make_key(tmp_path)

    @pytest.mark.parametrize("kind", [*KINDS, "plain"])
    def test_a_signed_model_is_accepted(
        self, tmp_path: Path, launch: Launch, pair: KeyPair, kind: str
    ) -> None:
        """The signature is beside the tarball, the directory or the repository's folder."""
        artifact = store(tmp_path, kind)
        sign("m", HASHES, Signer(pair.private), artifact.with_name(f"{artifact.name}.sig"))
        for level in ("off", "size", "full"):
            launch.prepare(MODEL_SIGNATURE_KEY=str(pair.public), MODEL_VERIFY=level)
            assert launch.phases[-1] is Phase.VERIFY

    @pytest.mark.parametrize("kind", ["cache", "none", "plain"])
    def test_a_changed_model_is_refused(
        self, tmp_path: Path, launch: Launch, pair: KeyPair, kind: str
    ) -> None:
        artifact = store(tmp_path, kind)
        sign("m", HASHES, Signer(pair.private), artifact.with_name(f"{artifact.name}.sig"))
        damage(artifact)
        problems = launch.refused(MODEL_SIGNATURE_KEY=str(pair.public), MODEL_VERIFY="off")
        assert list(problems) == [SHARD]
        assert problems[SHARD].endswith(f"{HASHES[SHARD]} was signed")

    def test_the_signature_may_be_elsewhere(
        self, tmp_path: Path, launch: Launch, pair: KeyPair
    ) -> None:
        store(tmp_path, "cache")
        signature = tmp_path / "elsewhere.sig"
        sign("m", HASHES, Signer(pair.private), signature)
        key = {"MODEL_SIGNATURE_KEY": str(pair.public)}
        launch.prepare(MODEL_SIGNATURE=str(signature), **key)
        assert list(launch.refused(**key)) == [str(tmp_path / "store" / f"{FOLDER}.sig")]

    def test_another_signer_is_refused(self, tmp_path: Path, launch: Launch, pair: KeyPair) -> None:
        """Nothing is read before that is known."""
        artifact = store(tmp_path, "none")
        other = make_key(tmp_path, "other")
        sign("m", HASHES, Signer(other.private), artifact.with_name(f"{artifact.name}.sig"))
        [problem] = launch.refused(MODEL_SIGNATURE_KEY=str(pair.public)).values()
        assert "not signed by a trusted key" in problem
        assert all(read.total != sum(map(len, FILES.values())) for read in launch.read)

    @pytest.mark.parametrize(
        ("variables", "variable"),
        [
            ({"MODEL_SIGNATURE_KEY": "{none}"}, "MODEL_SIGNATURE_KEY"),
            ({"MODEL_SIGNATURE": "{public}"}, "MODEL_SIGNATURE_KEY"),
            ({"MODEL_SIGNATURE_KEY": "{public}", "MODEL_SIGNATURE": "{none}"}, "MODEL_SIGNATURE"),
            ({"MODEL_SIGNATURE_KEY": "{private}"}, "MODEL_SIGNATURE_KEY"),
            ({"MODEL_VERIFY": "half"}, "MODEL_VERIFY"),
        ],
    )
    def test_wrong_settings_are_refused(
        self,
        tmp_path: Path,
        launch: Launch,
        pair: KeyPair,
        variables: dict[str, str],
        variable: str,
    ) -> None:
        store(tmp_path, "cache")
        places = {"none": tmp_path / "none", "public": pair.public, "private": pair.private}
        with pytest.raises(SettingError) as raised:
            launch.prepare(**{name: text.format(**places) for name, text in variables.items()})
        assert raised.value.variable == variable

    def test_a_refused_model_is_not_converted(
        self, tmp_path: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("entrypoint.hardware.detect.installed_openvino", lambda: "2026.4.1.0")
        damage(store(tmp_path, "cache"))
        with pytest.raises(InferenceServerError, match="failed the verification"):
            launch.prepare(ACCELERATOR="openvino", MODEL_VERIFY="full")
        assert launch.phases == [Phase.VERIFY]
