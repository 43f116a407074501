"""Whatever fails, in whatever order and however often messages come: windows are those of the log, nothing is lost."""

import pytest

from functions.drift import decide, keep, perform, window
from tests.sim.faults import Script
from tests.sim.messages import tell
from tests.sim.mutants import Mutant

SEEDS = 20
MUTANTS = (
    Mutant(
        "a message is counted as often as it comes",
        decide.count,
        "new = epoch.new(run.sequences)",
        "new = np.full(len(run.sequences), fill_value=True)",
    ),
    Mutant("slots close as soon as another begins", window.frontier, "- lateness_us if", "if"),
    Mutant(
        "a race that was lost counts as won",
        perform._settle,
        "if folded in kept or kept_alone(here, folded):",
        "if folded in kept or (kept_alone(here, folded), True):",
    ),
    Mutant(
        "what was refused together counts as written",
        keep.kept_together,
        "if here.rows.write_all(field.DEVICES, some[0].loop.name, writes):",
        "if (here.rows.write_all(field.DEVICES, some[0].loop.name, writes), True):",
    ),
    Mutant("gaps are told to nobody", decide._fill, "gaps=gaps", "gaps=()"),
    Mutant("what waits is dropped", decide._fill, "waiting=slots.kept(open_from)", "waiting=()"),
    Mutant("poison ends its batch", perform.take, "except ValueError as problem:", "except KeyError as problem:"),
)


def test_without_faults_the_accounts_add_up() -> None:
    assert tell(0, Script()) is None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_windows_are_those_of_the_log_of_distinct_messages(seed: int) -> None:
    assert tell(seed) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mistake_planted_in_telemetry_is_found(mutant: Mutant) -> None:
    with mutant.planted():
        assert any(tell(seed) for seed in range(40))
