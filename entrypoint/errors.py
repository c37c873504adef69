"""All errors that a user can act on, and their words.

InferenceServerError
├── UsageError              64  the command line is wrong
├── ArtifactError           65  the model was found but cannot be used
│   ├── IncompleteModel         files are missing, empty, dangling or damaged
│   ├── UnloadableModel         vLLM has no loader for what the folder holds
│   ├── RefusedArtifact         the tarball is damaged or unsafe
│   ├── RefusedCode             the model refers to code of another repository
│   └── FailedVerification      files differ from their hashes, manifest or signature
├── ModelNotFound           66  no searched place has the model
│   ├── SeveralModels           MODEL_ID is a directory with more than one model
│   └── RevisionNotFound        the model was found, but not the requested revision
├── HubError                69  the hub did not answer, or refused
├── StoreError              69  an object store did not answer, or refused
├── EngineFailed            70  the engine ended unexpectedly; known causes have their own codes:
│                               entrypoint/diagnosis/catalogue
├── StartTimeout            70  startup exceeded START_TIMEOUT
├── MachineError            71  this machine or pod cannot run the launch
│   └── UnreadableModel         this user may not read the model
├── StorageError            74  a read or a write failed
└── SettingError            78  a setting has a wrong value
    └── UnknownOption           ARG has an option that vLLM does not have

Each class takes what went wrong as attributes and words it here, once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal

from entrypoint.shared.handover import Phase

Source = Literal["directory", "cache", "tarball", "hub", "object-store"]


class ProblemKind(Enum):
    """The kinds of problems with a file of a model, or with a revision."""

    MISSING = "missing"
    EMPTY = "empty"
    DANGLING = "dangling"
    """A link or a ref that points to something that does not exist."""
    INCOMPLETE = "incomplete"
    """Cut short, or still being downloaded."""
    DENIED = "denied"
    """This user may not read it."""
    UNREADABLE = "unreadable"
    """Reading it failed."""
    INVALID = "invalid"
    """Its content does not have the format that its name promises."""
    DIFFERENT = "different"
    """Its size, hash or origin differs from the expected one."""
    UNEXPECTED = "unexpected"
    """It does not belong where it is."""
    AMBIGUOUS = "ambiguous"
    """More than one candidate matches."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: the kind for programs, the text for people."""

    kind: ProblemKind
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class SearchedPlace:
    """A place that was searched for the model, and the outcome."""

    way: Source
    place: str
    outcome: str


