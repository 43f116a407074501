"""Rollouts: which versions wait where nothing but a person may help, by the rule that the app tells of them."""

from collections.abc import Iterator

from functions.operator.doctor.finding import Finding
from functions.operator.doctor.patient import Patient
from functions.rollout.records import standing
from functions.rollout.stalled import overdue


def rollouts(patient: Patient) -> Iterator[Finding]:
    """Whether a version stands where it is for longer than its loop has patience for, and the way out."""
    for loop in patient.loops.values():
        waiting = list(overdue(patient.here, loop, standing(patient.here.rows, loop.name), patient.here.now()))
        if not waiting:
            yield Finding("rollouts", "ok", f"no version of {loop.name} waits for longer than it has to")
        for one in waiting:
            name = f"{loop.name}:{one.version}"
            fix = (
                f"docs/runbook.md#stalled-rollout, by what it waits for; what is not proven goes on with "
                f"refluent approve {name} --because …, and back with refluent pin {loop.name} OLDER --because …"
            )
            yield Finding("rollouts", "warning", f"{name} stands {one.stands}", one.reason, fix)
