"""Which checks a model must pass before it is served: MODEL_VERIFY and MODEL_SIGNATURE_KEY."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import SettingError
from entrypoint.settings import Verify


@dataclass(frozen=True, slots=True)
class VerificationPolicy:
    """The checks that a model must pass.

    Attributes:
        level: ``off``; ``size`` for the sizes in the manifest, if there is one; ``full`` for the
            hashes of all files.
        key: PEM file of the public key that must have signed the model, None without a signature.
        signature: The signature's file, None for the one beside the model.
    """

    level: Verify
    key: Path | None = None
    signature: Path | None = None

    @property
    def active(self) -> bool:
        """Whether there is anything to check."""
        return self.level != "off" or self.key is not None

    @property
    def hashes(self) -> bool:
        """Whether the model's files must be hashed."""
        return self.level == "full" or self.key is not None


def check_policy(policy: VerificationPolicy) -> None:
    """Check the policy itself, before the model is fetched.

    Raises:
        SettingError: The key or the signature cannot be read, or the key is missing.
    """
    if policy.key is None and policy.signature is not None:
        raise SettingError(
            f"MODEL_SIGNATURE is {str(policy.signature)!r}, but MODEL_SIGNATURE_KEY is not set.",
            variable="MODEL_SIGNATURE_KEY",
            hint="Set MODEL_SIGNATURE_KEY to the signer's public key.",
        )
    for name, path in (
        ("MODEL_SIGNATURE_KEY", policy.key),
        ("MODEL_SIGNATURE", policy.signature),
    ):
        if path is None:
            continue
        try:
            path.open("rb").close()
        except OSError as error:
            raise SettingError(
                f"{name}={str(path)!r} cannot be read: {error.strerror}.",
                variable=name,
                hint=f"Mount the file, and set {name} to its path.",
            ) from error
