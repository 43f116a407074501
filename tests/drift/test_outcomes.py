"""Outcomes in telemetry: counted once like all else, by version and by when the answers were given."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from functions.drift.trigger import score_drift_on_telemetry
from functions.field import COLUMN, Uses, from_bytes, period_of
from tests.drift.test_trigger import OTHER_PROFILE, quarantined, routed, sketch_of, told, with_two_models
from tests.fakes.cloud import FakeCloud

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTHING = sketch_of(0)


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with with_two_models() as cloud:
        yield cloud


def outcomes(version: str = "1", *, hours_ago: int = 0, rows: int = 4) -> dict[str, object]:
    at = NOON - timedelta(hours=hours_ago)
    costs = {"log_loss_sum": 0.5 * rows, "log_loss_squares": 0.3 * rows, "brier_sum": 0.2 * rows}
    whole = {"version": version, "at": at.isoformat(), "rows": rows, "positives": rows // 4, **costs}
    return {**whole, "brier_squares": 0.05 * rows}


def uses(here: FakeCloud) -> Uses:
    stored = here.rows.get("devices", "flight-delays", "lga/inference")
    return from_bytes(stored.row[COLUMN]) if stored else {}


def test_outcomes_of_the_version_that_serves_and_of_the_one_before_it_are_kept_apart(here: FakeCloud) -> None:
    score_drift_on_telemetry([routed(told(0, outcomes=[outcomes(rows=5), outcomes(rows=7, hours_ago=3)]))])
    second = told(1, version="2", profile=OTHER_PROFILE.hash, sketch=sketch_of(100, profile=OTHER_PROFILE))
    score_drift_on_telemetry([routed({**second, "outcomes": [outcomes(rows=3), outcomes("2", rows=9)]})])
    found = uses(here)
    now, earlier = (period_of(at, timedelta(seconds=1)) for at in (NOON, NOON - timedelta(hours=3)))
    assert [(one.at, one.rows, one.positives) for one in found["1"].judged] == [(earlier, 7, 1), (now, 8, 1)]
    (one,) = found["2"].judged
    assert (one.at, one.rows) == (now, 9)
    assert (one.log_loss, one.brier, one.brier_squares) == pytest.approx((4.5, 1.8, 0.45))
    assert (found["1"].rows, found["2"].rows) == (100, 100)


def test_outcomes_come_with_raw_rows_or_without_any_row(here: FakeCloud) -> None:
    rows = [{"temp": 50.0, "wind_speed": 50.0, "visib": None, "score": 0.5}] * 3
    for sequence, some in enumerate((rows, [])):
        raw = {"kind": "rows", "rows": some, "outcomes": [outcomes(rows=5 + sequence)]}
        common = {name: told(sequence)[name] for name in ("v", "loop", "model", "version", "epoch", "sequence", "to")}
        score_drift_on_telemetry([routed({**common, **raw})] * 2)
    assert not quarantined(here)
    assert [(one.rows, one.positives) for one in uses(here)["1"].judged] == [(11, 2)]
    assert uses(here)["1"].rows == 3


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_twice_or_out_of_order_each_outcome_is_counted_once(here: FakeCloud, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 # a simulation
    messages = [
        told(
            number,
            rows=0,
            sketch=NOTHING,
            outcomes=[
                outcomes(rows=dice.randint(1, 90), hours_ago=dice.randint(0, 9)) for _ in range(dice.randint(0, 4))
            ],
        )
        for number in range(12)
    ]
    delivered = [routed(one) for one in [*messages, *dice.choices(messages, k=10)]]
    dice.shuffle(delivered)
    while delivered:
        batch = [delivered.pop() for _ in range(min(len(delivered), dice.randint(1, 6)))]
        score_drift_on_telemetry(batch)
        if dice.random() < 0.3:
            score_drift_on_telemetry(batch)
    all_told = [one for message in messages for one in message["outcomes"]]  # type: ignore[attr-defined] # as made above
    found = uses(here)["1"].judged
    assert sum(one.rows for one in found) == sum(one["rows"] for one in all_told)
    assert sum(one.log_loss for one in found) == pytest.approx(sum(one["log_loss_sum"] for one in all_told))
    assert len({one.at for one in found}) == len(found)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"positives": 5},
        {"version": "new"},
        {"at": "2026-03-01T12:00:00"},
        {"log_loss_sum": 4 * 7.1},
        {"log_loss_squares": 4 * 50.0},
        {"brier_sum": 4.1},
        {"brier_sum": -0.1},
        {"brier_squares": None},
        {"brier_squares": 4.1},
    ],
    ids=str,
)
def test_outcomes_that_no_rows_can_have_are_set_aside_with_their_message(
    here: FakeCloud, change: dict[str, object]
) -> None:
    score_drift_on_telemetry([routed(told(0, outcomes=[{**outcomes(), **change}]))])
    assert quarantined(here) == ["TEL_TYPE"]
    assert uses(here) == {}
