"""Everything that can go wrong before the engine runs, and the words for it.

InferenceServerError
├── UsageError              64  the command line is wrong
├── ArtifactError           65  the model is there and cannot be used
│   ├── IncompleteModel         a file is missing, empty or dangling
│   ├── RefusedArtifact         the archive is corrupt or unsafe
│   ├── RefusedCode             it would run code of another repository
│   └── FailedVerification      what was verified is not what it is said to be
├── ModelNotFound           66  no place that was searched has the model
│   └── RevisionNotFound        the model is there, this revision is not
├── HubError                69  the hub did not answer, or said no
├── StoreError              69  an object store did not answer, or said no
├── EngineFailed            70  the engine ended unasked; known causes have codes of their own:
│                               entrypoint/diagnosis/catalogue
├── StartTimeout            70  the start hung
├── MachineError            71  this machine or pod cannot run it
│   └── UnreadableModel         the model may not be read by this user
├── StorageError            74  a read or a write failed
└── SettingError            78  a setting has a wrong value
    └── UnknownOption           ARG names an option that vLLM does not have

Each class carries what went wrong as attributes and words it here, once.
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
class Attempt:
    """One way that was tried to find the model, and what came of it."""

    way: Source
    place: str
    outcome: str


class InferenceServerError(Exception):
    """An error that a user can act on.

    Args:
        message: What was wrong, with the name and the value, in one sentence or more.
        variable: The environment variable that the fault came from, if it came from one.
        hint: The next command or setting that mends it.
    """

    exit_code: int = 70
    code: str = "error"

    def __init__(self, message: str, *, variable: str | None = None, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.variable = variable
        self.hint = hint

    def in_words(self) -> str:
        """Return what is printed on standard error: what was wrong, and what mends it."""
        text = f"inference-server: error: {self.message}"
        return f"{text}\n  {self.hint}" if self.hint else text

    def as_dict(self) -> dict[str, Any]:
        """The ``error`` object of ``--json`` output."""
        return {
            "code": self.code,
            "message": self.message,
            "variable": self.variable,
            "hint": self.hint,
        }


class UsageError(InferenceServerError):
    """The command line is wrong."""

    exit_code = 64
    code = "usage"


class ArtifactError(InferenceServerError):
    """The model is there and cannot be used."""

    exit_code = 65
    code = "artifact"


class IncompleteModel(ArtifactError):
    """Files of a model are missing, empty or dangling.

    Args:
        place: The snapshot or directory.
        problems: ``{file name: problem}``.
    """

    code = "incomplete-model"
    shown: ClassVar[int] = 8

    def __init__(
        self,
        place: Path,
        problems: Mapping[str, Problem],
        *,
        variable: str | None = "MODEL_ID",
        hint: str | None = None,
    ):
        self.place = place
        self.problems = dict(problems)
        names = [f"{name} ({problem})" for name, problem in self.problems.items()]
        listed = ", ".join(names[: self.shown])
        if len(names) > self.shown:
            listed += f" and {len(names) - self.shown} more"
        count = "1 file" if len(names) == 1 else f"{len(names)} files"
        super().__init__(
            f"The model at {place} is not whole: {count} cannot be used: {listed}.",
            variable=variable,
            hint=hint or "Fetch the model again, or copy the named files from where it is whole.",
        )


class RefusedArtifact(ArtifactError):
    """An archive is corrupt, or holds a member that must not be unpacked.

    Args:
        archive: The archive's path.
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
            f"The archive {archive} was refused: {problem}.",
            variable=variable,
            hint=hint or "Pack the model again and compare the archive's checksum with its source.",
        )


class RefusedCode(ArtifactError):
    """The model names Python code of another repository, which may have become any code.

    Args:
        place: The model's directory.
        references: ``(configuration, purpose, name)`` of each class.
    """

    code = "refused-code"
    shown: ClassVar[int] = 4

    def __init__(self, place: Path, references: Sequence[tuple[str, str, str]]):
        self.place = place
        self.references = tuple(references)
        named = [f"{name} ({purpose} in {file})" for file, purpose, name in self.references]
        listed = ", ".join(named[: self.shown])
        if len(named) > self.shown:
            listed += f" and {len(named) - self.shown} more"
        super().__init__(
            f"TRUST_REMOTE_CODE is on, and the model at {place} names code that does not lie "
            f"beside it: {listed}. Only code of the model's own files may run.",
            variable="TRUST_REMOTE_CODE",
            hint="Leave TRUST_REMOTE_CODE out, if vLLM knows the model by itself. Or copy the "
            "files of code into the model's directory, and name them there without the "
            "repository: module.Class.",
        )


