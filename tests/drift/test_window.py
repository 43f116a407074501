"""Messages are counted once each, in whatever order and however often they come."""

from copy import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.drift.decide import Drifted, Duplicate, Steady, decide
from functions.drift.ledger import MOST_EPOCHS, MOST_STRETCHES, Epoch, Gap, Ledger, MessageKey, Stretch
from functions.drift.policy import DriftSettings
from functions.drift.state import DeviceState
from sketch.features import Column
from sketch.profile import Kind, Profile
from sketch.sketch import Sketch
from tests.drift.devices import REFERENCE, Device, draw, key, sketch_of

OPEN = DriftSettings(window_rows=10**9)
TINY = DriftSettings(window_rows=40)
SKETCHES = [
    sketch_of(draw(rng, 5 + 7 * seed), rng.random(5 + 7 * seed))
    for seed, rng in enumerate(map(np.random.default_rng, range(12)))
]
DELIVERIES = st.lists(st.integers(0, 11), max_size=40)


def deliver(order: list[int], settings: DriftSettings, epochs: int = 1) -> DeviceState | None:
    """Deliver messages by number; of each restart the device sends its own."""
    state = None
    for number in order:
        message = key(number // epochs, epoch=f"e{number % epochs}")
        state, _ = decide(state, SKETCHES[number], message, profile=REFERENCE, settings=settings)
    return state


@settings(max_examples=60)
@given(DELIVERIES, st.randoms(use_true_random=False))
def test_an_open_window_does_not_depend_on_order_or_repetition(order: list[int], random: object) -> None:
    shuffled = [*order, *order[::2]]
    random.shuffle(shuffled)  # type: ignore[attr-defined] # a Random
    assert deliver(shuffled, OPEN) == deliver(list(dict.fromkeys(order)), OPEN)


@settings(max_examples=60)
@given(DELIVERIES)
def test_an_open_window_is_the_sum_of_the_distinct_messages(order: list[int]) -> None:
    """Equal to an offline recomputation from the log."""
    state = deliver(order, OPEN, epochs=3)
    expected = sum((SKETCHES[number] for number in set(order)), Sketch(REFERENCE))
    assert np.array_equal(state.pending if state else np.zeros(REFERENCE.places), REFERENCE.by_stretch(expected.counts))
    assert (state.pending_rows if state else 0) == expected.rows


@settings(max_examples=40)
@given(DELIVERIES)
def test_no_row_is_lost_or_counted_twice_when_windows_fill(order: list[int]) -> None:
    state, seen, scored = None, set[int](), 0
    for number in order:
        seen.add(number)
        state, decision = decide(state, SKETCHES[number], key(number), profile=REFERENCE, settings=TINY)
        if isinstance(decision, Steady | Drifted):
            scored = sum(SKETCHES[counted].rows for counted in seen)
        assert scored + state.pending_rows == sum(SKETCHES[counted].rows for counted in seen)
        assert state.pending_rows < TINY.window_rows


def plus(epoch: Epoch, sequences: list[int], at_us: int = 0) -> Epoch:
    return epoch.plus(np.array(sequences), np.full(len(sequences), at_us))


def known(sequences: list[int], *, at_us: int = 0) -> Epoch:
    return plus(Epoch("e"), sequences, at_us)


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=9), max_size=12))
def test_an_epoch_knows_exactly_what_it_counted(batches: list[list[int]]) -> None:
    epoch, counted = Epoch("e"), list[int]()
    for batch in batches:
        new = [number for number, is_new in zip(batch, epoch.new(np.array(batch)).tolist(), strict=True) if is_new]
        assert new == [number for number in dict.fromkeys(batch) if number not in counted]
        if new:
            epoch = plus(epoch, new)
        counted += new
    assert [n for n in range(70) if not epoch.new(np.array([n]))[0]] == sorted(counted)
    assert epoch.newest == max(counted, default=-1)
    assert epoch.missing == epoch.newest + 1 - len(counted)


def test_neighbours_are_kept_as_one_stretch() -> None:
    epoch = known([0, 1, 4, 9, 8])
    assert [(one.first, one.end) for one in epoch.stretches] == [(0, 2), (4, 5), (8, 10)]
    assert [(one.first, one.end) for one in plus(epoch, [3, 2]).stretches] == [(0, 5), (8, 10)]


def test_a_gap_is_told_once_when_what_overtook_it_is_old_enough() -> None:
    epoch = plus(known([0, 1]), [5], 1_000)
    assert epoch.gaps(1_000)[1] == []
    epoch, gaps = epoch.gaps(1_001)
    assert gaps == [Gap("e", 2, 4)]
    assert str(gaps[0]) == "messages 2 to 4 of epoch e"
    assert epoch.gaps(10_000)[1] == []
    assert plus(epoch, [3], 2_000).gaps(10_000)[1] == []  # smaller gaps in it are no news


