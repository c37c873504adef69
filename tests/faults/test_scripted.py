"""Each row ends with its exit code, error code and words; nothing hangs, no process is left."""

from __future__ import annotations

import pytest

from tests.faults.matrix import SCRIPTED, Fault
from tests.faults.stage import a_stage
from tests.faults.trial import BOUND_SECONDS, Trial


def play(fault: Fault, seconds: float = BOUND_SECONDS) -> None:
    """Run a row's launch with its fault, and compare its end with the row."""
    with a_stage() as stage:
        stage.environ |= {
            "SCRIPT": fault.script, "SCRIPT_CORE": fault.core, "SCRIPT_WORKER": fault.worker
        }  # fmt: skip
        for name, value in fault.variables.items():
            stage.environ[name] = value.replace("{place}", str(stage.place))
        for inject in fault.inject:
            inject(stage)
        trial = Trial(stage, seconds)
        try:
            if fault.act is not None:
                trial.wait_for_phase(fault.phase)
                fault.act(trial)
            code = trial.end()
            trial.wait_until_all_ended()
            output = trial.output()
            assert (code, trial.kind()) == (fault.code, fault.kind), output
            for word in fault.words:
                assert word in trial.errors(), output
            if "error-log" not in fault.script:  # which is the engine's traceback
                assert "Traceback" not in output
            if fault.kind:
                head = f"{fault.kind} (exit code {fault.code}): "
                assert stage.termination.read_text().startswith(head)
            if stage.temporary.is_dir() and code >= 0:
                assert list(stage.temporary.glob("inference-server-*")) == []
        finally:
            trial.close()


@pytest.mark.parametrize("fault", SCRIPTED, ids=lambda fault: fault.name)
def test_the_launch_ends_as_the_row_expects(fault: Fault) -> None:
    play(fault)
