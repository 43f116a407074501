"""What is kept of a version on a device: periods that add up, in any order, and no more of them than fit a row."""

import zlib
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from functions.field import MOST_PERIODS, Period, Use, counted, cuts, from_bytes, grouped, newest, period_of, to_bytes

PERIODS = st.builds(
    lambda at, rows, latencies: Period(at, rows, rows, rows // 9, latencies, (rows,) + (0,) * 65),
    st.integers(0, 9),
    st.integers(0, 500),
    st.sampled_from([(), (1,) * 16]),
)


def whole(messages: list[Period]) -> Use:
    use: Use | None = None
    for one in messages:
        use = counted(use, "p", [one])
    return use or Use("p")


@given(st.lists(PERIODS, max_size=12).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_messages_add_up_in_whatever_order_they_come(both: tuple[list[Period], list[Period]]) -> None:
    one, other = whole(both[0]), whole(both[1])
    assert one == other == counted(None, "p", both[0])
    assert one.rows == sum(period.rows for period in both[0]) == sum(period.rows for period in one.periods)
    assert [period.at for period in one.periods] == sorted({period.at for period in both[0]})


def test_another_profile_begins_anew_and_old_periods_are_forgotten() -> None:
    many = whole([Period(at, 1, 1, 0, (), (1,) + (0,) * 65) for at in range(5000)])
    assert (many.rows, len(many.periods)) == (5000, MOST_PERIODS)
    assert [period.at for period in many.periods[-64:]] == [*range(4936, 5000)]
    assert [period.at for period in many.periods[:12]] == [*range(4032, 4752, 64)]
    assert counted(many, "q", many.periods[:1]).rows == 1


def test_three_full_versions_fit_one_property_of_a_table_row() -> None:
    rows = tuple(range(1000, 1066))
    full = Use(
        "p" * 16,
        10**9,
        10**9,
        tuple(Period(at, 10**6, 10**6, 10**5, (10**5,) * 16, rows) for at in range(MOST_PERIODS)),
    )
    uses = {str(version): full for version in range(5)}
    kept = newest(uses)
    assert list(kept) == ["2", "3", "4"]
    assert len(to_bytes(kept)) < 64_000
    assert from_bytes(to_bytes(kept)) == kept


def test_a_row_of_another_release_has_no_evidence_and_no_error() -> None:
    assert from_bytes(None) == from_bytes(b"x") == from_bytes(to_bytes({})[:-3]) == {}
    assert from_bytes(msgspec.msgpack.encode({"1": 2})) == {}


def test_a_drift_that_an_earlier_release_wrote_down_is_of_the_last_period_told_of() -> None:
    use = whole([Period(at, 1, 1, 0, (), ()) for at in (3, 5)])
    old = msgspec.msgpack.encode({"1": msgspec.structs.astuple(msgspec.structs.replace(use, drift="temp rose"))[:-1]})
    assert from_bytes(zlib.compress(old))["1"].drifted_at == 5
    assert use.drifted_at is None


def test_cells_are_grouped_without_losing_a_row_but_the_missing_ones() -> None:
    cells = list(range(259))
    groups = grouped(cells)
    assert (len(groups), sum(groups)) == (66, sum(cells) - 258)
    assert (groups[0], groups[1], groups[-1]) == (0, 1 + 2 + 3 + 4, 257)


def test_expected_scores_are_cut_into_eighths_as_nearly_as_they_can_be() -> None:
    assert cuts((1,) * 64) == (7, 15, 23, 31, 39, 47, 55)
    assert cuts((0, 100, 0, 0)) == (0, 0, 0, 0, 1, 1, 1)


def test_a_period_is_named_by_its_number_since_1970() -> None:
    moment = datetime(2026, 3, 1, 12, 59, 59, tzinfo=UTC)
    assert period_of(moment, timedelta(hours=1)) == period_of(moment.replace(minute=0, second=0), timedelta(hours=1))
    assert period_of(moment + timedelta(seconds=1), timedelta(hours=1)) == 1 + period_of(moment, timedelta(hours=1))
