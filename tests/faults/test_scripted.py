"""Each fault ends as the matrix says: exit code, kind and words; nothing hangs, nothing is left."""

from __future__ import annotations

import pytest

from tests.faults.matrix import SCRIPTED, Fault
from tests.faults.stage import a_stage
from tests.faults.trial import BOUND_SECONDS, Trial


def play(fault: Fault, seconds: float = BOUND_SECONDS) -> None:
    """Do to a launch what a row says, and hold its end against it."""
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
                trial.until(fault.phase)
                fault.act(trial)
            code = trial.end()
            trial.until_nothing_is_left()
            said = trial.said()
            assert (code, trial.kind()) == (fault.code, fault.kind), said
            for word in fault.words:
                assert word in trial.errors(), said
            if "error-log" not in fault.script:  # then it is the engine's
                assert "Traceback" not in said
            if fault.kind:
                head = f"{fault.kind} (exit code {fault.code}): "
                assert stage.termination.read_text().startswith(head)
            if stage.temporary.is_dir() and code >= 0:
                assert list(stage.temporary.glob("inference-server-*")) == []
        finally:
            trial.close()


@pytest.mark.parametrize("fault", SCRIPTED, ids=lambda fault: fault.name)
def test_fault(fault: Fault) -> None:
    play(fault)
