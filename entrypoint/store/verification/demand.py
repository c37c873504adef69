"""What a model must pass before it is served: MODEL_VERIFY and MODEL_SIGNATURE_KEY."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entrypoint.errors import SettingError

Level = Literal["off", "size", "full"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a model must pass.

    Attributes:
        level: ``off``; ``size`` for the sizes in its manifest, if there is one; ``full`` for the
            hashes of all its files.
        key: PEM file of the public key that must have signed it, None where none must.
        signature: Where the signature is, None for beside the model.
    """

    level: Level
    key: Path | None = None
    signature: Path | None = None

    @property
    def anything(self) -> bool:
        """Whether there is anything to check that finding the model has not."""
        return self.level != "off" or self.key is not None

    @property
    def hashes(self) -> bool:
        """Whether the model's files have to be read."""
        return self.level == "full" or self.key is not None


def check_demand(demand: Demand) -> None:
    """Find out before the model is fetched that the demand itself cannot be met.

    Raises:
        SettingError: The key or the signature cannot be read, or the key is missing.
    """
    if demand.key is None and demand.signature is not None:
        raise SettingError(
            f"MODEL_SIGNATURE is {str(demand.signature)!r}, and MODEL_SIGNATURE_KEY is not set.",
            variable="MODEL_SIGNATURE_KEY",
            hint="Set MODEL_SIGNATURE_KEY to the public key of who has signed the model.",
        )
    for name, path in (
        ("MODEL_SIGNATURE_KEY", demand.key),
        ("MODEL_SIGNATURE", demand.signature),
    ):
        if path is None:
            continue
        try:
            path.open("rb").close()
        except OSError as error:
            raise SettingError(
                f"{name} is {str(path)!r}, which cannot be read: {error.strerror}.",
                variable=name,
                hint=f"Mount the file, and set {name} to where it is.",
            ) from error
