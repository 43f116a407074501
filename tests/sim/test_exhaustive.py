"""Small stories under every single fault at every call; and under every pair of faults, a part of them here."""

import pytest

from tests.sim.exhaustive import SCENARIOS, Scenario, pairs, single_faults

PARTS = 60  # `make sim-exhaustive` runs all


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_single_fault_breaks_an_invariant(scenario: Scenario) -> None:
    broken = {str(faults): str(told.problem) for faults, told in single_faults(scenario) if told.problem}
    assert broken == {}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_pair_of_faults_breaks_an_invariant(scenario: Scenario) -> None:
    broken = {str(faults): str(told.problem) for faults, told in pairs(scenario, parts=PARTS) if told.problem}
    assert broken == {}
