"""Which checks a model must pass, and whether they can be made at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.settings import Verify
from entrypoint.store.verification.policy import VerificationPolicy, check_policy


@pytest.mark.parametrize(
    ("level", "key", "active", "hashes"),
    [
        ("off", None, False, False),
        ("size", None, True, False),
        ("full", None, True, True),
        ("off", Path("key.pem"), True, True),
    ],
)
def test_a_key_or_the_level_full_needs_hashes(
    level: Verify, key: Path | None, active: bool, hashes: bool
) -> None:
    policy = VerificationPolicy(level, key)
    assert (policy.active, policy.hashes) == (active, hashes)


def test_a_signature_needs_a_key() -> None:
    with pytest.raises(SettingError, match="MODEL_SIGNATURE_KEY is not set") as raised:
        check_policy(VerificationPolicy("size", None, Path("model.sig")))
    assert raised.value.variable == "MODEL_SIGNATURE_KEY"


def test_files_that_cannot_be_read_are_named_with_their_variable(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    with pytest.raises(SettingError, match=r"MODEL_SIGNATURE_KEY=.*key\.pem.*No such file"):
        check_policy(VerificationPolicy("size", key))
    key.write_text("a key")
    with pytest.raises(SettingError, match=r"MODEL_SIGNATURE=.*none\.sig"):
        check_policy(VerificationPolicy("size", key, tmp_path / "none.sig"))
    check_policy(VerificationPolicy("size", key))
