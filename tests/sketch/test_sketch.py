"""Sketches add up exactly, travel in few bytes, and are refused when anything is wrong with them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketch.features import Coded
from sketch.profile import Profile
from sketch.sketch import Sketch

REFERENCE = Profile.build(
    {"temp": np.linspace(-5, 35, 400), "carrier": ["AA"] * 250 + ["UA"] * 150},
    kinds={"temp": "number", "carrier": "category"},
    scores=np.linspace(0, 1, 400),
)
ROW = st.tuples(
    st.one_of(st.none(), st.floats(-50, 80), st.sampled_from([0.0, -0.0, 5e-324, 1e308, -1e308, float("inf")])),
    st.one_of(st.none(), st.sampled_from(["AA", "UA", "", "new"])),
    st.floats(0, 1),
)
ROWS = st.lists(ROW, max_size=30)


def sketch_of(rows: list[tuple[float | None, str | None, float]], profile: Profile = REFERENCE) -> Sketch:
    """A sketch of rows of (temp, carrier, score)."""
    sketch = Sketch(profile)
    sketch.add({"temp": [row[0] for row in rows], "carrier": [row[1] for row in rows]}, np.array([r[2] for r in rows]))
    return sketch


@given(ROWS, ROWS, ROWS)
def test_sketches_add_up_exactly_in_any_order_and_grouping(a: list, b: list, c: list) -> None:  # type: ignore[type-arg] # rows
    whole = sketch_of([*a, *b, *c])
    assert (sketch_of(a) + sketch_of(b)) + sketch_of(c) == whole
    assert sketch_of(a) + (sketch_of(b) + sketch_of(c)) == whole
    assert sketch_of(c) + sketch_of(a) + sketch_of(b) == whole
    assert sketch_of(a) + Sketch(REFERENCE) == sketch_of(a)


@given(ROWS)
def test_rows_are_counted_like_their_columns(rows: list) -> None:  # type: ignore[type-arg] # rows
    sketch = Sketch(REFERENCE)
    documents: list[dict[str, object]] = [{"temp": temp, "carrier": carrier, "more": 1} for temp, carrier, _ in rows]
    sketch.add_rows(documents, [score for *_, score in rows])
    assert sketch == sketch_of(rows)


def test_a_row_must_name_every_feature_and_need_not_name_its_context() -> None:
    hours = Profile.build(
        {"temp": [1.0, 2.0], "hour": [8, 8], "site": ["lga", "lga"]},
        kinds={"temp": "number"},
        scores=[0.5, 0.5],
        contexts=["hour", "site"],
    )
    sketch = Sketch(hours)
    rows: list[dict[str, object]] = [{"temp": 1.0, "hour": 8, "site": "lga"}, {"temp": 2.0, "hour": 8}, {"temp": 3.0}]
    sketch.add_rows(rows, [0.1, 0.2, 0.3])
    assert sketch.counts[hours.context_block].tolist() == [1, 2]
    with pytest.raises(ValueError, match="row 2 of 2 does not name 'temp'"):
        sketch.add_rows([{"temp": 1.0}, {"tmp": 2.0}], [0.1, 0.2])
    assert sketch.rows == 3


@given(ROWS)
def test_bytes_read_back_as_the_same_sketch(rows: list) -> None:  # type: ignore[type-arg] # rows
    sketch = sketch_of(rows)
    assert Sketch.from_bytes(sketch.to_bytes(), REFERENCE) == sketch
    assert sketch.rows == len(rows)


def test_rows_are_counted_where_the_profile_says() -> None:
    sketch = sketch_of(
        [(-5.0, "AA", 0.5), (None, "AA", 0.5), (999.0, "new", 0.5), (-999.0, None, 0.5), (2.0, "UA", 0.5)]
    )
    (_, temp), (_, carrier), (_, scores) = REFERENCE.blocks
    assert sketch.counts[temp][[0, 1, 257, 258]].tolist() == [1, 1, 1, 1]
    assert sketch.counts[carrier].tolist() == [2, 1, 1, 1]
    assert sketch.counts[scores].max() == 5


def test_the_reference_sketched_again_is_the_reference() -> None:
    sketch = Sketch(REFERENCE)
    columns = {"temp": np.linspace(-5, 35, 400), "carrier": np.array(["AA"] * 250 + ["UA"] * 150)}
    sketch.add(columns, np.linspace(0, 1, 400))
    assert np.array_equal(sketch.counts, REFERENCE.counts)


@given(ROWS)
def test_a_category_may_be_given_as_numbers_of_names(rows: list) -> None:  # type: ignore[type-arg] # rows
    names = ["new", "UA", "AA", ""]
    codes = np.array([names.index(row[1]) if row[1] is not None else -1 for row in rows], np.int64)
    columns, scores = {"temp": [row[0] for row in rows], "carrier": Coded(codes, names)}, [row[2] for row in rows]
    sketch = Sketch(REFERENCE)
    sketch.add(columns, np.array(scores))
    assert sketch == sketch_of(rows)
    assert list(Coded(codes, names)) == [row[1] for row in rows]
    if rows:
        profiles = [
            Profile.build({"carrier": column}, kinds={"carrier": "category"}, scores=scores)
            for column in (Coded(codes, names), [row[1] for row in rows])
        ]
        assert profiles[0] == profiles[1]


def test_many_rows_are_counted_as_few_are() -> None:
    rng = np.random.default_rng(6)
    columns = {"temp": rng.normal(15, 20, 10_000), "carrier": rng.choice(["AA", "UA", "new"], 10_000)}
    scores = np.where(rng.random(10_000) < 0.1, np.nan, rng.random(10_000))
    whole, parts = Sketch(REFERENCE), Sketch(REFERENCE)
    whole.add(columns, scores)
    for first in range(0, 10_000, 999):
        part = slice(first, first + 999)
        parts.add({name: values[part] for name, values in columns.items()}, scores[part])
    assert whole == parts


def test_counts_cannot_be_changed_from_outside() -> None:
    with pytest.raises(ValueError, match="read-only"):
        sketch_of([]).counts[0] = 5


@pytest.mark.parametrize(
    "columns",
    [
        {"temp": [1.0, 2.0]},
        {"temp": [1.0, 2.0], "carrier": ["AA"]},
        {"temp": [1.0], "carrier": ["AA", "AA"]},
        {"temp": ["warm", "cold"], "carrier": ["AA", "AA"]},
    ],
)
def test_rows_that_do_not_fit_are_refused_and_none_is_counted(columns: dict[str, list[object]]) -> None:
    sketch = sketch_of([(3.0, "UA", 0.25)])
    with pytest.raises(ValueError, match=r"column|convert"):
        sketch.add(columns, np.array([0.5, 0.75]))
    assert sketch == sketch_of([(3.0, "UA", 0.25)])


def test_a_sketch_of_another_profile_is_refused() -> None:
    other = Profile.build(
        {"temp": np.linspace(-5, 36, 400), "carrier": ["AA"] * 400},
        kinds={"temp": "number", "carrier": "category"},
        scores=np.linspace(0, 1, 400),
    )
    stranger = sketch_of([(3.0, "UA", 0.25)], other)
    with pytest.raises(ValueError, match=other.hash):
        Sketch(REFERENCE) + stranger
    with pytest.raises(ValueError, match=f"{other.hash}, not with {REFERENCE.hash}"):
        Sketch.from_bytes(stranger.to_bytes(), REFERENCE)


@settings(max_examples=150)
@given(st.data())
def test_damaged_bytes_are_refused_and_never_read_wrong(data: st.DataObject) -> None:
    whole = bytearray(sketch_of([(3.0, "UA", 0.25), (40.0, None, 0.5)]).to_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "extend"]))
    if how == "flip":
        whole[place] ^= data.draw(st.integers(1, 255))
    damaged = bytes(whole[:place] if how == "cut" else whole + b"\0" if how == "extend" else whole)
    with pytest.raises(ValueError, match="sketch"):
        Sketch.from_bytes(damaged, REFERENCE)


@given(st.binary(max_size=200))
def test_bytes_from_anywhere_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="sketch"):
        Sketch.from_bytes(data, REFERENCE)


def test_a_thousand_rows_of_twenty_features_travel_in_little_more_than_two_kilobytes() -> None:
    rng = np.random.default_rng(1)
    names = [f"f{i}" for i in range(20)]
    kinds = dict.fromkeys(names, "number")
    profile = Profile.build({n: rng.normal(size=20_000) for n in names}, kinds=kinds, scores=rng.random(20_000))  # type: ignore[arg-type] # a literal
    for rows, most_bytes in ((60, 900), (200, 1400), (1000, 2500)):
        sketch = Sketch(profile)
        sketch.add({name: rng.normal(size=rows) for name in names}, rng.random(rows))
        assert len(sketch.to_bytes()) < most_bytes


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=6))
def test_large_counts_survive_the_journey(repeats: list[int]) -> None:
    """Doubling a sketch reaches counts that no list of rows could."""
    sketch = sketch_of([(1.0, "AA", 0.5), (2.0, "UA", 0.1)])
    for _ in range(min(max(repeats).bit_length(), 40)):
        sketch = sketch + sketch
    assert Sketch.from_bytes(sketch.to_bytes(), REFERENCE) == sketch
