"""A version that the first ring tries out silently before it answers anybody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.events import RolloutPaused
from functions.field import shadowed
from functions.rollout.trigger import advance_on_timer, deploy_on_model_registered
from functions.settings import Settings
from functions.wiring import using
from tests.fakes.cloud import ENVIRONMENT, FakeCloud
from tests.messages import registered
from tests.rollout.fleet import LOOP, decisions, effective, layers, made, observe, roll_out, scored, state


@pytest.fixture
def here(tmp_path: Path) -> Iterator[FakeCloud]:
    text = Path(f"tests/loops/{LOOP}.toml").read_text(encoding="utf-8")
    asked = text.replace('module = "inference"\n', 'module = "inference"\nshadow_for = "0.000001 s"\n', 1)
    assert asked != text
    (tmp_path / f"{LOOP}.toml").write_text(asked, encoding="utf-8")
    with using(FakeCloud(settings=Settings.model_validate({**ENVIRONMENT, "LOOPS_FOLDER": str(tmp_path)}))) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def try_out(here: FakeCloud, *, moved: float) -> None:
    """Version 1 everywhere; version 2 scores silently on the canary, and its scores lie so far from the answered."""
    roll_out(here, "1")
    made(here, "2")
    for _ in range(2):
        deploy_on_model_registered(registered("2"))
    silent = shadowed(None, rows=5_000, moved=moved, flipped=100)
    observe(here, "lga/inference", v1=scored("1"), v2=silent)


def test_a_trial_changes_nothing_that_answers_and_a_good_one_lets_the_version_in(here: FakeCloud) -> None:
    try_out(here, moved=0.03)
    (silent,) = layers(here, "2", "shadow")
    assert set(silent.content["inference"]) == {"properties.desired.shadow"}  # type: ignore[call-overload] # a mapping
    assert state(here, "2") == ("shadowing", -1)
    advance_on_timer(None)
    assert layers(here, "2", "shadow") == []
    assert (state(here, "2"), effective(here)) == (("rolling", 0), "2")
    assert decisions(here, ":2") == ["TryOut", "Deploy"]


def test_a_version_that_disagrees_too_much_answers_nobody(here: FakeCloud) -> None:
    try_out(here, moved=0.4)
    for _ in range(2):
        advance_on_timer(None)
        deploy_on_model_registered(registered("2"))
    assert (state(here, "2"), effective(here)) == (("paused", -1), "1")
    assert (layers(here, "2"), layers(here, "2", "shadow")) == ([], [])
    (paused,) = [event for event in here.announcer.announced.values() if isinstance(event, RolloutPaused)]
    assert "0.400 from the answered ones" in paused.reason


def test_a_trial_goes_on_until_there_are_rows(here: FakeCloud) -> None:
    roll_out(here, "1")
    made(here, "2")
    deploy_on_model_registered(registered("2"))
    for _ in range(3):
        advance_on_timer(None)
    assert state(here, "2") == ("shadowing", -1)
    assert decisions(here, ":2") == ["TryOut", "Hold"]


def test_the_first_version_is_tried_against_nothing(here: FakeCloud) -> None:
    roll_out(here, "1")
    assert decisions(here, ":1")[0] == "Deploy"
