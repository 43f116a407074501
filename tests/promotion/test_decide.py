from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.loops import Gate, read
from functions.ports import JobOutcome
from functions.promotion.decide import GiveUp, Register, Reject, Wait, decide
from functions.promotion.report import Report

GATE = read(
    Path("tests/loops/flight-delays.toml")
).gate  # 0.002 nats, 95 %, no site worse by 0.01, at most 1.5 times as slow
BOUND = Gate(margin=0.002, confidence=0.95)
LENIENT = GATE.model_copy(update={"promote": "unless proven worse"})
DONE = JobOutcome("completed")

type Lost = list[tuple[int, float]]  # rows and mean log loss of each day
days = st.lists(st.tuples(st.integers(1, 500), st.floats(0, 3), st.floats(0, 3)), min_size=3, max_size=20)
gates = st.tuples(st.sampled_from([0.0, 0.001, 0.002, 0.01, 0.1]), st.sampled_from([0.6, 0.8, 0.95, 0.99]))


def score(lost: Lost, *, latency_ms: float | None = 1.0, **sites: float) -> dict[str, object]:
    total = sum(rows for rows, _ in lost)
    by_day = {f"2013-02-{n:02}": {"rows": rows, "log_loss": loss} for n, (rows, loss) in enumerate(lost, 1)}
    by_segment = {site: {"rows": total, "log_loss": loss} for site, loss in (sites or {"jfk": 0.5}).items()}
    loss = sum(rows * loss for rows, loss in lost) / total
    return {"log_loss": loss, "by_day": by_day, "by_segment": by_segment, "latency_ms": latency_ms}


def report(challenger: dict[str, object], champion: dict[str, object] | None, baseline: float = 0.6) -> Report:
    body = {"rows": 1, "baseline": {"log_loss": baseline}, "challenger": challenger, "champion": champion}
    return Report.model_validate(body)


BETTER: Lost = [(9, 0.50), (8, 0.41), (7, 0.45), (11, 0.44)]
WORSE: Lost = [(9, 0.53), (8, 0.45), (7, 0.48), (11, 0.475)]


def test_the_first_model_must_beat_a_constant_guess() -> None:
    assert isinstance(decide(DONE, report(score([(10, 0.55)]), None), GATE), Register)
    assert isinstance(decide(DONE, report(score([(10, 0.599)]), None), GATE), Reject)


def test_a_challenger_that_is_better_every_day_is_registered_with_its_numbers() -> None:
    decision = decide(DONE, report(score(BETTER), score(WORSE)), GATE)
    assert isinstance(decision, Register)
    gained = (9 * 0.03 + 8 * 0.04 + 7 * 0.03 + 11 * 0.035) / 35
    assert f"log loss {gained:.4f} lower than the champion's over 4 held-out days, at least +0.0" in decision.reason
    assert decision.reason.endswith("better with 95% confidence")


def test_a_challenger_that_is_better_on_one_lucky_day_is_not() -> None:
    lucky = report(score([(9, 0.20), (8, 0.46), (7, 0.49), (11, 0.48)]), score(WORSE))
    decision = decide(DONE, lucky, GATE)
    assert isinstance(decision, Reject)
    assert decision.reason.endswith("the gate asks for 0.002")


def test_a_model_against_itself_is_rejected() -> None:
    assert isinstance(decide(DONE, report(score(BETTER), score(BETTER)), GATE), Reject)
    assert isinstance(decide(DONE, report(score(BETTER), score(BETTER)), Gate(margin=0.0, confidence=0.51)), Reject)


def test_unless_it_is_proven_worse_an_equal_model_is_promoted() -> None:
    equal = decide(DONE, report(score(BETTER), score(BETTER)), LENIENT)
    assert equal == Register(
        "log loss 0.0000 higher than the champion's over 4 held-out days,"
        " at most +0.0000 better with 95% confidence: not proven worse"
    )


def test_a_challenger_that_was_better_on_one_lucky_day_is_not_proven_worse() -> None:
    lucky = score([(9, 0.20), (8, 0.46), (7, 0.49), (11, 0.48)])
    assert isinstance(decide(DONE, report(lucky, score(WORSE)), LENIENT), Register)
    assert isinstance(decide(DONE, report(score(WORSE), lucky), LENIENT), Register)  # nor is the champion, then


def test_a_challenger_that_is_worse_every_day_is_rejected_either_way_with_its_numbers() -> None:
    worse = report(score(WORSE), score(BETTER))
    lost = (9 * 0.03 + 8 * 0.04 + 7 * 0.03 + 11 * 0.035) / 35
    decision = decide(DONE, worse, LENIENT)
    assert isinstance(decision, Reject)
    assert decision.reason.startswith(
        f"log loss {lost:.4f} higher than the champion's over 4 held-out days, at most -0.0"
    )
    assert decision.reason.endswith("better with 95% confidence; it is proven worse")
    assert isinstance(decide(DONE, worse, GATE), Reject)


