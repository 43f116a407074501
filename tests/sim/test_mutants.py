"""The simulation finds what it is for: every planted fault breaks an invariant."""

import pytest

from tests.sim.mutants import MUTANTS, Mutant, find


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_fault_is_found(mutant: Mutant) -> None:
    assert find(mutant)