class FailedVerification(ArtifactError):
    """Files are not what their names, the manifest or the signature say.

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
        text = f"{place} failed the verification, with {count}:"
        for name, problem in list(self.problems.items())[: self.shown]:
            text += f"\n  {name}: {problem}"
        if len(self.problems) > self.shown:
            text += f"\n  and {len(self.problems) - self.shown} more"
        super().__init__(
            text,
            variable=variable,
            hint=hint or "Fetch the named files again from where they are whole.",
        )

    def as_dict(self) -> dict[str, Any]:
        """The ``error`` object of ``--json`` output, with all of the problems."""
        problems = [
            {"file": name, "problem": problem.text} for name, problem in self.problems.items()
        ]
        return {**super().as_dict(), "problems": problems}


def _searched(attempts: Sequence[Attempt]) -> str:
    return "".join(f"\n  {a.way:<9} {a.place}: {a.outcome}" for a in attempts)


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
        searched: Sequence[Attempt] = (),
        available: Mapping[str, Sequence[str]] = {},
        nearest: str | None = None,
        *,
        message: str | None = None,
        variable: str | None = "MODEL_ID",
        hint: str | None = None,
    ):
        self._summary = message or f"The model {model_id!r} (MODEL_ID) was not found."
        super().__init__(self._summary, variable=variable, hint=hint)
        self.model_id = model_id
        self.nearest = nearest
        self.searched: tuple[Attempt, ...] = ()
        self.available: dict[str, tuple[str, ...]] = {}
        self.add_search(searched, available)

    def add_search(
        self, searched: Sequence[Attempt], available: Mapping[str, Sequence[str]]
    ) -> None:
        """Add the searched places, and the models in them, to the message."""
        self.searched += tuple(searched)
        self.available |= {name: tuple(revisions) for name, revisions in available.items()}
        text = self._summary
        if self.nearest:
            text += f" Did you mean {self.nearest!r}?"
        if self.searched:
            text += " Searched:" + _searched(self.searched)
        if self.available:
            text += "\nAvailable models:"
            for name, revisions in list(self.available.items())[: self.shown]:
                text += f"\n  {name} ({', '.join(revisions)})"
            if len(self.available) > self.shown:
                text += f"\n  and {len(self.available) - self.shown} more"
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


class RevisionNotFound(ModelNotFound):
    """The model was found, but not the requested revision.

    Args:
        model_id: ``org/name``.
        problem: What is wrong with the revision.
        searched: Each place that was searched, in order.
    """

    code = "revision-not-found"

    def __init__(
        self,
        model_id: str,
        problem: Problem,
        searched: Sequence[Attempt] = (),
        *,
        variable: str | None = "REVISION",
        hint: str | None = None,
    ):
        self.problem = problem
        super().__init__(model_id, searched, message=problem.text, variable=variable, hint=hint)


class HubError(InferenceServerError):
    """The hub did not answer, or refused."""

    exit_code = 69
    code = "hub"


class StoreError(InferenceServerError):
    """An object store did not answer, or refused."""

    exit_code = 69
    code = "store"


class EngineFailed(InferenceServerError):
    """The engine ended unasked.

    Args:
        message: What happened, in one paragraph.
        kind: The kind of failure, where the cause is known: it becomes the error's ``code``.
        exit_code: The exit code, where it is not 70.
        hint: What mends it.
        excerpt: The lines of the output that tell of the cause.
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
    ):
        super().__init__(message, hint=hint)
        self.code = kind or type(self).code
        self.exit_code = type(self).exit_code if exit_code is None else exit_code
        self.excerpt = tuple(excerpt)


class StartTimeout(InferenceServerError):
    """The start took longer than START_TIMEOUT.

    Args:
        limit: START_TIMEOUT, in seconds.
        phase: The phase that it hangs in.
        seconds: Seconds in each phase that counts, and in the one that it hangs in.
        said: The last line that the engine wrote; None where it wrote nothing.
    """

    exit_code = 70
    code = "start-timeout"

    def __init__(
        self, limit: float, phase: Phase, seconds: Mapping[Phase, float], said: str | None
    ):
        self.limit = limit
        self.phase = phase
        self.seconds = dict(seconds)
        self.said = said
        last = f"The engine's last line was: {said}" if said else "The engine has said nothing."
        super().__init__(
            f"The start was not through after START_TIMEOUT={limit:g} s: phase {phase} for "
            f"{self.seconds[phase]:.0f} s. {last}",
            variable="START_TIMEOUT",
            hint="What it waits for is in its last lines. If it was only slow, raise START_TIMEOUT "
            "(0: no limit); the phases took "
            + ", ".join(f"{name} {s:.0f} s" for name, s in self.seconds.items())
            + ", and a download does not count.",
        )


class MachineError(InferenceServerError):
    """This machine or pod cannot run the launch."""

    exit_code = 71
    code = "machine"


class UnreadableModel(MachineError):
    """The model, or the folder that must hold it, may not be read by this user.

    Args:
        place: The model's folder, or the one that may not be searched.
        files: The files in it that may not be read; none where it is the folder itself.
        searched: Each way that was tried, where that is of use.
    """

    code = "unreadable-model"
    shown: ClassVar[int] = 8

    def __init__(self, place: Path, files: Sequence[str] = (), searched: Sequence[Attempt] = ()):
        self.place = place
        self.files = tuple(files)
        self.searched = tuple(searched)
        uid, gid = os.geteuid(), os.getegid()
        what = f"{place} may not be read by uid {uid}, gid {gid}"
        if self.files:
            listed = ", ".join(self.files[: self.shown])
            if len(self.files) > self.shown:
                listed += f" and {len(self.files) - self.shown} more"
            what = f"The model at {what}: {listed}"
        if self.searched:
            what += ". Searched:" + _searched(self.searched)
        else:
            what += "."
        super().__init__(
            what,
            variable="MODEL_ID",
            hint=f"Let everyone read it: chmod -R a+rX {place}. Or run as who may: docker: --user "
            "UID:GID or --group-add GID; Kubernetes: securityContext.fsGroup or runAsGroup.",
        )


class StorageError(InferenceServerError):
    """A read or a write failed."""

    exit_code = 74
    code = "storage"


class SettingError(InferenceServerError):
    """A setting has a wrong value."""

    exit_code = 78
    code = "setting"


class UnknownOption(SettingError):
    """ARG names an option that the installed vLLM does not have.

    Args:
        option: The option as the user spelled it.
        nearest: The known option nearest in spelling, if one is near.
    """

    code = "unknown-option"

    def __init__(self, option: str, nearest: str | None, vllm_version: str):
        self.option = option
        self.nearest = nearest
        meant = f" Did you mean {nearest}?" if nearest else ""
        super().__init__(
            f"ARG names {option}, which vLLM {vllm_version} does not have.{meant}",
            variable="ARG",
            hint="List the options with: inference-server options",
        )
