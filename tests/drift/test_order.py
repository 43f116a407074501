"""Windows are cut by when things happened: whatever the order in which they are told, within the lateness."""

from copy import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.drift.decide import Counted, count, run_of
from functions.drift.ledger import MessageKey
from functions.drift.policy import DriftSettings
from functions.drift.state import DeviceState
from functions.drift.window import Opened, Part, cut, frontier, micro
from tests.drift.devices import REFERENCE, draw, key, sketch_of
from tests.drift.offline import Logged, agrees

MINUTE = 60_000_000
LATE = DriftSettings(window_rows=60, window_at_most=timedelta(minutes=45), lateness=timedelta(minutes=10))
SKETCHES = [
    sketch_of(draw(rng, 3 + 5 * seed), rng.random(3 + 5 * seed))
    for seed, rng in enumerate(map(np.random.default_rng, range(8)))
]
type Timed = tuple[int, int]  # number of the message, event time in microseconds


def at(minute: float, number: int = 0, **other: str) -> MessageKey:
    return replace(key(number, **other), at_us=int(minute * MINUTE))  # type: ignore[arg-type] # by name


def deliver(batches: list[list[Timed]], policy: DriftSettings = LATE, state: DeviceState | None = None) -> Counted:
    """Deliver messages batch by batch."""
    counted = None
    for batch in batches:
        keys = [at(0, number) for number, _ in batch]
        keys = [replace(one, at_us=when) for one, (_, when) in zip(keys, batch, strict=True)]
        run = run_of(keys, [SKETCHES[number % len(SKETCHES)] for number, _ in batch])
        counted = count(state, run, profile=REFERENCE, settings=policy)
        state = counted.state
    assert counted is not None
    return counted


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[list[Timed], list[list[Timed]]]:
    """A device's messages, some minutes or hours apart; and as they come: late, in batches, some twice."""
    pauses = draw(st.lists(st.integers(0, 8 * MINUTE) | st.just(200 * MINUTE), min_size=1, max_size=25))
    sent = [(number, 10**15 + sum(pauses[: number + 1])) for number in range(len(pauses))]
    lateness = micro(LATE.lateness)
    late = draw(st.lists(st.integers(0, lateness), min_size=len(sent), max_size=len(sent)))
    order = sorted(sent, key=lambda one: one[1] + late[one[0]])  # nothing is told later than 10 minutes after
    order += draw(st.lists(st.sampled_from(order), max_size=5))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=6)) | {len(order)})
    return sent, [order[first:last] for first, last in zip([0, *cuts], cuts, strict=False) if first < last]


@settings(max_examples=80)
@given(shuffled())
def test_whatever_the_order_within_the_lateness_windows_are_those_of_the_log(
    told: tuple[list[Timed], list[list[Timed]]],
) -> None:
    sent, batches = told
    log = [Logged(when, SKETCHES[number % len(SKETCHES)]) for number, when in sent]
    counted = deliver(batches)
    assert agrees(counted.state, log, REFERENCE, LATE) == ""
    assert DeviceState.from_bytes(counted.state.to_bytes()) == counted.state


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300 * MINUTE)), min_size=1, max_size=30))
def test_no_row_is_lost_however_late_it_is(told: list[Timed]) -> None:
    distinct = dict(reversed(told))  # the first delivery of each counts
    state, late, judged = None, 0, 0
    for one in told:
        counted = deliver([[one]], state=state)
        before = state.evidence.windows if state else 0
        judged += counted.state.evidence.windows - before
        state, late = counted.state, late + counted.late
    assert state is not None
    open_rows = state.pending_rows + sum(slot.rows for slot in state.waiting)
    rows = sum(SKETCHES[number % len(SKETCHES)].rows for number in distinct)
    assert open_rows <= rows
    assert judged or open_rows == rows


def test_what_comes_after_its_slot_was_closed_is_counted_in_the_oldest_open_one_and_told() -> None:
    early, live = (0, 0), [(1, 30 * MINUTE), (2, 31 * MINUTE)]
    counted = deliver([live, [early]], replace(LATE, window_rows=10**6))
    assert counted.late == 1
    assert counted.counted.all()
    assert [slot.rows for slot in counted.state.waiting] == [
        SKETCHES[0].rows,
        SKETCHES[1].rows + SKETCHES[2].rows,
    ]


def test_days_of_backlog_make_the_windows_they_would_have_made_in_time() -> None:
    sent = [(number, 10**15 + number * 7 * MINUTE) for number in range(300)]
    in_time = deliver([[one] for one in sent]).state
    at_once = deliver([sent[first : first + 100] for first in (0, 100, 200)]).state
    assert in_time == at_once
    assert in_time.evidence.windows > 50


def test_without_lateness_messages_are_taken_as_they_come() -> None:
    now = replace(LATE, lateness=timedelta(0), window_rows=10**6, window_at_most=timedelta.max)
    counted = deliver([[(0, MINUTE)], [(1, 3 * MINUTE)], [(2, 2 * MINUTE)], [(3, 3 * MINUTE)]], now)
    assert counted.state.waiting == ()
    assert counted.state.pending_rows == sum(sketch.rows for sketch in SKETCHES[:4])


def test_a_gap_is_told_with_its_range_once_and_what_comes_after_all_is_counted() -> None:
    state = deliver([[(0, 0), (1, MINUTE)], [(5, 2 * MINUTE)]]).state
    counted = deliver([[(6, 40 * MINUTE)]], state=state)
    assert [str(gap) for gap in counted.gaps] == ["messages 2 to 4 of epoch e1"]
    again = deliver([[(7, 80 * MINUTE)], [(3, 81 * MINUTE)]], state=counted.state)
    assert not again.gaps
    assert again.counted.all()


def test_messages_about_a_replaced_model_leave_no_gap() -> None:
    state = None
    for one in (at(0, 0), at(1, 2, version="2"), at(0.5, 1), at(60, 3, version="2"), at(90, 4, version="2")):
        counted = count(state, run_of([one], [SKETCHES[0]]), profile=REFERENCE, settings=LATE)
        state = counted.state
        assert not counted.gaps


@pytest.mark.parametrize(
    ("newest", "lateness", "border"), [(0, 10, -10), (9, 10, -10), (10, 10, 0), (25, 10, 10), (25, 0, 25)]
)
def test_a_slot_is_closed_once_something_happened_a_whole_lateness_after_its_end(
    newest: int, lateness: int, border: int
) -> None:
    assert frontier(newest, lateness) == border


def test_slots_are_dealt_to_windows_by_rows_and_by_length() -> None:
    parts = list(cut([0, 10, 20, 90, 100], [5, 5, 5, 3, 4], Opened(rows=2), full=12, long_us=50))
    assert parts == [Part(0, 2, fills=True), Part(2, 3, fills=True), Part(3, 5, fills=False)]
    assert list(cut([70], [1], Opened(rows=2, start_us=10), full=12, long_us=50)) == [
        Part(0, 0, fills=True),
        Part(0, 1, fills=False),
    ]
    assert list(cut([], [], Opened(rows=2), full=12, long_us=50)) == []