def test_what_could_not_be_proven_worse_if_it_were_is_rejected() -> None:
    three = report(score([(9, 0.9), (8, 0.8), (7, 0.99)]), score(WORSE[:3]))
    decision = decide(DONE, three, LENIENT)
    assert isinstance(decision, Reject)
    assert decision.reason.endswith(
        "over 3 held-out days, too few for a bound with 95% confidence; more days are needed to prove a model worse"
    )


def test_limits_hold_also_for_a_challenger_that_is_not_proven_worse() -> None:
    slow = decide(DONE, report(score(BETTER, latency_ms=0.8), score(BETTER, latency_ms=0.5)), LENIENT)
    assert isinstance(slow, Reject)
    assert slow.reason.endswith(": not proven worse; 1.60 times as slow, 0.8 ms against 0.5 ms; at most 1.5 is allowed")
    site = decide(DONE, report(score(BETTER, lga=0.5321), score(BETTER, lga=0.52)), LENIENT)
    assert isinstance(site, Reject)
    assert isinstance(decide(DONE, report(score(BETTER, latency_ms=None), score(WORSE)), LENIENT), Reject)
    other = decide(DONE, report(score(BETTER), score(WORSE)), LENIENT.model_copy(update={"metric": "brier"}))
    assert other == Reject("the report has no Brier score of both models by day")


def test_the_first_model_must_beat_a_constant_guess_whatever_the_gate_promotes() -> None:
    assert isinstance(decide(DONE, report(score([(10, 0.599)]), None), LENIENT), Reject)
    assert isinstance(decide(DONE, report(score([(10, 0.55)]), None), LENIENT), Register)


def test_a_gain_below_the_margin_is_not_worth_a_rollout_however_sure_it_is() -> None:
    surely = report(score([(n, 0.4990) for n in (9, 8, 7, 11)]), score([(n, 0.5) for n in (9, 8, 7, 11)]))
    assert isinstance(decide(DONE, surely, BOUND), Reject)
    assert isinstance(decide(DONE, surely, Gate(margin=0.0009, confidence=0.95)), Register)


def test_two_days_prove_nothing() -> None:
    two = report(score([(9, 0.1), (8, 0.1)]), score([(9, 0.5), (8, 0.5)]))
    assert decide(DONE, two, GATE) == Reject("only 2 held-out days; 3 are needed")


def test_a_site_that_becomes_worse_holds_a_challenger_back_that_is_better_on_the_whole() -> None:
    held_back = report(score(BETTER, ewr=0.41, lga=0.5321), score(WORSE, ewr=0.47, lga=0.5200))
    decision = decide(DONE, held_back, GATE)
    assert isinstance(decision, Reject)
    assert decision.reason.endswith(
        "; log loss of site lga 0.0121 worse, 0.5321 against 0.5200; at most 0.01 is allowed"
    )
    assert isinstance(
        decide(DONE, report(score(BETTER, ewr=0.41, lga=0.529), score(WORSE, ewr=0.47, lga=0.52)), GATE), Register
    )


def test_a_challenger_that_is_too_slow_is_rejected() -> None:
    decision = decide(DONE, report(score(BETTER, latency_ms=0.8), score(WORSE, latency_ms=0.5)), GATE)
    assert isinstance(decision, Reject)
    assert decision.reason.endswith("; 1.60 times as slow, 0.8 ms against 0.5 ms; at most 1.5 is allowed")
    assert isinstance(decide(DONE, report(score(BETTER, latency_ms=0.7), score(WORSE, latency_ms=0.5)), GATE), Register)


def test_what_the_gate_asks_for_and_the_report_lacks_is_a_reason_to_reject() -> None:
    untimed = decide(DONE, report(score(BETTER, latency_ms=None), score(WORSE)), GATE)
    assert isinstance(untimed, Reject)
    assert untimed.reason.endswith("; the report has no latency of both models")
    other_sites = decide(DONE, report(score(BETTER, jfk=0.4), score(WORSE, ewr=0.4)), GATE)
    assert isinstance(other_sites, Reject)
    assert other_sites.reason.endswith("; the report has no log loss of both models by site")
    ranked = Gate.model_validate(
        {"margin": 0.002, "confidence": 0.95, "never_worse": [{"by": "all", "metric": "auc", "than": 0.01}]}
    )
    unranked = decide(DONE, report(score(BETTER), score(WORSE)), ranked)
    assert isinstance(unranked, Reject)
    assert unranked.reason.endswith("; the report has no AUC of both models")
    assert decide(DONE, report(score(BETTER), score(WORSE)), BOUND.model_copy(update={"metric": "brier"})) == Reject(
        "the report has no Brier score of both models by day"
    )


