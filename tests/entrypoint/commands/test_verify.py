"""``inference-server verify`` and ``sign`` from their command lines to what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.entrypoint.store.hub_cache import blob_name, write_hub_snapshot
from tests.entrypoint.store.keys import KeyPair, make_key
from tests.entrypoint.store.samples import FALCON, model_files, write_files

FOLDER = "models--tiiuae--falcon-7b-instruct"
SHARDS = 24
FILES = model_files(shards=SHARDS)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    write_hub_snapshot(tmp_path / "cache", files=FILES)
    return tmp_path / "cache"


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    return make_key(tmp_path)


def damage(cache: Path, name: str) -> None:
    blob = cache / FOLDER / "blobs" / blob_name(name, FILES[name])
    blob.write_bytes(FILES[name][:-1] + b"?")


class TestVerify:
    def test_whole(self, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One line on standard output, nothing on standard error."""
        assert main(["verify", str(cache)], {}) == 0
        out, err = capsys.readouterr()
        assert out.startswith(f"{cache / FOLDER}: whole, {FALCON}, ")
        assert (out.count("\n"), err) == (1, "")

    def test_json(self, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(cache), "--json"], {}) == 0
        document = json.loads(capsys.readouterr().out)
        [model] = document["models"]
        assert model["repository"] == FALCON
        assert model["bytes_hashed"] > 0
        assert model["notes"] == []

    def test_all_problems(self, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """1. Exit code 65. 2. People see the first of them. 3. Programs see all."""
        names = [name for name in FILES if name.endswith(".safetensors")]
        for name in names:
            damage(cache, name)
        assert main(["verify", str(cache)], {}) == 65
        error = capsys.readouterr().err
        assert f"with {SHARDS} problems:\n  {min(names)}: its content has the hash" in error
        assert "and 4 more" in error
        assert main(["verify", str(cache), "--json"], {}) == 65
        document = json.loads(capsys.readouterr().out)["error"]
        assert document["code"] == "failed-verification"
        assert sorted(problem["file"] for problem in document["problems"]) == sorted(names)

    def test_only_the_structure(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = write_files(tmp_path / "m", FILES)
        assert main(["verify", str(source)], {}) == 0
        out, err = capsys.readouterr()
        assert "structure only" in out
        assert "there is no manifest" in err

    def test_a_manifest_of_ones_own(
        self, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The one that pack has put into a tarball, for the directory that it was made of."""
        source = write_files(tmp_path / "m", FILES)
        tarball = tmp_path / "m.tar"
        assert main(["pack", str(source), "--repository", "a/b", "-o", str(tarball)], {}) == 0
        content = tarball.read_bytes()
        start = content.index(b'{\n "format"')
        manifest = tmp_path / "manifest.json"
        manifest.write_bytes(content[start : content.index(b"\n}\n", start) + 3])
        command = ["verify", str(source), "--manifest", str(manifest)]
        assert main(command, {}) == 0
        (source / "config.json").write_bytes(b'{"a": 1}')
        assert main(command, {}) == 65
        assert "config.json: has 8 bytes" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["{none}"], 66, "does not exist"),
            (["{cache}", "--manifest", "{none}"], 64, "cannot be used"),
            (["{cache}", "--signature", "{none}"], 64, "Add --public-key FILE"),
            (["{cache}", "--public-key", "a", "--certificate-chain", "b"], 64, "not allowed"),
        ],
    )
    def test_faults(
        self,
        tmp_path: Path,
        cache: Path,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        code: int,
        message: str,
    ) -> None:
        places = {"none": str(tmp_path / "none"), "cache": str(cache)}
        assert main(["verify", *(text.format(**places) for text in arguments)], {}) == code
        assert message in capsys.readouterr().err


class TestSign:
    def test_it_holds_wherever_the_model_is(
        self, tmp_path: Path, cache: Path, pair: KeyPair, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Signed in the cache: verified there, in tarballs of it, and in a plain directory."""
        repository = str(cache / FOLDER)
        assert main(["sign", repository, "--private-key", str(pair.private)], {}) == 0
        signature = cache / f"{FOLDER}.sig"
        assert capsys.readouterr().out.startswith(f"{signature}: signed ")
        key = ["--public-key", str(pair.public)]
        assert main(["verify", repository, *key], {}) == 0
        named = [*key, "--signature", str(signature)]
        for option, suffix in ([], ".tar"), (["--zstd"], ".tar.zst"):
            tarball = str(tmp_path / f"a{suffix}")
            assert main(["pack", repository, "-o", tarball, *option], {}) == 0
            assert main(["verify", tarball, *named], {}) == 0
        plain = write_files(tmp_path / "m", FILES)
        assert main(["verify", str(plain), *named], {}) == 0
        (plain / "config.json").write_bytes(b'{"a": 1}')
        assert main(["verify", str(plain), *named], {}) == 65
        assert "config.json: has the SHA-256" in capsys.readouterr().err

    def test_signed_in_a_tarball(
        self, tmp_path: Path, cache: Path, pair: KeyPair, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The signature lies beside it, and is found there."""
        tarball = tmp_path / "a.tar"
        assert main(["pack", str(cache), "-o", str(tarball)], {}) == 0
        command = ["sign", str(tarball), "--private-key", str(pair.private), "--json"]
        capsys.readouterr()
        assert main(command, {}) == 0
        assert json.loads(capsys.readouterr().out) == {
            "signature": f"{tarball}.sig",
            "files": len(FILES) - 1,
        }
        assert main(["verify", str(tarball), "--public-key", str(pair.public)], {}) == 0
        other = make_key(tmp_path, "other")
        assert main(["verify", str(tarball), "--public-key", str(other.public)], {}) == 65

    def test_what_is_damaged_is_not_signed(
        self, tmp_path: Path, cache: Path, pair: KeyPair, capsys: pytest.CaptureFixture[str]
    ) -> None:
        damage(cache, "model-00003-of-00024.safetensors")
        assert main(["sign", str(cache), "--private-key", str(pair.private)], {}) == 65
        assert not (tmp_path / "cache.sig").exists()

    def test_a_chain_without_a_certificate(self, cache: Path, pair: KeyPair) -> None:
        command = ["sign", str(cache), "--private-key", str(pair.private)]
        assert main([*command, "--certificate-chain", str(pair.public)], {}) == 64

    def test_a_cache_of_several_models(
        self, cache: Path, pair: KeyPair, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_hub_snapshot(cache, "a/b")
        assert main(["sign", str(cache), "--private-key", str(pair.private)], {}) == 64
        assert "a signature is of one: a/b, tiiuae" in capsys.readouterr().err
