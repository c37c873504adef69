"""``inference-server sign`` from its command line to what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.hub_cache import write_hub_snapshot
from tests.support.hub_stand_in import blob_id
from tests.support.models import model_files, write_files
from tests.support.signing_keys import KeyPair, make_key

FOLDER = "models--tiiuae--falcon-7b-instruct"
FILES = model_files(shards=3)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    write_hub_snapshot(tmp_path / "cache", files=FILES)
    return tmp_path / "cache"


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    return make_key(tmp_path)


def test_a_signature_is_valid_wherever_the_model_is(
    tmp_path: Path, cache: Path, pair: KeyPair, capsys: pytest.CaptureFixture[str]
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


def test_a_model_in_a_tarball_can_be_signed(
    tmp_path: Path, cache: Path, pair: KeyPair, capsys: pytest.CaptureFixture[str]
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


def test_a_damaged_model_is_not_signed(
    tmp_path: Path, cache: Path, pair: KeyPair, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "model-00003-of-00003.safetensors"
    blob = cache / FOLDER / "blobs" / blob_id(name, FILES[name])
    blob.write_bytes(FILES[name][:-1] + b"?")
    assert main(["sign", str(cache), "--private-key", str(pair.private)], {}) == 65
    assert not (tmp_path / "cache.sig").exists()


def test_a_chain_needs_a_certificate(cache: Path, pair: KeyPair) -> None:
    command = ["sign", str(cache), "--private-key", str(pair.private)]
    assert main([*command, "--certificate-chain", str(pair.public)], {}) == 64


def test_a_cache_of_several_models_is_refused(
    cache: Path, pair: KeyPair, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hub_snapshot(cache, "a/b")
    assert main(["sign", str(cache), "--private-key", str(pair.private)], {}) == 64
    assert "a signature covers one: a/b, tiiuae" in capsys.readouterr().err
