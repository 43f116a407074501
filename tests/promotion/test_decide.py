from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.loops import read
from functions.ports import JobOutcome
from functions.promotion.decide import GiveUp, Register, Reject, Wait, decide, gain
from functions.promotion.report import Report, Score

GATE = read(Path("loops/flight-delays.toml")).gate  # margin 0.002 nats, confidence 95 %
DONE = JobOutcome("completed")


def score(*days: tuple[int, float]) -> Score:
    by_day = {f"2013-02-{n:02}": {"rows": rows, "log_loss": loss} for n, (rows, loss) in enumerate(days, 1)}
    total = sum(rows for rows, _ in days)
    return Score.model_validate({"log_loss": sum(n * x for n, x in days) / total, "by_day": by_day})


def report(challenger: Score, champion: Score | None, baseline: float = 0.6) -> Report:
    return Report.model_validate(
        {"rows": 1, "baseline": {"log_loss": baseline}, "challenger": challenger, "champion": champion}
    )


def test_the_gain_weighs_days_by_their_rows() -> None:
    found = gain(score((100, 0.50), (300, 0.40), (200, 0.45)), score((100, 0.52), (300, 0.46), (200, 0.46)), 0.95)
    assert found.mean == pytest.approx((100 * 0.02 + 300 * 0.06 + 200 * 0.01) / 600)
    # deviations n(g - mean): -166.7e-2·…; error = sqrt(sum of squares · 3/2) / 600; 1.6449 errors below the mean
    squares = sum((n * (g - 22 / 600)) ** 2 for n, g in ((100, 0.02), (300, 0.06), (200, 0.01)))
    assert found.lower == pytest.approx(22 / 600 - 1.6448536 * (squares * 1.5) ** 0.5 / 600)


def test_the_first_model_must_beat_a_constant_guess() -> None:
    assert isinstance(decide(DONE, report(score((10, 0.55)), None), GATE), Register)
    assert isinstance(decide(DONE, report(score((10, 0.599)), None), GATE), Reject)


def test_a_challenger_that_is_better_every_day_is_registered_with_its_numbers() -> None:
    decision = decide(
        DONE, report(score((9, 0.50), (8, 0.41), (7, 0.45)), score((9, 0.53), (8, 0.45), (7, 0.48))), GATE
    )
    assert isinstance(decision, Register)
    assert "0.0333 lower" in decision.reason
    assert "3 held-out days" in decision.reason


def test_a_challenger_that_is_better_on_one_lucky_day_is_not() -> None:
    lucky = report(score((9, 0.20), (8, 0.46), (7, 0.49)), score((9, 0.53), (8, 0.45), (7, 0.48)))
    assert isinstance(decide(DONE, lucky, GATE), Reject)


def test_a_model_against_itself_is_rejected() -> None:
    same = score((9, 0.50), (8, 0.41), (7, 0.45))
    assert isinstance(decide(DONE, report(same, same), GATE), Reject)


def test_two_days_prove_nothing() -> None:
    two = report(score((9, 0.1), (8, 0.1)), score((9, 0.5), (8, 0.5)))
    assert decide(DONE, two, GATE) == Reject("only 2 held-out days in common; 3 are needed")


def test_a_job_that_did_not_end_well_is_given_up_with_the_tail_of_its_log() -> None:
    failed = JobOutcome("failed", detail="ValueError: no usable file")
    assert decide(failed, None, GATE) == GiveUp("the job failed: ValueError: no usable file")
    assert isinstance(decide(DONE, None, GATE), GiveUp)
    assert isinstance(decide(JobOutcome("running"), None, GATE), Wait)


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 3), st.floats(0, 3)), min_size=3, max_size=20))
def test_if_a_challenger_passes_then_the_champion_would_not_pass_against_it(
    days: list[tuple[int, float, float]],
) -> None:
    one, other = score(*[(n, a) for n, a, _ in days]), score(*[(n, b) for n, _, b in days])
    forth, back = decide(DONE, report(one, other), GATE), decide(DONE, report(other, one), GATE)
    assert not (isinstance(forth, Register) and isinstance(back, Register))
