"""Bad and hostile inputs of uploads, from event to job; ids are those of the list of bad inputs the project keeps."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest

from functions.loops import Loop
from functions.operator.status import status
from functions.retraining.admit import admit_landed
from functions.retraining.decide import Decision, HoldForBudget, Launch, decide
from functions.retraining.look import look
from functions.retraining.perform import perform
from functions.retraining.trigger import (
    count_overlooked_on_timer,
    count_upload_on_blob_created,
    retrain_on_timer,
)
from functions.wiring import using
from tests.fakes.cloud import FakeCloud
from tests.files import flights
from tests.messages import blob_created
from tests.uploads import deliver, land

LOOP = "flight-delays"
DAY = flights()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, span: timedelta) -> None:
        self.now += span


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def here(clock: Clock) -> Iterator[FakeCloud]:
    cloud = FakeCloud(clock=clock)
    with using(cloud):
        yield cloud


def eager(here: FakeCloud, **changes: object) -> Loop:
    """The demo's loop with another policy."""
    loop = here.settings.loops[LOOP]
    policy = {"at_least_files": 1, "quiet_for": timedelta(seconds=2), "cool_down": timedelta(0), "jobs_at_once": 999}
    return loop.model_copy(update={"retrain": loop.retrain.model_copy(update={**policy, **changes})})


def turn(here: FakeCloud, loop: Loop) -> Decision:
    admit_landed(here, loop)
    seen = look(here.rows, loop)
    decision = decide(seen.backlog, loop.retrain, here.now())
    perform(decision, here, loop, seen=seen, now=here.now())
    return decision


def manifests(here: FakeCloud) -> list[list[str]]:
    """What each generation took, by ledger key."""
    found = [json.loads(data) for (_, name), data in here.blobs.blobs.items() if name.endswith("/new.json")]
    return [[blob["key"] for blob in one["blobs"]] for one in sorted(found, key=lambda one: int(one["generation"]))]


def counted(here: FakeCloud) -> int:
    return len(list(here.rows.find("uploads", LOOP)))


def codes(here: FakeCloud) -> list[str]:
    return sorted(name.split("/")[1] for at, name in here.blobs.blobs if at == "quarantine")


def test_a2_an_event_that_lacks_everything_is_set_aside_and_names_each_part(here: FakeCloud) -> None:
    parts = {"id": "1", "topic": "", "subject": "", "event_type": "", "data_version": ""}
    nothing = func.EventGridEvent(data={}, event_time=None, **parts)
    count_upload_on_blob_created(nothing)
    ((_, name),) = [at for at in here.blobs.blobs if at[0] == "quarantine"]
    assert name.split("/")[1] == "EG_SCHEMA"
    why = json.loads(here.blobs.blobs["quarantine", name])["why"]
    assert all(part in why for part in ("type", "source", "subject", "data"))


def test_a4_one_bad_event_among_a_hundred_costs_none_of_its_neighbours(here: FakeCloud) -> None:
    for number in range(100):
        changes = {"eTag": ""} if number == 57 else {"eTag": f"0x{number}"}
        count_upload_on_blob_created(blob_created(f"{LOOP}/ewr/{number}.parquet", **changes))
    assert (counted(here), codes(here)) == (99, ["EG_SCHEMA"])


def test_a5_one_event_five_times_is_one_upload(here: FakeCloud) -> None:
    for _ in range(5):
        count_upload_on_blob_created(blob_created())
    assert counted(here) == 1


@pytest.mark.parametrize("year", [1970, 2999])
def test_a8_the_time_of_an_event_is_not_what_a_window_counts_with(here: FakeCloud, year: int) -> None:
    count_upload_on_blob_created(blob_created(event_time=datetime(year, 1, 1, tzinfo=UTC)))
    (stored,) = here.rows.find("uploads", LOOP)
    assert stored.row["at"] == NOON


def test_a13_an_event_of_a_megabyte_is_an_event(here: FakeCloud) -> None:
    count_upload_on_blob_created(blob_created(storageDiagnostics="x" * 1_000_000))
    assert counted(here) == 1


def test_a20_an_event_replayed_three_days_after_its_job_starts_nothing(here: FakeCloud, clock: Clock) -> None:
    loop = eager(here)
    land(here, f"{LOOP}/ewr/2013-01-01.parquet")
    clock.sleep(timedelta(seconds=5))
    assert isinstance(turn(here, loop), Launch)
    clock.sleep(timedelta(days=3))
    deliver(here, f"{LOOP}/ewr/2013-01-01.parquet")
    assert turn(here, loop).reason == "no new files"
    assert (counted(here), len(here.trainer.orders)) == (1, 1)


def test_a23_an_event_put_back_from_the_dead_letters_is_the_same_upload(here: FakeCloud) -> None:
    dead = {"deadLetterReason": "MaxDeliveryAttemptsExceeded", "deliveryAttempts": 30, "lastDeliveryOutcome": "Busy"}
    count_upload_on_blob_created(blob_created())
    count_upload_on_blob_created(blob_created(**dead))  # type: ignore[arg-type] # none of them is the blob
    assert (counted(here), codes(here)) == (1, [])


