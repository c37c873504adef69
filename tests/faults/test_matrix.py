"""The matrix covers every phase, and its rows are complete."""

from collections import Counter

from entrypoint.shared.handover import Phase
from tests.faults.matrix import SCRIPTED


def test_it_has_many_rows_and_no_row_twice() -> None:
    assert len(SCRIPTED) >= 60
    assert [name for name, count in Counter(f.name for f in SCRIPTED).items() if count > 1] == []


def test_every_row_names_a_cause_or_survives() -> None:
    for fault in SCRIPTED:
        assert fault.kind or fault.code <= 0 or "termination message" in fault.fault, fault.name


def test_every_phase_has_its_faults() -> None:
    assert {fault.phase for fault in SCRIPTED} >= set(Phase) - {Phase.CONVERT, Phase.STOPPING}