class InferenceServerError(Exception):
    """An error that a user can act on.

    Args:
        message: What is wrong, with the name and the value, in one sentence or more.
        variable: The environment variable at fault, if there is one.
        hint: The command or the setting that fixes it.
    """

    exit_code: int = 70
    code: str = "error"

    def __init__(self, message: str, *, variable: str | None = None, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.variable = variable
        self.hint = hint

    @property
    def summary(self) -> str:
        """The error in a few words, for a list of searched places."""
        return self.message

    def in_words(self) -> str:
        """Return the text for standard error: the message, then the hint."""
        text = f"inference-server: error: {self.message}"
        return f"{text}\n  {self.hint}" if self.hint else text

    def as_dict(self) -> dict[str, Any]:
        """Return the ``error`` object of ``--json`` output."""
        return {
            "code": self.code,
            "message": self.message,
            "variable": self.variable,
            "hint": self.hint,
        }


def _sample(items: Sequence[str], shown: int) -> str:
    """Return the first items, and the number of the others."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more


def _sample_lines(items: Sequence[str], shown: int) -> str:
    """Return the first items on a line each, and the number of the others."""
    more = [f"and {len(items) - shown} more"] if len(items) > shown else []
    return "".join(f"\n  {item}" for item in (*items[:shown], *more))


class UsageError(InferenceServerError):
    """The command line is wrong."""

    exit_code = 64
    code = "usage"


class ArtifactError(InferenceServerError):
    """The model was found but cannot be used."""

    exit_code = 65
    code = "artifact"


class IncompleteModel(ArtifactError):
    """Files of the model are missing, empty, dangling or damaged.

    Args:
        place: The snapshot or directory.
        problems: ``{file name: problem}``.
    """

    code = "incomplete-model"
    shown: ClassVar[int] = 8
    default_hint: ClassVar[str] = (
        "Download the model again, or copy these files from a complete copy."
    )

    def __init__(self, place: Path, problems: Mapping[str, Problem], *, hint: str | None = None):
        self.place = place
        self.problems = dict(problems)
        names = [f"{name} ({problem})" for name, problem in self.problems.items()]
        count = "1 file" if len(names) == 1 else f"{len(names)} files"
        super().__init__(
            f"The model at {place} is incomplete: {count} missing or damaged: "
            f"{_sample(names, self.shown)}.",
            variable="MODEL_ID",
            hint=hint or self.default_hint,
        )

    @property
    def summary(self) -> str:
        """The first files that cannot be used."""
        return "incomplete: " + ", ".join(list(self.problems)[:3])


class UnloadableModel(ArtifactError):
    """The model is there, but vLLM has no loader for what the folder holds.

    Args:
        place: The snapshot or directory.
        problem: Why vLLM cannot load it.
        hint: What to convert, rename or set.
    """

    code = "unloadable-model"

    def __init__(self, place: Path, problem: str, hint: str):
        self.place = place
        self.problem = problem
        super().__init__(
            f"vLLM cannot load the model at {place}: {problem}.", variable="MODEL_ID", hint=hint
        )

    @property
    def summary(self) -> str:
        """Why it cannot be loaded, without the place."""
        return self.problem


class RefusedArtifact(ArtifactError):
    """A tarball is damaged, or has a member that must not be unpacked.

    Args:
        archive: The tarball's path.
        problem: What is wrong, with the member's name if one member is at fault.
        member: The member at fault, if there is one.
    """

    code = "refused-artifact"

    def __init__(
        self,
        archive: Path,
        problem: str,
        *,
        member: str | None = None,
        variable: str | None = None,
        hint: str | None = None,
    ):
        self.archive = archive
        self.problem = problem
        self.member = member
        super().__init__(
            f"The tarball {archive} was refused: {problem}.",
            variable=variable,
            hint=hint or "Compare its checksum with the original's, or pack the model again.",
        )

    @property
    def summary(self) -> str:
        """What is wrong, without the archive."""
        return self.problem


class RefusedCode(ArtifactError):
    """The model refers to Python code of another repository, which can change at any time.

    Args:
        place: The model's directory.
        references: ``(configuration, purpose, name)`` of each class.
    """

    code = "refused-code"
    shown: ClassVar[int] = 4

    def __init__(self, place: Path, references: Sequence[tuple[str, str, str]]):
        self.place = place
        self.references = tuple(references)
        classes = [f"{name} ({purpose} in {file})" for file, purpose, name in self.references]
        super().__init__(
            f"TRUST_REMOTE_CODE is on, and the model at {place} refers to code of another "
            f"repository: {_sample(classes, self.shown)}. Only code in the model's directory may "
            "run.",
            variable="TRUST_REMOTE_CODE",
            hint="Unset TRUST_REMOTE_CODE if vLLM supports the model without it. Or copy the code "
            "files into the model's directory, and refer to them there without the repository: "
            "module.Class.",
        )


class FailedVerification(ArtifactError):
    """Files differ from their hashes, from the manifest or from the signature.

    Args:
        place: What was verified.
        problems: ``{file name: problem}``.
    """

    code = "failed-verification"
    shown: ClassVar[int] = 20

    def __init__(
        self,
        place: Path,
        problems: Mapping[str, Problem],
        *,
        variable: str | None = None,
        hint: str | None = None,
    ):
        self.place = place
        self.problems = dict(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"{name}: {problem}" for name, problem in self.problems.items()]
        super().__init__(
            f"{place} failed the verification, with {count}:" + _sample_lines(lines, self.shown),
            variable=variable,
            hint=hint or "Copy these files again from a complete copy.",
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the ``error`` object of ``--json`` output, with all problems."""
        problems = [
            {"file": name, "problem": problem.text} for name, problem in self.problems.items()
        ]
        return {**super().as_dict(), "problems": problems}


def _searched(places: Sequence[SearchedPlace]) -> str:
    return "".join(f"\n  {place.way:<9} {place.place}: {place.outcome}" for place in places)


class ModelNotFound(InferenceServerError):
    """No searched place has the model.

    Args:
        model_id: The value of MODEL_ID.
        searched: Each place that was searched, in order.
        available: ``{repository id: revisions}`` of the models in the searched places.
        nearest: The available repository id with the most similar name, if one is similar.
        message: What is wrong, if it is more specific than "not found".
    """

    exit_code = 66
    code = "model-not-found"
    shown: ClassVar[int] = 10

    def __init__(
        self,
        model_id: str,
        searched: Sequence[SearchedPlace] = (),
        available: Mapping[str, Sequence[str]] = {},
        nearest: str | None = None,
        *,
        message: str | None = None,
        variable: str | None = "MODEL_ID",
        hint: str | None = None,
    ):
        self._text = message or f"The model {model_id!r} (MODEL_ID) was not found."
        super().__init__(self._text, variable=variable, hint=hint)
        self.model_id = model_id
        self.nearest = nearest
        self.searched: tuple[SearchedPlace, ...] = ()
        self.available: dict[str, tuple[str, ...]] = {}
        self.add_search(searched, available)

    def add_search(
        self, searched: Sequence[SearchedPlace], available: Mapping[str, Sequence[str]]
    ) -> None:
        """Add the searched places, and the models in them, to the message."""
        self.searched += tuple(searched)
        self.available |= {name: tuple(revisions) for name, revisions in available.items()}
        text = self._text
        if self.nearest:
            text += f" Did you mean {self.nearest!r}?"
        if self.searched:
            text += " Searched:" + _searched(self.searched)
        if self.available:
            lines = [f"{name} ({', '.join(found)})" for name, found in self.available.items()]
            text += "\nAvailable models:" + _sample_lines(lines, self.shown)
        self.message = text
        self.args = (text,)


class SeveralModels(ModelNotFound):
    """A directory holds more than one model.

    Args:
        place: The directory.
        models: The repository ids of the models.
    """

    def __init__(self, place: Path, models: Sequence[str]):
        self.place = place
        super().__init__(
            str(place),
            available=dict.fromkeys(models, ("in the cache's layout",)),
            message=f"MODEL_ID is {str(place)!r}, a directory with {len(models)} models.",
            hint=f"Set MODEL_ID to one of them and HF_HUB_CACHE={place}.",
        )

    @property
    def summary(self) -> str:
        """The number of models."""
        return f"holds {len(self.available)} models"


class RevisionNotFound(ModelNotFound):
    """The model was found, but not the requested revision.

    Args:
        model_id: ``org/name``.
        revision: The requested revision; None for the default.
        problem: What is wrong with the revision.
        searched: Each place that was searched, in order.
    """

    code = "revision-not-found"

    def __init__(
        self,
        model_id: str,
        revision: str | None,
        problem: Problem,
        searched: Sequence[SearchedPlace] = (),
        *,
        variable: str | None = "REVISION",
        hint: str | None = None,
    ):
        self.revision = revision
        self.problem = problem
        super().__init__(model_id, searched, message=problem.text, variable=variable, hint=hint)

    @property
    def summary(self) -> str:
        """Which revision is missing."""
        missing = f"not the revision {self.revision!r}" if self.revision else "no default revision"
        return f"has the model, but {missing}"


class HubError(InferenceServerError):
    """The hub did not answer, or refused."""

    exit_code = 69
    code = "hub"


class StoreError(InferenceServerError):
    """An object store did not answer, or refused."""

    exit_code = 69
    code = "store"


class EngineFailed(InferenceServerError):
    """The engine ended unexpectedly.

    Args:
        message: What happened, in one paragraph.
        kind: The kind of failure, if the cause is known: it becomes the error's ``code``.
        exit_code: The exit code, if it is not 70.
        hint: The command or the setting that fixes it.
        excerpt: The lines of the output that show the cause.
        variable: The environment variable that it may follow from.
    """

    exit_code = 70
    code = "engine-failed"

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        exit_code: int | None = None,
        hint: str | None = None,
        excerpt: Sequence[str] = (),
        variable: str | None = None,
    ):
        super().__init__(message, variable=variable, hint=hint)
        self.code = kind or type(self).code
        self.exit_code = type(self).exit_code if exit_code is None else exit_code
        self.excerpt = tuple(excerpt)


