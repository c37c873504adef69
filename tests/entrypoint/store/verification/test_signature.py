"""A signature holds for the files that were signed, wherever they are, and for nothing else."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoint.errors import FailedVerification, MachineError, UsageError
from entrypoint.store.verification.signature import (
    Signer,
    Trust,
    check_signature,
    read_signed,
    sign,
    signature_beside,
)
from tests.support.models import model_files, sha256, write_files
from tests.support.problems import texts
from tests.support.signing_keys import KeyPair, make_certificate, make_key

FILES = {**model_files(), "sub/ü.py": b"print()"}
HASHES = {name: sha256(content) for name, content in FILES.items()}
SIGNED = {name: digest for name, digest in HASHES.items() if name != ".gitattributes"}


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    return make_key(tmp_path)


@pytest.fixture
def signature(tmp_path: Path, pair: KeyPair) -> Path:
    path = tmp_path / "falcon.sig"
    assert sign("falcon", HASHES, Signer(pair.private), path) == len(SIGNED)
    return path


def check(tmp_path: Path, pair: KeyPair, signature: Path, hashes: dict[str, str] = HASHES) -> None:
    check_signature(tmp_path / "m", lambda _: hashes, Trust(pair.public), signature)


def problems(
    tmp_path: Path, pair: KeyPair, signature: Path, hashes: dict[str, str]
) -> dict[str, str]:
    with pytest.raises(FailedVerification) as raised:
        check(tmp_path, pair, signature, hashes)
    return texts(raised.value.problems)


class TestKey:
    def test_signed_files_are_accepted(
        self, tmp_path: Path, pair: KeyPair, signature: Path
    ) -> None:
        """1. It verifies. 2. What git keeps for itself is not signed. 3. Nothing else is left."""
        check(tmp_path, pair, signature)
        assert read_signed(tmp_path, signature) == SIGNED
        check(tmp_path, pair, signature, HASHES | {".gitattributes": "0" * 64})
        assert {path.name for path in tmp_path.iterdir()} == {"key.pem", "key.pub", "falcon.sig"}

    def test_changed_files_are_refused(
        self, tmp_path: Path, pair: KeyPair, signature: Path
    ) -> None:
        changed = SIGNED | {"config.json": "0" * 64, "extra.py": "1" * 64}
        changed.pop("sub/ü.py")
        assert problems(tmp_path, pair, signature, changed) == {
            "config.json": f"has the SHA-256 {'0' * 64}, but {HASHES['config.json']} was signed",
            "extra.py": "not signed",
            "sub/ü.py": "signed, but missing",
        }

    def test_another_key_is_refused(self, tmp_path: Path, signature: Path) -> None:
        """Nothing is hashed before the signature is known to be theirs."""
        other = make_key(tmp_path, "other")

        def never(_: frozenset[str]) -> dict[str, str]:
            raise AssertionError

        with pytest.raises(FailedVerification, match="not signed by a trusted key"):
            check_signature(tmp_path / "m", never, Trust(other.public), signature)

    def test_an_unreadable_file_is_an_error(
        self, tmp_path: Path, pair: KeyPair, signature: Path
    ) -> None:
        """It is not the signature's fault."""

        def unreadable(_: frozenset[str]) -> dict[str, str]:
            raise OSError(5, "Input/output error", "shard")

        with pytest.raises(OSError, match="Input/output error"):
            check_signature(tmp_path / "m", unreadable, Trust(pair.public), signature)

    @pytest.mark.parametrize("what", ["payload", "signature", "hint"])
    def test_a_forged_signature_is_refused(
        self, tmp_path: Path, pair: KeyPair, signature: Path, what: str
    ) -> None:
        """1. The payload is of other files. 2. The signature is another. 3. The key's hint is."""
        bundle = json.loads(signature.read_bytes())
        envelope = bundle["dsseEnvelope"]
        changed = HASHES | {"config.json": "0" * 64}
        if what == "payload":
            payload = base64.b64decode(envelope["payload"]).decode()
            payload = payload.replace(HASHES["config.json"], "0" * 64)
            envelope["payload"] = base64.b64encode(payload.encode()).decode()
        elif what == "signature":
            envelope["signatures"][0]["sig"] = base64.b64encode(b"0" * 70).decode()
        else:
            bundle["verificationMaterial"]["publicKey"]["hint"] = "0" * 64
        signature.write_text(json.dumps(bundle))
        hashes = changed if what == "payload" else HASHES
        assert list(problems(tmp_path, pair, signature, hashes)) == [str(signature)]

    @pytest.mark.parametrize(
        "content", [b"", b"{}", b"[]", b"\xff", b'{"dsseEnvelope": {"payload": "e30="}}']
    )
    def test_a_malformed_signature_is_refused(
        self, tmp_path: Path, pair: KeyPair, signature: Path, content: bytes
    ) -> None:
        signature.write_bytes(content)
        assert problems(tmp_path, pair, signature, HASHES) == {
            str(signature): "not a model signature"
        }

    def test_a_missing_signature_is_refused(self, tmp_path: Path, pair: KeyPair) -> None:
        none = tmp_path / "none.sig"
        assert problems(tmp_path, pair, none, HASHES) == {
            str(none): "the signature cannot be read: No such file or directory"
        }

    def test_a_missing_key_is_refused(self, tmp_path: Path, pair: KeyPair, signature: Path) -> None:
        with pytest.raises(UsageError, match=r"none\.pem cannot be read"):
            sign("m", HASHES, Signer(tmp_path / "none.pem"), tmp_path / "x.sig")
        with pytest.raises(UsageError, match=r"none\.pem cannot be read"):
            check_signature(tmp_path, lambda _: HASHES, Trust(tmp_path / "none.pem"), signature)

    def test_a_key_of_another_kind_is_refused(
        self, tmp_path: Path, pair: KeyPair, signature: Path
    ) -> None:
        """A public key to sign with, a private key to verify with, and one of RSA."""
        with pytest.raises(UsageError, match=r"cannot sign: [^.]*\.$"):
            sign("m", HASHES, Signer(pair.public), tmp_path / "x.sig")
        with pytest.raises(UsageError, match="cannot verify"):
            check_signature(tmp_path, lambda _: HASHES, Trust(pair.private), signature)
        rsa = tmp_path / "rsa.pem"
        subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
        with pytest.raises(
            UsageError, match=r"rsa\.pem cannot sign: it is not a key on an elliptic curve\.$"
        ):
            sign("m", HASHES, Signer(rsa), tmp_path / "x.sig")
        assert not (tmp_path / "x.sig").exists()