@pytest.mark.parametrize("name", ["ewr//a.parquet", "ewr/a/", "ewr/ü 100%.parquet", "ewr/" + "x" * 900])
def test_b6_a_name_that_is_only_odd_is_kept_byte_for_byte(here: FakeCloud, name: str) -> None:
    count_upload_on_blob_created(blob_created(f"{LOOP}/{name}"))
    (stored,) = here.rows.find("uploads", LOOP)
    assert stored.row["blob"] == f"{LOOP}/{name}"


@pytest.mark.parametrize("name", ["ewr/./a", "ewr/../a", "..", "ewr/a\\b", "ewr/%2e%2e/a", "ewr/%5c", "ewr/a\x00"])
def test_b5_b6_a_name_that_could_lead_elsewhere_is_set_aside(here: FakeCloud, name: str) -> None:
    count_upload_on_blob_created(blob_created(f"{LOOP}/{name}"))
    assert (counted(here), codes(here)) == (0, ["BLOB_NAME"])


def test_b12_a_blob_that_is_gone_before_anybody_looked_is_not_asked_for_ever(here: FakeCloud) -> None:
    count_upload_on_blob_created(blob_created())
    for _ in range(2):
        retrain_on_timer(None)
    (stored,) = here.rows.find("uploads", LOOP)
    assert (stored.row["state"], stored.row["reason"]) == ("superseded", "it was deleted before it was looked at")


def test_b15_a_data_lake_s_two_events_of_one_file_are_one_upload(here: FakeCloud) -> None:
    count_upload_on_blob_created(blob_created(api="CreateFile", contentLength=0, eTag="0x1"))
    for _ in range(2):
        count_upload_on_blob_created(blob_created(api="FlushWithClose", eTag="0x2"))
    assert counted(here) == 1


def test_b17_a_shuffled_burst_with_duplicates_is_in_exactly_one_manifest_each(here: FakeCloud, clock: Clock) -> None:
    loop, dice = eager(here, at_most_files=75, jobs_per_day=9), random.Random(17)  # noqa: S311 - an order
    names = [f"{LOOP}/{site}/{number}.parquet" for number in range(100) for site in ("ewr", "jfk", "lga")]
    land(here, *names, data=DAY)
    again = dice.sample(names, 60)
    dice.shuffle(again)
    deliver(here, *again)
    clock.sleep(timedelta(seconds=5))
    for _ in range(8):
        turn(here, loop)
    keys = Counter(key for taken in manifests(here) for key in taken)
    assert [len(taken) for taken in manifests(here)] == [75, 75, 75, 75]
    assert (len(keys), set(keys.values())) == (300, {1})
    assert len(here.trainer.orders) == 4


def test_b18_a_file_a_second_for_ever_closes_windows_by_their_age(here: FakeCloud, clock: Clock) -> None:
    loop = eager(here, quiet_for=timedelta(seconds=10), at_most_wait=timedelta(seconds=60), jobs_per_day=99)
    decisions = []
    for second in range(130):
        land(here, f"{LOOP}/ewr/{second}.parquet", data=DAY)
        decisions.append(turn(here, loop))
        clock.sleep(timedelta(seconds=1))
    launched = [second for second, decision in enumerate(decisions) if isinstance(decision, Launch)]
    assert launched == [60, 121]


def test_b19_files_sent_again_and_again_cost_no_more_than_the_budget_and_are_not_lost(
    here: FakeCloud, clock: Clock
) -> None:
    loop = eager(here, jobs_per_day=2)
    for number in range(12):
        land(here, f"{LOOP}/ewr/a.parquet", data=flights(rows=10 + number))
        clock.sleep(timedelta(minutes=1))
        held = turn(here, loop)
    assert isinstance(held, HoldForBudget)
    (told,) = status(here.rows, {LOOP: loop})
    assert told.retraining.startswith("HoldForBudget since ")
    assert (len(here.trainer.orders), told.pending, told.taken) == (2, 10, 2)
    clock.sleep(timedelta(days=1))
    assert isinstance(turn(here, loop), Launch)
    assert sum(len(taken) for taken in manifests(here)) == 12


@pytest.mark.parametrize("late", [timedelta(hours=3), timedelta(seconds=5)])
def test_e5_a_timer_that_fires_twice_or_late_does_what_one_on_time_does(
    here: FakeCloud, clock: Clock, late: timedelta
) -> None:
    land(here, *(f"{LOOP}/{site}/{number}.parquet" for number in range(28) for site in ("ewr", "jfk", "lga")), data=DAY)
    clock.sleep(late)
    for _ in range(3):
        retrain_on_timer(None)
        count_overlooked_on_timer(None)
    assert len(here.trainer.orders) == 1
    assert [len(taken) for taken in manifests(here)] == [84]
