"""The bench of the field gate: what is harmful goes no further, and what is good does."""

import pytest

from bench.field_gate import KINDS, World

BY_NAME = {kind.name: kind for kind in KINDS}


def ends(name: str, before: int, *, outcomes: bool = True) -> set[str]:
    return {World(seed, BY_NAME[name], by_skill=0.15).ends(before, outcomes=outcomes) for seed in range(4)}


@pytest.mark.parametrize("name", ["alike", "better"])
def test_good_versions_go_on(name: str) -> None:
    assert ends(name, 5) == {"on"}


@pytest.mark.parametrize("before", [1, 10])
@pytest.mark.parametrize("name", ["inverted", "constant"])
def test_harmful_versions_never_do(name: str, before: int) -> None:
    assert "on" not in ends(name, before)


def test_few_shared_periods_are_enough_to_take_an_inverted_version_back() -> None:
    assert ends("inverted", 5) == {"back"}


def test_outcomes_let_on_what_only_answers_otherwise() -> None:
    assert ends("in_season", 1, outcomes=False) == {"held"}
    assert "on" in ends("in_season", 1)