class TestCertificates:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        self.issuer = make_key(tmp_path, "root")
        return make_certificate(tmp_path, "root", self.issuer, self.issuer)

    def test_a_trusted_certificate_is_accepted(
        self, tmp_path: Path, pair: KeyPair, root: Path
    ) -> None:
        certificate = make_certificate(tmp_path, "signer", pair, self.issuer)
        signature = tmp_path / "x.sig"
        sign("m", HASHES, Signer(pair.private, certificate, (root,)), signature)
        check_signature(tmp_path, lambda _: HASHES, Trust(chain=(root,)), signature)
        with pytest.raises(FailedVerification, match=r"config\.json: has the SHA-256"):
            check_signature(
                tmp_path,
                lambda _: HASHES | {"config.json": "0" * 64},
                Trust(chain=(root,)),
                signature,
            )

    def test_an_untrusted_certificate_is_refused(
        self, tmp_path: Path, pair: KeyPair, root: Path
    ) -> None:
        """Their own root vouches for them, which is not the one that is trusted."""
        stranger = make_key(tmp_path, "stranger")
        own = make_certificate(tmp_path, "own", stranger, stranger)
        certificate = make_certificate(tmp_path, "signer", pair, stranger)
        signature = tmp_path / "x.sig"
        sign("m", HASHES, Signer(pair.private, certificate, (own,)), signature)
        with pytest.raises(FailedVerification, match="not signed by a trusted key"):
            check_signature(tmp_path, lambda _: HASHES, Trust(chain=(root,)), signature)

    def test_a_certificate_of_another_key_cannot_sign(
        self, tmp_path: Path, pair: KeyPair, root: Path
    ) -> None:
        certificate = make_certificate(tmp_path, "signer", make_key(tmp_path, "o"), self.issuer)
        with pytest.raises(UsageError, match="does not match"):
            sign("m", HASHES, Signer(pair.private, certificate, (root,)), tmp_path / "x.sig")


@pytest.mark.slow
class TestPackage:
    """The command of the package itself, on a directory."""

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_the_packages_command_verifies_our_signature(
        self, tmp_path: Path, pair: KeyPair, signature: Path
    ) -> None:
        """Notes of the tool that fetched the directory do not matter."""
        source = write_files(tmp_path / "m", {**FILES, ".cache/huggingface/x": b"1"})
        command = ["verify", "key", source, "--signature", signature, "--public_key", pair.public]
        assert self.run(*command).returncode == 0
        (source / "config.json").write_bytes(b"{}")
        assert self.run(*command).returncode != 0

    def test_we_verify_the_packages_signature(self, tmp_path: Path, pair: KeyPair) -> None:
        source = write_files(tmp_path / "m", FILES)
        signature = tmp_path / "m.sig"
        done = self.run(
            "sign", "key", source, "--signature", signature, "--private_key", pair.private
        )
        assert done.returncode == 0, done.stderr
        check(tmp_path, pair, signature)

    def test_a_signature_of_shards_is_refused(
        self, tmp_path: Path, pair: KeyPair, signature: Path
    ) -> None:
        bundle = json.loads(signature.read_bytes())
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        statement["predicate"]["serialization"]["method"] = "shards"
        payload = base64.b64encode(json.dumps(statement).encode()).decode()
        bundle["dsseEnvelope"]["payload"] = payload
        signature.write_text(json.dumps(bundle))
        assert (
            "signed with the method shards"
            in problems(tmp_path, pair, signature, HASHES)[str(signature)]
        )


def test_a_missing_package_is_named(
    tmp_path: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(MachineError) as raised:
        sign("m", HASHES, Signer(pair.private), tmp_path / "x.sig")
    assert raised.value.hint == "Install it: pip install 'inference-server[sign]'"


def test_a_signature_is_beside_the_model_by_default() -> None:
    """Beside what was signed, and never among the snapshots of a cache."""
    assert signature_beside(Path("/m/a.tar.zst")) == Path("/m/a.tar.zst.sig")
    assert signature_beside(Path("/m/falcon")) == Path("/m/falcon.sig")
    snapshot = Path("/c/models--a--b/snapshots/123")
    assert signature_beside(snapshot) == Path("/c/models--a--b.sig")
    assert signature_beside(Path("/c/models--a--b")) == Path("/c/models--a--b.sig")
