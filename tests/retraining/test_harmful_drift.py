"""Drift asks for a job by what harm it does, once, however often it is told of."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from functions.errors import Transient
from functions.journal import entries
from functions.ports import Row, Stored
from functions.retraining.admit import admit_landed
from functions.retraining.decide import Decision, HoldForBudget, Launch, Wait, decide
from functions.retraining.look import look
from functions.retraining.perform import perform
from functions.retraining.trigger import request_retraining_on_drift
from functions.wiring import using
from functions.wishes import waiting
from tests.fakes.cloud import FakeCloud, FakeRows
from tests.messages import message
from tests.test_envelope import as_cloud_event
from tests.uploads import land, retrains

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
LOOP = "flight-delays"
SITES = ("ewr", "jfk", "lga")
FILES = count(1)


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        retrains(cloud, on_drift="when harmful", labels_within=timedelta(hours=6), cool_down=timedelta(days=3))
        yield cloud


def drifts(harm: str, *, at: datetime = AT, device: str = "lga", version: str = "1") -> None:
    data: dict[str, object] = {
        "loop": LOOP,
        "device": device,
        "version": version,
        "feature": "temp",
        "explanation": "temp, share above 50: 12 % → 61 %, since window 3",
        "at": at.isoformat(),
        "harm": harm,
        "harm_reason": f"the numbers of {harm}",
    }
    request_retraining_on_drift(as_cloud_event(message("Refluent.DriftDetected", data, subject=device)))


def files_land(here: FakeCloud) -> None:
    folder = next(FILES)
    land(here, *(f"{LOOP}/{site}/{folder}/2013-01-{day:02}.parquet" for site in SITES for day in range(1, 29)))


def turn(here: FakeCloud, now: datetime) -> Decision:
    loop = here.settings.loops[LOOP]
    admit_landed(here, loop)
    seen = look(here.rows, loop)
    decision = decide(seen.backlog, loop.retrain, now)
    perform(decision, here, loop, seen=seen, now=now)
    return decision


def trained(here: FakeCloud, champion: str, at: datetime) -> None:
    """A job that new data started, which ended; its champion was this version."""
    row: Row = {"state": "registered", "launched_at": at, "ended_at": at, "champion": champion, "generation": 1}
    here.rows.insert("jobs", LOOP, f"rt-before-{champion}", row={**row, "described": True, "version": "1"})


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=10)


def test_harmless_drift_trains_nothing_and_the_journal_says_so(here: FakeCloud) -> None:
    trained(here, "", soon() - timedelta(hours=3))
    files_land(here)
    drifts("harmless")
    assert isinstance(turn(here, soon()), Wait)
    (told,) = [entry for entry in entries(here.rows, [LOOP]) if entry.decision == "LetBe"]
    assert told.reason == (
        "drifted, harmless: temp, share above 50: 12 % → 61 %, since window 3; the numbers of harmless"
    )
    assert (told.subject, told.links) == ("lga", (f"{LOOP}:1",))


def test_harmful_drift_asks_for_a_job_with_its_numbers(here: FakeCloud) -> None:
    trained(here, "", soon() - timedelta(hours=3))
    files_land(here)
    drifts("harmful")
    decision = turn(here, soon())
    assert isinstance(decision, Launch)
    assert decision.reason.startswith(
        "drift on lga: temp, share above 50: 12 % → 61 %, since window 3; harmful: the numbers of harmful; "
    )


def test_drift_whose_harm_nobody_can_tell_waits_for_labels_and_then_asks(here: FakeCloud) -> None:
    now = soon()
    trained(here, "", now - timedelta(hours=3))
    files_land(here)
    drifts("unknown", at=now)
    assert isinstance(turn(here, now + timedelta(hours=5)), Wait)
    assert isinstance(turn(here, now + timedelta(hours=6)), Launch)


def test_the_newest_word_of_a_drift_s_harm_counts_in_whatever_order_words_come(here: FakeCloud) -> None:
    said = [("unknown", 0), ("harmless", 1), ("harmful", 2), ("harmless", 3)]
    for harm, hours in [said[1], said[0], said[3], said[2], said[3]]:
        drifts(harm, at=AT + timedelta(hours=hours))
    (request,) = waiting(here.rows, here.settings.loops[LOOP])
    assert request.harm == "harmless"
    drifts("harmful", at=AT + timedelta(hours=4))
    (request,) = waiting(here.rows, here.settings.loops[LOOP])
    assert (request.harm, request.at) == ("harmful", AT + timedelta(hours=1))


def test_what_the_loop_says_about_drift_counts_when_the_timer_looks(here: FakeCloud) -> None:
    trained(here, "", soon() - timedelta(hours=3))
    files_land(here)
    drifts("harmless")
    assert isinstance(turn(here, soon()), Wait)
    retrains(here, on_drift="retrain")
    assert isinstance(turn(here, soon()), Launch)


def test_a_drift_that_flaps_a_thousand_times_gets_one_job_a_champion_and_no_more_than_the_budget(
    here: FakeCloud,
) -> None:
    """BAD_INPUTS D29."""
    dice, start = random.Random(3), soon()  # noqa: S311 # a simulation
    trained(here, "", start - timedelta(hours=3))
    files_land(here)
    launches = list[datetime]()
    for flap in range(1_000):
        now = start + timedelta(minutes=flap)
        drifts(dice.choice(["harmful", "harmless", "unknown"]), at=now, device=dice.choice(["lga", "jfk"]))
        if flap % 20 == 0:
            decision = turn(here, now)
            launches += [now] * isinstance(decision, Launch)
        if flap == 500:
            files_land(here)
    assert len(launches) == 1
    files_land(here)
    for version in range(2, 12):  # each time it is a new champion that drifts
        drifts("harmful", at=start + timedelta(minutes=1_000 + version), version=str(version))
        decision = turn(here, start + timedelta(minutes=1_000 + version))
        launches += [start] * isinstance(decision, Launch)
        for job in here.rows.find("jobs", LOOP):
            here.rows.change("jobs", LOOP, keys=[job.key], values={"state": "registered", "version": str(version)})
        files_land(here)
    assert len(launches) <= here.settings.loops[LOOP].retrain.jobs_per_day
    assert isinstance(decision, HoldForBudget)


class Contested(FakeRows):
    """Somebody else changes the row between every look and every swap."""

    def replace(self, table: str, partition: str, *, stored: Stored, row: Row) -> bool:  # noqa: ARG002 # as the port has it
        return False


def test_a_word_that_cannot_be_written_is_delivered_again(here: FakeCloud) -> None:
    here.rows = Contested()
    drifts("unknown")
    with pytest.raises(Transient, match="the wish of lga"):
        drifts("harmful", at=AT + timedelta(hours=1))
