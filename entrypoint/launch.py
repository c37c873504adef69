"""From an environment to a launch plan: the effects around the pure middle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from entrypoint.errors import SettingError
from entrypoint.hardware.detect import detect_hardware
from entrypoint.hardware.hardware import Hardware
from entrypoint.note import Note
from entrypoint.openvino.weights import Weights, choose_weights
from entrypoint.planning.access import check_guarded
from entrypoint.planning.openvino import idle_notes, on_openvino
from entrypoint.planning.plan import (
    LaunchPlan,
    chosen_listen,
    chosen_model,
    chosen_tokenizer,
    loads_in_place,
    make_plan,
    read_arguments,
)
from entrypoint.planning.remote_code import guard, is_trusted
from entrypoint.pod.pod import Pod, read_pod
from entrypoint.pod.scratch import make_scratch, scratch_directory
from entrypoint.settings import KSERVE_MOUNT, Settings, cache_roots, near_misses, read_settings
from entrypoint.shared.handover import Phase
from entrypoint.status.listener import check_certificate
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import OnProgress
from entrypoint.store.search.find import find_model
from entrypoint.store.verification.demand import Demand, check_demand


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known before the model is on the disk.

    Attributes:
        settings: What the environment says.
        request: Which model is wanted, and where it may be.
        hardware: What it will run on.
        pod: What may be written, and where.
        notes: Variables that are set and are nearly one of the contract's; what to know of the
            machine.
        environ: The environment.
    """

    settings: Settings
    request: Request
    hardware: Hardware
    pod: Pod
    notes: tuple[Note, ...]
    environ: Mapping[str, str] = field(repr=False)

    def plan(self, model: Model) -> LaunchPlan:
        """Plan the launch of a model that was found."""
        plan = make_plan(self.settings, model, self.hardware, self.pod)
        plan = replace(plan, notes=self.notes + plan.notes)
        if model.on_disk:
            plan = guard(plan, self.tokenizer, signed=self.demand.key is not None)
        weights = self.openvino_weights(model)
        if weights is None:
            idle = idle_notes(self.settings, self.environ, self.hardware.kind)
            return replace(plan, notes=plan.notes + idle)
        return on_openvino(plan, weights, self.settings.openvino_enable_quantized_weights)

    @property
    def demand(self) -> Demand:
        """What the model must pass."""
        settings = self.settings
        return Demand(settings.model_verify, settings.model_signature_key, settings.model_signature)

    @property
    def tokenizer(self) -> Path | None:
        """The directory of the tokenizer, if TOKENIZER or ARG names one."""
        name = chosen_tokenizer(self.settings)
        path = Path(name).expanduser() if name else None
        return path if path is not None and path.is_dir() else None

    def openvino_weights(self, model: Model) -> Weights | None:
        """Return the OpenVINO model that is served, None where vLLM's own engine serves."""
        if self.hardware.kind != "openvino":
            return None
        quantized = self.settings.openvino_enable_quantized_weights
        return choose_weights(model, quantized, self.request.scratch)


def draft(environ: Mapping[str, str]) -> Draft:
    """Read and check everything but the model.

    Raises:
        SettingError: A variable or an option is wrong, or MODEL_ID is missing.
        MachineError: This machine cannot run what is asked for.
    """
    settings = read_settings(environ)
    check_certificate(chosen_listen(settings))
    check_guarded(settings, read_arguments(settings.arg))
    misses = near_misses(environ)
    model_id, revision = chosen_model(settings)
    if model_id is None:
        raise _no_model(misses)
    scratch = scratch_directory(environ)
    roots = cache_roots(settings, environ)
    if not settings.hf_hub_offline:
        # where a download goes if none of the others can be written to
        roots += (scratch / "hub",)
    hardware = detect_hardware(settings.accelerator, environ)
    request = Request(
        model_id=model_id,
        revision=revision,
        cache_roots=roots,
        tarball=settings.model_tarball,
        offline=settings.hf_hub_offline,
        token=settings.hf_token.get_secret_value() if settings.hf_token else None,
        scratch=scratch,
        in_place=loads_in_place(settings, hardware),
        storage_uri=settings.storage_uri,
        mount=KSERVE_MOUNT,
    )
    notes = tuple(
        Note("warning", name, f"{name} is set and means nothing here. Did you mean {meant}?")
        for name, meant in misses.items()
    )
    notes += hardware.notes
    drafted = Draft(settings, request, hardware, read_pod(environ, scratch), notes, environ)
    check_demand(drafted.demand)
    return drafted


def _no_model(misses: Mapping[str, str]) -> SettingError:
    meant = next((name for name, known in misses.items() if known == "MODEL_ID"), None)
    if meant:
        return SettingError(
            f"MODEL_ID is not set, but {meant} is. Did you mean MODEL_ID?",
            variable="MODEL_ID",
            hint=f"Rename {meant} to MODEL_ID.",
        )
    return SettingError(
        "MODEL_ID is not set.",
        variable="MODEL_ID",
        hint="Set it to a repository id (MODEL_ID=meta-llama/Llama-2-7b-chat-hf) or to a "
        "directory that holds a model.",
    )


def plan_launch(environ: Mapping[str, str]) -> LaunchPlan:
    """Return the launch that ``environ`` asks for; nothing is fetched, nothing started.

    Raises:
        InferenceServerError: The launch cannot work.
    """
    drafted = draft(environ)
    return drafted.plan(find_model(drafted.request))


def prepare_launch(
    drafted: Draft,
    enter: Callable[[Phase], None],
    on_progress: OnProgress,
    planned: Callable[[LaunchPlan], None] = lambda plan: None,
) -> LaunchPlan:
    """Return the plan of a launch whose model is on the disk and has passed what it must.

    It is fetched before and converted after that, if need be.

    Args:
        drafted: The launch so far.
        enter: Called with the phase, if the model has to be fetched, hashed or converted.
        on_progress: Called with each change of the bytes done in a phase.
        planned: Called with the plan as it is before anything is fetched.

    Raises:
        InferenceServerError: The launch cannot work.
    """
    make_scratch(drafted.request.scratch)  # the search keeps there what it finds in tarballs
    model = find_model(drafted.request)
    plan = drafted.plan(model)
    planned(plan)
    if model.source == "object-store" and model.path is None:
        from entrypoint.store.search.artifact import pull_artifact

        enter(Phase.DOWNLOAD)
        model = pull_artifact(model, drafted.request, on_progress)
        plan = drafted.plan(model)
    if not model.on_disk:
        from entrypoint.store.fetch import fetch_model

        enter(Phase.DOWNLOAD if model.path is None else Phase.UNPACK)
        model = fetch_model(model, drafted.request, on_progress)
        plan = drafted.plan(model)
    if drafted.demand.anything:
        from entrypoint.store.threads import processors
        from entrypoint.store.verification.enforce import verify_model

        if drafted.demand.hashes:
            enter(Phase.VERIFY)
        verify_model(model, drafted.demand, processors(), on_progress)
    weights = drafted.openvino_weights(model)
    if weights is not None and not weights.whole:
        from entrypoint.openvino.convert import convert, converter_environment, find_converter

        command = find_converter(drafted.settings.openvino_converter)
        enter(Phase.CONVERT)
        environment = converter_environment(drafted.environ, plan.env)
        convert(model, weights, command, environment, is_trusted(plan.argv))
    return plan
