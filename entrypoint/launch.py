"""From an environment to a launch plan: the effects around the pure planning."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import SettingError
from entrypoint.hardware.detect import detect_hardware
from entrypoint.hardware.hardware import Hardware
from entrypoint.openvino.weights import Weights, choose_weights
from entrypoint.options.catalogue import load_catalogue
from entrypoint.planning.access import check_access
from entrypoint.planning.asked import Asked, read_asked
from entrypoint.planning.named_files import check_named_files
from entrypoint.planning.plan import LaunchPlan, make_plan
from entrypoint.planning.remote_code import read_codes
from entrypoint.pod.pod import Pod, read_pod
from entrypoint.pod.scratch import make_scratch, scratch_directory
from entrypoint.settings import KSERVE_MOUNT
from entrypoint.shared.handover import Phase
from entrypoint.status.listener import check_certificate
from entrypoint.store.disk.loading import Loading
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import OnProgress
from entrypoint.store.search.find import find_model
from entrypoint.store.verification.policy import VerificationPolicy, check_policy

LOADER_OPTIONS = (
    "--load-format",
    "--model-loader-extra-config",
    "--quantization",
    "--safetensors-load-strategy",
)
"""Options that choose how vLLM loads weights, or that need another loader."""


@dataclass(frozen=True, slots=True)
class LaunchInputs:
    """Everything that a launch plan is made from, except the model.

    Attributes:
        asked: The variables and ARG.
        request: Which model to find, and where.
        hardware: The hardware to run on.
        pod: What the pod offers.
    """

    asked: Asked
    request: Request
    hardware: Hardware
    pod: Pod

    def plan(self, model: Model) -> LaunchPlan:
        """Plan the launch of a model that was found.

        Raises:
            InferenceServerError: The launch cannot work.
        """
        code = read_codes(model, self.tokenizer_directory) if model.on_disk else {}
        weights = self.openvino_weights(model)
        notes = check_named_files(self.asked, model)
        return make_plan(self.asked, model, self.hardware, self.pod, code, weights, notes)

    @property
    def policy(self) -> VerificationPolicy:
        """The checks that the model must pass."""
        settings = self.asked.settings
        return VerificationPolicy(
            settings.model_verify, settings.model_signature_key, settings.model_signature
        )

    @property
    def tokenizer_directory(self) -> Path | None:
        """The tokenizer's own directory, if it has one."""
        path = Path(os.path.expanduser(self.asked.tokenizer)) if self.asked.tokenizer else None
        return path if path is not None and path.is_dir() else None

    def openvino_weights(self, model: Model) -> Weights | None:
        """Return the OpenVINO model to serve, None if vLLM's own engine serves."""
        if self.hardware.kind != "openvino":
            return None
        quantized = self.asked.settings.openvino_enable_quantized_weights
        return choose_weights(model, quantized, self.request.scratch)


def read_inputs(environ: Mapping[str, str]) -> LaunchInputs:
    """Read and check everything but the model.

    Raises:
        SettingError: A variable or an option is wrong, or MODEL_ID is missing.
        MachineError: This machine cannot run the launch.
    """
    asked = read_asked(environ)
    environ = asked.environ
    settings = asked.settings
    check_certificate(asked.listen)
    check_access(asked)
    if asked.model_id is None:
        raise _no_model(asked)
    scratch = scratch_directory(environ)
    roots = asked.cache_roots
    if not settings.hf_hub_offline:
        # where a download goes if no other root is writable
        roots += (scratch / "hub",)
    hardware = detect_hardware(settings.accelerator, environ)
    request = Request(
        model_id=asked.model_id,
        revision=asked.revision,
        cache_roots=roots,
        tarball=settings.model_tarball,
        offline=settings.hf_hub_offline,
        token=asked.hf_token,
        scratch=scratch,
        in_place=loads_in_place(asked, hardware),
        storage_uri=settings.storage_uri,
        mount=KSERVE_MOUNT,
        endpoint=settings.hf_endpoint,
        environ=environ,
        loading=read_loading(asked, hardware),
        setting=asked.model_setting,
    )
    inputs = LaunchInputs(asked, request, hardware, read_pod(environ, scratch))
    check_policy(inputs.policy)
    return inputs


def loads_in_place(asked: Asked, hardware: Hardware) -> bool:
    """Whether the engine can load weights from inside a tarball.

    OpenVINO's converter and the loaders that ARG can choose read files. Our loader extends vLLM's
    and is used only with the version of vLLM that it was tested with.
    """
    chosen = any(option in asked.arguments.given for option in LOADER_OPTIONS)
    tested = (hardware.vllm_version or "").partition("+")[0] == load_catalogue().version
    return hardware.kind != "openvino" and not chosen and tested


def read_loading(asked: Asked, hardware: Hardware) -> Loading:
    """Return how the engine is to load the model."""
    given, value = asked.arguments.given, asked.arguments.value
    load_format = "openvino" if hardware.kind == "openvino" else value("--load-format") or "auto"
    skipped = given.get("--skip-tokenizer-init")
    return Loading(
        load_format=load_format.lower(),
        config_format=value("--config-format") or "auto",
        own_tokenizer=asked.tokenizer in (None, asked.model_id)
        and (skipped is None or skipped.words[0] == "--no-skip-tokenizer-init"),
        own_config="--hf-overrides" not in given and "--hf-config-path" not in given,
    )


def _no_model(asked: Asked) -> SettingError:
    meant = next((name for name, known in asked.misspelled.items() if known == "MODEL_ID"), None)
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
    """Return the launch that an environment asks for. Fetches nothing and starts nothing.

    Raises:
        InferenceServerError: The launch cannot work.
    """
    inputs = read_inputs(environ)
    return inputs.plan(find_model(inputs.request))


def prepare_launch(
    inputs: LaunchInputs,
    enter: Callable[[Phase], None],
    on_progress: OnProgress,
    planned: Callable[[LaunchPlan], None] = lambda plan: None,
) -> LaunchPlan:
    """Find the model, fetch, verify and convert it if needed, and return the plan.

    Args:
        inputs: What the plan is made from.
        enter: Called with the phase, if the model has to be fetched, verified or converted.
        on_progress: Called with each change of the bytes done in a phase.
        planned: Called with the plan before anything is fetched.

    Raises:
        InferenceServerError: The launch cannot work.
    """
    make_scratch(inputs.request.scratch)  # the search caches the contents of tarballs there
    model = find_model(inputs.request)
    plan = inputs.plan(model)
    planned(plan)
    if model.source == "object-store" and model.path is None:
        from entrypoint.store.fetch import pull_artifact

        enter(Phase.DOWNLOAD)
        model = pull_artifact(model, inputs.request, on_progress)
        plan = inputs.plan(model)
    if not model.on_disk:
        from entrypoint.store.fetch import fetch_model

        enter(Phase.DOWNLOAD if model.path is None else Phase.UNPACK)
        model = fetch_model(model, inputs.request, on_progress)
        plan = inputs.plan(model)
    if inputs.policy.active:
        from entrypoint.store.threads import processors
        from entrypoint.store.verification.enforce import verify_model

        if inputs.policy.hashes:
            enter(Phase.VERIFY)
        verify_model(model, inputs.policy, processors(), on_progress)
    weights = inputs.openvino_weights(model)
    if weights is not None and not weights.complete:
        from entrypoint.openvino.convert import convert, converter_environment, find_converter

        command = find_converter(inputs.asked.settings.openvino_converter)
        enter(Phase.CONVERT)
        environment = converter_environment(inputs.asked.environ, plan.env)
        convert(model, weights, command, environment, inputs.asked.trust_remote_code)
    return plan