@pytest.mark.parametrize(("old", "new", "register"), [(0.70, 0.691, True), (0.70, 0.689, False), (0.70, 0.75, True)])
def test_an_auc_is_better_the_higher_it_is(old: float, new: float, *, register: bool) -> None:
    gate = Gate.model_validate(
        {"margin": 0.002, "confidence": 0.95, "never_worse": {"by": "all", "metric": "auc", "than": 0.01}}
    )
    decision = decide(DONE, report({**score(BETTER), "auc": new}, {**score(WORSE), "auc": old}), gate)
    assert isinstance(decision, Register) is register


def test_models_scored_on_different_rows_are_not_compared() -> None:
    fewer = [(8, 0.50), *BETTER[1:]]
    expected = Reject("the report scores the models on different rows")
    assert decide(DONE, report(score(fewer), score(WORSE)), GATE) == expected
    assert decide(DONE, report(score(BETTER), score(WORSE[:3])), GATE) == expected


def test_a_report_that_forgets_the_champion_is_no_first_model() -> None:
    forgot = decide(DONE, report(score(BETTER), None), GATE, rival="4", champion="4")
    assert forgot == Reject("the report does not score version 4, which is to be beaten")


def test_who_beat_an_older_champion_has_not_beaten_the_one_that_came_meanwhile() -> None:
    better = report(score(BETTER), score(WORSE))
    assert isinstance(decide(DONE, better, GATE, rival="4", champion="4"), Register)
    assert decide(DONE, better, GATE, rival="4", champion="5") == Reject(
        "it was compared with version 4, and by now the champion is version 5"
    )
    assert decide(DONE, report(score(BETTER), None), GATE, champion="1") == Reject(
        "it was compared with no model, and by now the champion is version 1"
    )


def test_a_job_that_did_not_end_well_is_given_up_with_the_tail_of_its_log() -> None:
    failed = JobOutcome("failed", detail="ValueError: no usable file")
    assert decide(failed, None, GATE) == GiveUp("the job failed: ValueError: no usable file")
    assert isinstance(decide(DONE, None, GATE), GiveUp)
    assert isinstance(decide(JobOutcome("running"), None, GATE), Wait)


def split(found: list[tuple[int, float, float]]) -> tuple[dict[str, object], dict[str, object]]:
    return score([(n, a) for n, a, _ in found]), score([(n, b) for n, _, b in found])


@settings(max_examples=25)
@given(days, gates)
def test_if_a_challenger_passes_then_the_champion_would_not_pass_against_it(
    found: list[tuple[int, float, float]], chosen: tuple[float, float]
) -> None:
    gate, (one, other) = Gate(margin=chosen[0], confidence=chosen[1]), split(found)
    forth, back = decide(DONE, report(one, other), gate), decide(DONE, report(other, one), gate)
    assert not (isinstance(forth, Register) and isinstance(back, Register))


@settings(max_examples=25)
@given(days, gates, gates)
def test_a_gate_that_asks_for_less_lets_pass_whatever_a_stricter_one_does(
    found: list[tuple[int, float, float]], chosen: tuple[float, float], other: tuple[float, float]
) -> None:
    judged = report(*split(found))
    strict = Gate(margin=max(chosen[0], other[0]), confidence=max(chosen[1], other[1]))
    lenient = Gate(margin=min(chosen[0], other[0]), confidence=min(chosen[1], other[1]))
    if isinstance(decide(DONE, judged, strict), Register):
        assert isinstance(decide(DONE, judged, lenient), Register)


@settings(max_examples=25)
@given(days, gates)
def test_whoever_is_proven_better_is_not_proven_worse_and_of_two_models_at_most_one_is(
    found: list[tuple[int, float, float]], chosen: tuple[float, float]
) -> None:
    strict = Gate(margin=chosen[0], confidence=chosen[1])
    lenient = strict.model_copy(update={"promote": "unless proven worse"})
    one, other = split(found)
    if isinstance(decide(DONE, report(one, other), strict), Register):
        assert isinstance(decide(DONE, report(one, other), lenient), Register)
    verdicts = [decide(DONE, report(*pair), lenient) for pair in ((one, other), (other, one))]
    assert sum(verdict.reason.endswith("it is proven worse") for verdict in verdicts) <= 1


@settings(max_examples=25)
@given(days, st.sampled_from([0.6, 0.7, 0.8]))
def test_who_asks_for_more_proof_of_harm_lets_more_models_pass_or_says_that_there_are_too_few_days(
    found: list[tuple[int, float, float]], confidence: float
) -> None:
    gate = Gate(margin=0.002, confidence=confidence, promote="unless proven worse")
    surer = gate.model_copy(update={"confidence": confidence + 0.15})
    if isinstance(decide(DONE, report(*split(found)), gate), Register):
        judged = decide(DONE, report(*split(found)), surer)
        assert isinstance(judged, Register) or judged.reason.endswith("more days are needed to prove a model worse")