def test_a_gap_that_fills_in_time_is_never_told() -> None:
    assert plus(plus(known([0, 1]), [5], 1_000), [4, 2, 3], 900).gaps(10_000)[1] == []


def test_of_more_than_64_stretches_the_first_gaps_are_given_up() -> None:
    epoch = known(list(range(0, 2 * MOST_STRETCHES + 4, 2)))
    assert len(epoch.stretches) == MOST_STRETCHES
    assert epoch.lost == 2
    assert epoch.stretches[0] == Stretch(0, 5, 0)


def test_a_backlog_that_comes_after_live_messages_is_not_given_up() -> None:
    epoch = known(list(range(5_000, 5_010)))
    assert epoch.new(np.arange(5_000)).all()


def test_a_days_epochs_of_a_process_that_crashes_at_once_are_remembered() -> None:
    ledger = Ledger()
    for number in range(MOST_EPOCHS + 3):
        ledger = ledger.plus(plus(Epoch(f"e{number}"), [0]))
    assert len(ledger.epochs) == MOST_EPOCHS
    assert not ledger.epoch("e2").stretches
    assert ledger.epoch("e3").stretches


def test_only_what_comes_after_everything_counted_is_newer() -> None:
    ledger = Ledger().plus(plus(Epoch("e1"), [5])).plus(plus(Epoch("e2"), [2]))
    assert [ledger.is_newer(*message) for message in (("e1", 9), ("e2", 1), ("e2", 3), ("e3", 0))] == [
        False,
        False,
        True,
        True,
    ]


def drifting() -> DeviceState:
    """A state with everything in it: windows, an episode, a gap, two epochs, an open window."""
    device = Device(3)
    device.windows(4)
    device.windows(4, temp=lambda values: values + 8)
    assert device.state is not None
    state, _ = decide(device.state, SKETCHES[3], key(99, epoch="e2"), profile=REFERENCE, settings=device.settings)
    return state


def test_a_state_reads_back_from_its_bytes() -> None:
    state = drifting()
    assert state.episode is not None
    assert DeviceState.from_bytes(state.to_bytes()) == state
    assert DeviceState.from_bytes(state.to_bytes()) != replace(state, pending_rows=1)
    assert len(state.to_bytes()) < 8 * 1024


def test_a_state_that_was_stored_decides_as_one_that_was_not() -> None:
    kept, stored = Device(4), Device(4)
    for _ in range(6):
        expected, decisions = (device.windows(2, wind=lambda values: values * 1.4) for device in (kept, stored))
        assert decisions == expected
        assert stored.state is not None
        stored.state = DeviceState.from_bytes(stored.state.to_bytes())
        assert stored.state == kept.state


@given(st.data())
def test_damaged_state_bytes_are_refused(data: st.DataObject) -> None:
    whole = bytearray(STORED)
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="state"):
        DeviceState.from_bytes(bytes(whole))
    with pytest.raises(ValueError, match="state"):
        DeviceState.from_bytes(STORED[: data.draw(st.integers(0, len(STORED) - 1))])


STORED = drifting().to_bytes()


def test_another_devices_message_is_refused() -> None:
    stranger = MessageKey("ewr", "delays", "1", REFERENCE.hash, "e1", 0)
    with pytest.raises(ValueError, match="ewr"):
        decide(deliver([0], OPEN), SKETCHES[0], stranger, profile=REFERENCE, settings=OPEN)


def test_a_repeat_after_a_restart_of_the_function_is_still_a_repeat() -> None:
    state = DeviceState.from_bytes(STORED)
    _, decision = decide(state, SKETCHES[3], key(99, epoch="e2"), profile=REFERENCE, settings=DriftSettings())
    assert isinstance(decision, Duplicate)


def test_the_state_of_25_features_fits_a_table_property_with_room() -> None:
    rng = np.random.default_rng(2)
    columns: dict[str, Column] = {f"n{i}": rng.normal(size=4_000) for i in range(20)}
    columns |= {f"c{i}": [f"category-{n}" for n in rng.integers(0, 150, 4_000)] for i in range(5)}
    kinds: dict[str, Kind] = {name: "number" if name.startswith("n") else "category" for name in columns}
    profile = Profile.build(columns, kinds=kinds, scores=rng.random(4_000))
    state, message = None, MessageKey("d", "m", "1", profile.hash, "e", 0)
    for number in range(12):
        rows = rng.integers(0, 4_000, 230)
        sketch = Sketch(profile)
        sketch.add({n: np.asarray(values)[rows] for n, values in columns.items()}, rng.random(230))
        message = replace(message, sequence=2 * number)
        state, _ = decide(state, sketch, message, profile=profile, settings=DriftSettings(window_rows=400))
    assert state is not None
    assert len(state.to_bytes()) < 40 * 1024
