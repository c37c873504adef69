"""The launch plan: what will run, and why. The center of the runtime.

:func:`make_plan` is a pure function, and the only place where a launch is decided. Everything
before it only reads; everything after it only acts on its result.

The rules of precedence, each with the test in ``tests/entrypoint/planning/test_plan.py`` that
shows it:

1. ARG wins over every variable and default, in any of vLLM's spellings. A note names the variable
   that lost (``TestRule1``).
2. Within ARG, the last occurrence of an option wins. The options in the file that its ``--config``
   names count as the first ones in ARG (``TestRule2``).
3. A variable wins over the accelerator's default, which wins over vLLM's default (``TestRule3``).
4. Of a variable's several names, the first one in docs/configuration.md wins (``TestRule4``).
5. An empty variable counts as unset (``TestRule5``).
6. ``--model`` in ARG wins over MODEL_ID, which wins over STORAGE_URI. ``--revision`` in ARG wins
   over REVISION (``TestRule6``).
7. An option in ARG wins over vLLM's own variable for it, and API_KEY over VLLM_API_KEY. In the
   engine's environment, the user's VLLM_* variables and those of the accelerators' libraries win
   over the accelerator's default; LD_PRELOAD is added to (``TestRule7``).
8. If ARG sets ``--quantization`` and nobody sets a dtype, the quantization chooses the dtype, not
   the accelerator (``TestRule8``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from entrypoint.hardware.hardware import Hardware
from entrypoint.note import Note
from entrypoint.openvino.weights import Weights
from entrypoint.planning.asked import Asked
from entrypoint.planning.defaults.accelerator import accelerator_defaults
from entrypoint.planning.engine_environment import engine_variables
from entrypoint.planning.engine_options import planned_argument, requested_options
from entrypoint.planning.listen import Listen
from entrypoint.planning.notes import plan_notes
from entrypoint.planning.openvino import check_one_rank
from entrypoint.planning.option import PlannedOption, RequestedOption
from entrypoint.planning.parallel import check_parallel, parallel_sizes
from entrypoint.planning.remote_code import Code, check_code
from entrypoint.planning.served_names import served_names
from entrypoint.planning.vllm_variables import planned_variables
from entrypoint.pod.pod import Pod, check_pod
from entrypoint.secrets import MASK, SECRET_OPTIONS, is_secret_variable
from entrypoint.store.model import Model

OWN_SOCKETS = ("--headless", "--grpc", "--data-parallel-multi-port-external-lb")
"""Options with which vLLM opens sockets itself, so that it cannot take over ours."""

NOT_PASSED = ("--model", "--revision", "--config")
"""Options that have done their work. The engine gets the model's path, and the options in the
configuration file each on its own, so that they and the defaults cannot disagree."""


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """A launch, decided.

    Attributes:
        argv: vLLM's options, as they follow ``vllm serve``. May hold secrets; show
            :meth:`as_dict` instead.
        env: Variables that the engine gets in addition to the current environment. May hold
            secrets.
        served_model_names: The names that the server answers to.
        model: The model to serve.
        accelerator: The hardware that it runs on.
        options: Each option and its reason, secrets masked.
        notes: What the user should know.
        listen: Where the server listens.
        shutdown_timeout: Seconds that running requests get after SIGTERM.
        engine_binds: Whether vLLM opens its own sockets, as some of its modes require.
        dropped: Variables of the current environment that the engine does not get.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    served_model_names: tuple[str, ...]
    model: Model
    accelerator: Hardware
    options: tuple[PlannedOption, ...]
    notes: tuple[Note, ...]
    listen: Listen
    shutdown_timeout: int
    engine_binds: bool
    dropped: tuple[str, ...] = ()

    def model_dict(self) -> dict[str, Any]:
        """Return the plan's ``model`` object."""
        return {
            "source": self.model.source,
            "path": str(self.model.path) if self.model.path else None,
            "repository": self.model.repository,
            "revision": self.model.revision,
            "requested_revision": self.model.requested_revision,
            "bytes": self.model.bytes,
            "searched": [asdict(attempt) for attempt in self.model.searched],
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what ``plan --json`` prints: every field for programs, no secret."""
        return {
            "argv": list(masked_argv(self.argv)),
            "env": {k: MASK if is_secret_variable(k) else v for k, v in self.env.items()},
            "served_model_names": list(self.served_model_names),
            "model": self.model_dict(),
            "accelerator": {
                "kind": self.accelerator.kind,
                "count": self.accelerator.count,
                "memory_bytes": self.accelerator.memory_bytes,
                "driver_version": self.accelerator.driver_version,
                "devices": [asdict(device) for device in self.accelerator.devices],
            },
            "options": [asdict(option) for option in self.options],
            "notes": [asdict(note) for note in self.notes],
        }


def masked_argv(argv: tuple[str, ...]) -> Iterator[str]:
    """Yield an argument list with the values of secret options masked."""
    secret = False
    for word in argv:
        if word.startswith("--"):
            name, joined, _ = word.partition("=")
            secret = name in SECRET_OPTIONS
            yield f"{name}={MASK}" if secret and joined else word
        else:
            yield MASK if secret else word


def make_plan(
    asked: Asked,
    model: Model,
    hardware: Hardware,
    pod: Pod,
    code: Mapping[Path, Code],
    weights: Weights | None,
    of_files: tuple[Note, ...] = (),
) -> LaunchPlan:
    """Decide the launch.

    Args:
        asked: The variables and ARG.
        model: The model to serve.
        hardware: The hardware to run on.
        pod: What the pod offers: writable places, shared memory, Kubernetes' variables.
        code: The code that comes with the model and the tokenizer, by directory; empty until the
            model is on the disk.
        weights: The OpenVINO model; None if vLLM's own engine serves.
        of_files: Notes about the files that options name.

    Raises:
        SettingError: A variable, or an option in ARG, has a value that vLLM does not accept.
        MachineError: The pod lacks something that the engine needs.
        RefusedCode: Code may run that is not in the model's own directories.
    """
    names = served_names(asked, model)
    requested = list(requested_options(asked, model, hardware, names))
    sizes = parallel_sizes(asked, hardware)
    if hardware.kind == "openvino":
        check_one_rank(sizes)
    elif not sizes.elsewhere:
        check_parallel(sizes, model.config, hardware)
    check_pod(pod, hardware.kind, sizes.ranks)
    if asked.trust_remote_code:
        check_code(code)
    defaults = accelerator_defaults(asked, model, hardware, sizes.ranks)
    set_by_variables = {option.option for option in requested}
    requested += [
        RequestedOption(option, (value,) if value is not None else (), "accelerator")
        for option, value in defaults.options.items()
        if option not in set_by_variables
    ]
    given = asked.arguments.given
    kept = [option for option in requested if option.option not in given]
    overridden = {option.option: option for option in requested if option.option in given}

    argv = [str(model.path or model.repository)]
    for option in kept:
        argv += [option.option, *option.words]
    for argument in asked.arguments.arguments:
        if argument.option.name not in NOT_PASSED:
            argv += argument.words

    environment = dict(engine_variables(asked, model, pod, defaults, code, weights))
    options = [option.planned() for option in kept]
    options += [
        planned_argument(argument, overridden.get(argument.option.name))
        for argument in asked.arguments.arguments
    ]
    options += [variable.planned(name) for name, variable in environment.items()]
    options += planned_variables(asked, pod, environment)
    others = (*defaults.notes, *of_files)
    notes = plan_notes(asked, model, hardware, pod, code, weights, overridden, others)
    return LaunchPlan(
        argv=tuple(argv),
        env={name: variable.value for name, variable in environment.items()},
        served_model_names=names,
        model=model,
        accelerator=hardware,
        options=tuple(options),
        notes=tuple(notes),
        listen=asked.listen,
        shutdown_timeout=asked.shutdown_timeout,
        engine_binds=any(name in given for name in OWN_SOCKETS),
        dropped=pod.injected,
    )