class StartTimeout(InferenceServerError):
    """Startup exceeded START_TIMEOUT.

    Args:
        limit: START_TIMEOUT, in seconds.
        phase: The phase in which it stopped.
        seconds: Seconds in each phase that counts, and in the one in which it stopped.
        last_line: The last line that the engine wrote; None if it wrote nothing.
    """

    exit_code = 70
    code = "start-timeout"

    def __init__(
        self, limit: float, phase: Phase, seconds: Mapping[Phase, float], last_line: str | None
    ):
        self.limit = limit
        self.phase = phase
        self.seconds = dict(seconds)
        self.last_line = last_line
        last = f"The engine's last line: {last_line}" if last_line else "The engine wrote nothing."
        phases = ", ".join(f"{name} {s:.0f} s" for name, s in self.seconds.items())
        super().__init__(
            f"Startup exceeded START_TIMEOUT={limit:g} s: it has been in the phase {phase} for "
            f"{self.seconds[phase]:.0f} s. {last}",
            variable="START_TIMEOUT",
            hint="See the engine's last lines for the cause. If startup was only slow, raise "
            f"START_TIMEOUT (0 for no limit). Time by phase: {phases}. Downloads do not count.",
        )


class MachineError(InferenceServerError):
    """This machine or pod cannot run the launch."""

    exit_code = 71
    code = "machine"


