"""What functions/ports.py promises of Rows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from functions.cloud.tables import _query
from functions.errors import Refused
from functions.ports import ROW_LIMIT, Row, Value, Write
from functions.wiring import Cloud

TABLE = "contract"
PROPERTY = 64 * 1024  # bytes that Table Storage takes in one
ODD_KEYS = (
    "edge#1/inference?",
    "a/b\\c",
    "flight-delays/ewr/2013-01-01.parquet",
    "Zürich 東京 🚀",
    "100%",
    "%41",
    "a_b",
    "_x41",
    "it's",
    'say "so"',
    "tab\tand\nline\x7f",
    " ",
    "..",
    "aB",
)
VALUES: dict[str, Value] = {
    "text": 'it\'s "so", 東京 🚀\n',
    "nothing": "",
    "long": "x" * 30_000,
    "zero": 0,
    "one": 1,
    "small": -(2**31),
    "large": 2**31,
    "bytes_of_a_year": 3_000_000_000,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "yes": True,
    "no": False,
    "share": 0.1,
    "whole": 2.0,
    "tiny": 5e-324,
    "packed": bytes(range(256)) * 240,
    "empty": b"",
    "at": datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC),
    "on_the_second": datetime(2026, 3, 1, tzinfo=UTC),
}


def test_a_row_inserted_twice_is_there_once_with_its_first_values(cloud: Cloud, unique: str) -> None:
    assert cloud.rows.insert(TABLE, unique, "k", row={"n": 1})
    assert not cloud.rows.insert(TABLE, unique, "k", row={"n": 2})
    assert not cloud.rows.insert(TABLE, unique, "k", row={"n": 1})
    stored = cloud.rows.get(TABLE, unique, "k")
    assert stored is not None
    assert (stored.key, dict(stored.row)) == ("k", {"n": 1})


def test_what_was_never_written_is_not_there(cloud: Cloud, unique: str) -> None:
    assert cloud.rows.get(TABLE, unique, "k") is None
    assert not list(cloud.rows.find(TABLE, unique))


def test_partitions_and_keys_may_hold_any_text_and_come_in_its_order(cloud: Cloud, unique: str) -> None:
    partition = f"{unique}/odd#one?%_"
    for number, key in enumerate(ODD_KEYS):
        assert cloud.rows.insert(TABLE, partition, key, row={"number": number})
    found = list(cloud.rows.find(TABLE, partition))
    assert [stored.key for stored in found] == sorted(ODD_KEYS)
    assert {stored.key: stored.row["number"] for stored in found} == {key: n for n, key in enumerate(ODD_KEYS)}
    for key in ODD_KEYS:
        stored = cloud.rows.get(TABLE, partition, key)
        assert stored is not None
        assert stored.key == key
    assert not list(cloud.rows.find(TABLE, f"{unique}/odd#one?%"))


def test_every_kind_of_value_comes_back_as_it_went(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "k", row=VALUES)
    stored = cloud.rows.get(TABLE, unique, "k")
    assert stored is not None
    assert stored.row == VALUES
    assert {name: type(value) for name, value in stored.row.items()} == {
        name: type(value) for name, value in VALUES.items()
    }


def test_a_time_of_another_zone_is_the_same_instant(cloud: Cloud, unique: str) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=-5)))
    cloud.rows.insert(TABLE, unique, "k", row={"at": at})
    stored = cloud.rows.get(TABLE, unique, "k")
    assert stored is not None
    assert stored.row["at"] == at


def test_a_row_is_replaced_whole_unless_it_changed_meanwhile(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "k", row={"n": 1, "old": "gone"})
    seen = cloud.rows.get(TABLE, unique, "k")
    assert seen is not None
    assert cloud.rows.replace(TABLE, unique, stored=seen, row={"n": 2})
    assert not cloud.rows.replace(TABLE, unique, stored=seen, row={"n": 3})
    now = cloud.rows.get(TABLE, unique, "k")
    assert now is not None
    assert dict(now.row) == {"n": 2}


def test_a_replacement_whose_answer_was_lost_counts_as_done(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "k", row={"n": 1})
    seen = cloud.rows.get(TABLE, unique, "k")
    assert seen is not None
    mine = VALUES
    assert cloud.rows.replace(TABLE, unique, stored=seen, row=mine)
    assert cloud.rows.replace(TABLE, unique, stored=seen, row=mine)


def test_of_two_who_replace_the_same_row_one_wins(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "k", row={"n": 1})
    first, second = (cloud.rows.get(TABLE, unique, "k") for _ in range(2))
    assert first is not None
    assert second is not None
    outcomes = [cloud.rows.replace(TABLE, unique, stored=seen, row={"n": n}) for n, seen in ((2, first), (3, second))]
    assert outcomes == [True, False]


def test_a_row_changed_by_somebody_else_cannot_be_replaced(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "k", row={"n": 1})
    seen = cloud.rows.get(TABLE, unique, "k")
    assert seen is not None
    cloud.rows.change(TABLE, unique, keys=["k"], values={"by": "somebody"})
    assert not cloud.rows.replace(TABLE, unique, stored=seen, row={"n": 2})


def test_the_same_values_are_merged_into_many_rows(cloud: Cloud, unique: str) -> None:
    keys = [f"upload/{n:03}" for n in range(205)]
    for key in keys:
        cloud.rows.insert(TABLE, unique, key, row={"generation": 0, "blob": key})
    cloud.rows.change(TABLE, unique, keys=[*keys[:203], *keys[:3]], values={"generation": 7})
    taken = list(cloud.rows.find(TABLE, unique, generation=7))
    assert [stored.key for stored in taken] == keys[:203]
    assert all(stored.row["blob"] == stored.key for stored in taken)
    assert [stored.key for stored in cloud.rows.find(TABLE, unique, generation=0)] == keys[203:]


def test_nothing_is_changed_when_there_are_no_keys(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "k", row={"n": 1})
    cloud.rows.change(TABLE, unique, keys=[], values={"n": 2})
    assert [dict(stored.row) for stored in cloud.rows.find(TABLE, unique)] == [{"n": 1}]


@pytest.mark.parametrize("name", [name for name in VALUES if name not in ("long", "packed", "tiny")])
def test_rows_are_found_by_the_value_they_hold(cloud: Cloud, unique: str, name: str) -> None:
    cloud.rows.insert(TABLE, unique, "k", row=VALUES)
    cloud.rows.insert(TABLE, unique, "other", row={"another": "row"})
    wanted = {name: VALUES[name]}
    assert [stored.key for stored in cloud.rows.find(TABLE, unique, **wanted)] == ["k"]
    assert not list(cloud.rows.find(TABLE, f"{unique}-elsewhere", **wanted))


@pytest.mark.parametrize(
    "poison", ["x' or PartitionKey ne '", "' or 'a' eq 'a", "@PartitionKey", "x eq @blob", "%27 or true", ""]
)
def test_a_value_can_never_widen_the_question(cloud: Cloud, unique: str, poison: str) -> None:
    for key in ("a", "b"):
        cloud.rows.insert(TABLE, unique, key, row={"blob": key, "site": "ewr"})
    assert not list(cloud.rows.find(TABLE, unique, blob=poison))
    cloud.rows.insert(TABLE, unique, "c", row={"blob": poison, "site": "ewr"})
    assert [stored.key for stored in cloud.rows.find(TABLE, unique, blob=poison, site="ewr")] == ["c"]


def test_several_values_must_all_be_equal(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "a", row={"site": "ewr", "generation": 0})
    cloud.rows.insert(TABLE, unique, "b", row={"site": "ewr", "generation": 1})
    cloud.rows.insert(TABLE, unique, "c", row={"site": "jfk", "generation": 1})
    assert [stored.key for stored in cloud.rows.find(TABLE, unique, site="ewr", generation=1)] == ["b"]


@pytest.mark.parametrize(
    ("value", "term"),
    [(0, "n eq 0"), (1, "n eq 1"), (0.0, "n eq 0.0"), (False, "n eq false"), (3_000_000_000, "n eq 3000000000L")],
)
def test_a_number_is_asked_for_as_a_number(value: Value, term: str) -> None:
    query, parameters = _query("p", {"n": value})
    assert query == f"PartitionKey eq @PartitionKey and {term}"
    assert parameters == {"PartitionKey": "p"}


def test_many_rows_are_written_at_once_new_ones_and_others_in_the_place_of_what_was_seen(
    cloud: Cloud, unique: str
) -> None:
    cloud.rows.insert(TABLE, unique, "old", row={"n": 1, "gone": True})
    seen = cloud.rows.get(TABLE, unique, "old")
    new = [Write(f"k{n}", {**VALUES, "n": n}, None) for n in range(20)]
    assert cloud.rows.write_all(TABLE, unique, [*new, Write("old", {"n": 2}, seen)])
    found = {stored.key: dict(stored.row) for stored in cloud.rows.find(TABLE, unique)}
    assert found == {"old": {"n": 2}, **{one.key: one.row for one in new}}


@pytest.mark.parametrize("meddled", ["replaced", "inserted", "never there"])
def test_of_rows_that_are_written_at_once_none_is_if_one_is_not_as_it_was(
    cloud: Cloud, unique: str, meddled: str
) -> None:
    for key in ("a", "b"):
        cloud.rows.insert(TABLE, unique, key, row={"n": 1})
    seen = {stored.key: stored for stored in cloud.rows.find(TABLE, unique)}
    writes = [Write("a", {"n": 2}, seen["a"]), Write("b", {"n": 2}, seen["b"]), Write("c", {"n": 2}, None)]
    if meddled == "replaced":
        assert cloud.rows.replace(TABLE, unique, stored=seen["b"], row={"n": 7})
    elif meddled == "inserted":
        assert cloud.rows.insert(TABLE, unique, "c", row={"n": 7})
    else:
        writes.append(Write("z", {"n": 2}, replace(seen["b"], key="z")))
    before = {stored.key: dict(stored.row) for stored in cloud.rows.find(TABLE, unique)}
    assert not cloud.rows.write_all(TABLE, unique, writes)
    assert {stored.key: dict(stored.row) for stored in cloud.rows.find(TABLE, unique)} == before
    assert before["a"] == {"n": 1}


def test_rows_that_were_written_at_once_can_be_replaced_by_whoever_reads_them(cloud: Cloud, unique: str) -> None:
    assert cloud.rows.write_all(TABLE, unique, [Write(key, {"n": 1}, None) for key in ODD_KEYS])
    seen = list(cloud.rows.find(TABLE, unique))
    assert {one.key for one in seen} == set(ODD_KEYS)
    assert cloud.rows.write_all(TABLE, unique, [Write(one.key, {"n": 2}, one) for one in seen])
    assert not cloud.rows.write_all(TABLE, unique, [Write(one.key, {"n": 3}, one) for one in seen])


def test_many_rows_are_changed_each_in_its_own_way(cloud: Cloud, unique: str) -> None:
    for number in range(120):
        cloud.rows.insert(TABLE, unique, f"k{number}", row={"n": 0, "kept": True})
    cloud.rows.change_each(TABLE, unique, values={f"k{number}": {"n": number} for number in range(1, 120)})
    found = {stored.key: dict(stored.row) for stored in cloud.rows.find(TABLE, unique)}
    assert found == {f"k{number}": {"n": number, "kept": True} for number in range(120)}
    cloud.rows.change_each(TABLE, unique, values={})


def test_a_few_columns_of_every_row_travel_alone(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "b", row={"state": b"\0" * 1000, "episode": 7, "words": "above 3", "after": 0.5})
    cloud.rows.insert(TABLE, unique, "a", row={"state": b"\0" * 1000, "episode": 0})
    found = list(cloud.rows.columns(TABLE, unique, "episode", "words", "after"))
    assert [stored.key for stored in found] == ["a", "b"]
    assert [dict(stored.row) for stored in found] == [{"episode": 0}, {"episode": 7, "words": "above 3", "after": 0.5}]
    row = {"episode": 8}
    assert cloud.rows.replace(TABLE, unique, stored=found[1], row=row), "the tag of a part is the whole row's"
    assert not list(cloud.rows.columns(TABLE, f"{unique}-elsewhere", "episode"))


def noise(length: int) -> bytes:
    """Bytes of which no stretch is like another one."""
    return np.random.default_rng(length).bytes(length)


@pytest.mark.parametrize("length", [PROPERTY - 1, PROPERTY, PROPERTY + 1, 2 * PROPERTY, 200_000, 700_000])
def test_bytes_of_any_length_come_back_as_they_went_and_shorter_ones_take_their_place(
    cloud: Cloud, unique: str, length: int
) -> None:
    for content in (noise(length), noise(PROPERTY), noise(10), noise(length)):
        row: Row = {"state": content, "episode": 7}
        seen = cloud.rows.get(TABLE, unique, "k")
        if seen is None:
            assert cloud.rows.insert(TABLE, unique, "k", row=row)
        else:
            assert cloud.rows.replace(TABLE, unique, stored=seen, row=row)
        assert [dict(stored.row) for stored in cloud.rows.find(TABLE, unique)] == [row]


@pytest.mark.parametrize("one", ["x", "東", "🚀"])
def test_text_of_any_length_comes_back_as_it_went(cloud: Cloud, unique: str, one: str) -> None:
    row = {"reason": one * 40_000, "exact": one * 16_384, "twice": one * 32_768}
    assert cloud.rows.insert(TABLE, unique, "k", row=row)
    stored = cloud.rows.get(TABLE, unique, "k")
    assert stored is not None
    assert stored.row == row


def test_what_is_merged_into_a_row_ends_where_it_ends_however_long_it_was_before(cloud: Cloud, unique: str) -> None:
    cloud.rows.insert(TABLE, unique, "k", row={"state": noise(3 * PROPERTY), "n": 1})
    for length in (PROPERTY, 2 * PROPERTY, 10):
        cloud.rows.change(TABLE, unique, keys=["k"], values={"state": noise(length)})
        assert [dict(row.row) for row in cloud.rows.find(TABLE, unique)] == [{"state": noise(length), "n": 1}]


def test_a_few_columns_are_whole_however_long_they_are(cloud: Cloud, unique: str) -> None:
    long = noise(200_000)
    cloud.rows.insert(TABLE, unique, "a", row={"state": long, "field": b"short", "episode": 1})
    cloud.rows.insert(TABLE, unique, "b", row={"state": b"short", "field": long, "episode": 2})
    found = list(cloud.rows.columns(TABLE, unique, "field", "episode"))
    assert [dict(one.row) for one in found] == [{"field": b"short", "episode": 1}, {"field": long, "episode": 2}]
    assert cloud.rows.replace(TABLE, unique, stored=found[1], row={"n": 1})


def test_a_row_that_is_larger_than_any_may_be_is_refused_and_the_one_before_stays(cloud: Cloud, unique: str) -> None:
    small: Row = {"state": b"small"}
    large: Row = {"state": noise(ROW_LIMIT + 1)}
    with pytest.raises(Refused, match=r"row k.* cannot"):
        cloud.rows.insert(TABLE, unique, "k", row=large)
    assert cloud.rows.insert(TABLE, unique, "k", row=small)
    seen = cloud.rows.get(TABLE, unique, "k")
    assert seen is not None
    with pytest.raises(Refused, match=r"row k.* cannot"):
        cloud.rows.replace(TABLE, unique, stored=seen, row=large)
    with pytest.raises(Refused, match=r"row k.* cannot"):
        cloud.rows.write_all(TABLE, unique, [Write("other", small, None), Write("k", large, seen)])
    assert list(cloud.rows.find(TABLE, unique)) == [seen]


def test_long_rows_are_written_at_once_up_to_what_a_request_may_have(cloud: Cloud, unique: str) -> None:
    def wide(number: int) -> Write:
        return Write(f"k{number}", {"state": noise(600_000 + number)}, None)

    assert cloud.rows.write_all(TABLE, unique, [wide(number) for number in range(4)])
    with pytest.raises(Refused, match="6 rows"):
        cloud.rows.write_all(TABLE, unique, [wide(number) for number in range(10, 16)])
    assert {one.key: dict(one.row) for one in cloud.rows.find(TABLE, unique)} == {
        one.key: one.row for one in map(wide, range(4))
    }
