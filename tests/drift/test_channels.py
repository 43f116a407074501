"""What is watched of a profile: pairs, contexts, rows in their order, and what a profile does not have."""

from collections.abc import Iterable
from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from functions.drift.channels import channels_of
from functions.drift.detector import Evidence, Finding, score
from functions.drift.policy import DriftSettings
from sketch.features import TIMES
from sketch.profile import Profile
from sketch.sketch import Sketch

EVERYTHING = DriftSettings()
ALARM = log(EVERYTHING.false_alarm_every)

type Columns = dict[str, NDArray[np.float64]]


def seen(
    rng: np.random.Generator, hours: NDArray[np.float64], *, together: float = 0.6, warmer: float = 0.0
) -> Columns:
    """Two numbers that go together and follow the hour of the day, one row an hour given."""
    temp = rng.normal(size=len(hours))
    dewp = together * temp + np.sqrt(1 - together**2) * rng.normal(size=len(hours))
    day = 1.5 * np.sin(hours / 12 * np.pi)
    return {"temp": temp + day + warmer, "dewp": dewp, "hour": hours}


def profile(*, contexts: Iterable[str] = (), together: float = 0.6, alike: int = 1) -> Profile:
    """The reference of 24,000 rows, at all hours; each row as many times as it has likenesses."""
    rng, hours = np.random.default_rng(3), np.repeat(np.arange(24.0), 1000 // alike)
    columns = {name: np.repeat(values, alike) for name, values in seen(rng, hours, together=together).items()}
    return Profile.build(
        columns,
        kinds={"temp": "number", "dewp": "number"},
        scores=rng.random(len(columns["temp"])),
        pairs=[("temp", "dewp")],
        contexts=tuple(contexts),
    )


def scored(reference: Profile, windows: Iterable[Columns]) -> list[Finding]:
    """What each window adds, without any alarm being taken back."""
    rng, channels, findings = np.random.default_rng(5), channels_of(reference, EVERYTHING), []
    evidence = Evidence.none(len(channels.shares))
    for columns in windows:
        sketch = Sketch(reference)
        sketch.add(columns, rng.random(len(columns["temp"])))
        evidence, finding = score(evidence, reference.by_stretch(sketch.counts), channels)
        assert finding is not None
        findings.append(finding)
    return findings


def days(count: int, **changes: float) -> list[Columns]:
    """A window of 200 rows for each hour."""
    rng = np.random.default_rng(7)
    return [seen(rng, np.full(200, hour), **changes) for hour in np.tile(np.arange(24.0), count)]


def test_an_hour_of_the_day_is_drift_from_the_whole_day_but_not_from_that_hour() -> None:
    assert max(finding.log_evidence for finding in scored(profile(contexts=["hour"]), days(4))) < ALARM
    assert max(finding.log_evidence for finding in scored(profile(), days(1))) > ALARM


def test_what_is_new_at_every_hour_is_found_under_contexts_and_told_against_the_hours_that_were_seen() -> None:
    found = scored(profile(contexts=["hour"]), days(1, warmer=0.7)[:4])[-1]
    assert found.log_evidence > ALARM
    assert (found.feature, found.rising, found.since) == ("temp", True, 1)
    assert found.after - found.before > 0.15


def test_a_window_of_mixed_hours_is_compared_with_the_same_mixture() -> None:
    """Half of the rows of the morning, half of the evening: no such day was in the reference."""
    rng = np.random.default_rng(9)
    windows = [seen(rng, np.repeat([6.0, 18.0], 100)) for _ in range(40)]
    assert max(finding.log_evidence for finding in scored(profile(contexts=["hour"]), windows)) < ALARM
    assert max(finding.log_evidence for finding in scored(profile(), windows)) > ALARM


@pytest.mark.parametrize(
    ("usual", "now", "words"),
    [
        (0.6, -0.2, "move together less; share above "),
        (0.3, 0.9, "move together more; share above "),
        (-0.6, 0.2, "move against each other less; share above "),
    ],
)
def test_a_pair_that_goes_together_otherwise_is_told_in_words(usual: float, now: float, words: str) -> None:
    rng, noon = np.random.default_rng(1), np.full(200, 0.0)
    windows = [seen(rng, noon, together=now) for _ in range(6)]
    found = scored(profile(contexts=["hour"], together=usual), windows)[-1]
    assert found.log_evidence > ALARM
    assert found.feature == f"temp{TIMES}dewp"
    assert found.words.startswith(words)


def test_a_pair_that_moves_because_one_of_its_two_does_is_told_of_by_that_one() -> None:
    rng, noon = np.random.default_rng(1), np.full(200, 12.0)
    windows = [seen(rng, noon, together=0.95, warmer=1.0) for _ in range(6)]
    found = scored(profile(contexts=["hour"], together=0.95), windows)[-1]
    assert found.log_evidence > ALARM
    assert (found.feature, found.rising) == ("temp", True)


def test_rows_in_runs_are_worth_as_much_less_in_windows_and_in_the_reference() -> None:
    single, runs = (channels_of(profile(contexts=["hour"], alike=alike), EVERYTHING) for alike in (1, 5))
    watched = [share.feature == "dewp" and share.channel == "values" for share in single.shares]
    assert single.worth[watched] == pytest.approx(1, abs=0.04)
    assert runs.worth[watched] == pytest.approx(1 / 6, abs=0.04)
    middle = int(np.flatnonzero(watched)[7])
    single_width, runs_width = (-np.diff(one.usual.edges[:, middle])[0] for one in (single, runs))
    assert runs_width / single_width == pytest.approx(6**0.5, abs=0.25)


def test_an_estimate_of_few_rows_is_not_trusted_to_say_that_rows_are_independent() -> None:
    rng = np.random.default_rng(1)
    worth = [
        channels_of(
            Profile.build({"x": rng.random(rows)}, kinds={"x": "number"}, scores=rng.random(rows)), EVERYTHING
        ).worth.min()
        for rows in (64, 1_000, 100_000)
    ]
    assert worth == pytest.approx([1 / 1.5, 1 / (1 + 4 / 1_000**0.5), 1 / (1 + 4 / 100_000**0.5)], rel=1e-3)


def test_what_a_profile_does_not_have_is_named() -> None:
    asked = DriftSettings(
        features=("temp", "gust"), pairs=(("dewp", "temp"), ("temp", "wind")), contexts=("hour", "site")
    )
    assert channels_of(profile(), asked).unknown == (
        "gust",
        "the pair temp and wind",
        "the context hour",
        "the context site",
    )
    assert channels_of(profile(contexts=["hour"]), asked).unknown[-1] == "the context site"
    assert channels_of(profile(), EVERYTHING).unknown == ()