class UnreadableModel(MachineError):
    """This user may not read the model, or the folder that it should be in.

    Args:
        place: The model's folder, or the folder that cannot be searched.
        files: The unreadable files; empty if the folder itself is unreadable.
        searched: Each place that was searched, in order, if the search found nothing else.
    """

    code = "unreadable-model"
    shown: ClassVar[int] = 8

    def __init__(
        self, place: Path, files: Sequence[str] = (), searched: Sequence[SearchedPlace] = ()
    ):
        self.place = place
        self.files = tuple(files)
        self.searched = tuple(searched)
        self.user = f"uid {os.geteuid()}, gid {os.getegid()}"
        text = f"{place} cannot be read by {self.user}"
        if self.files:
            text = f"The model at {text}: {_sample(self.files, self.shown)}"
        text += ". Searched:" + _searched(self.searched) if self.searched else "."
        super().__init__(
            text,
            variable="MODEL_ID",
            hint=f"Let all users read it: chmod -R a+rX {place}. Or run as a user or group that "
            "may read it: docker: --user UID:GID or --group-add GID; Kubernetes: "
            "securityContext.fsGroup or runAsGroup.",
        )

    @property
    def summary(self) -> str:
        """The user, and the first unreadable files."""
        return ": ".join((f"permission denied for {self.user}", *self.files[:3]))


class StorageError(InferenceServerError):
    """A read or a write failed."""

    exit_code = 74
    code = "storage"


class SettingError(InferenceServerError):
    """A setting has a wrong value."""

    exit_code = 78
    code = "setting"


class UnknownOption(SettingError):
    """ARG has an option that the installed vLLM does not have.

    Args:
        option: The option as the user spelled it.
        nearest: The known option with the most similar name, if one is similar.
        vllm_version: The installed vLLM's version.
        where: Where the user wrote it.
    """

    code = "unknown-option"

    def __init__(self, option: str, nearest: str | None, vllm_version: str, where: str = "ARG"):
        self.option = option
        self.nearest = nearest
        suggestion = f" Did you mean {nearest}?" if nearest else ""
        super().__init__(
            f"{where} has the option {option}, which vLLM {vllm_version} does not have."
            f"{suggestion}",
            variable="ARG",
            hint="List the options with: inference-server options",
        )
