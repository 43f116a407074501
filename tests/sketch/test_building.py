"""A profile is the same whether its rows are counted at once or in parts, in any order."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketch.features import TIMES, TOLD_APART, CategoryFeature, Coded, Column, PairFeature
from sketch.profile import Draft, Kind, Profile
from sketch.sketch import Sketch

KINDS: dict[str, Kind] = {"temp": "number", "dewp": "number", "carrier": "category"}
EXTREMES = [0.0, -0.0, 5e-324, 1e308, -1e308, float("inf"), float("-inf"), float("nan")]
NUMBER = st.one_of(st.none(), st.floats(-50, 80), st.sampled_from(EXTREMES))
ROW = st.tuples(
    NUMBER,
    NUMBER,
    st.sampled_from(["AA", "UA", "", None]),
    st.integers(0, 3),
    st.sampled_from(["ewr", "jfk", None]),
    st.floats(0, 1),
)
ROWS = st.lists(ROW, min_size=1, max_size=25)
NAMES = ("temp", "dewp", "carrier", "hour", "site")


def columns_of(rows: list) -> tuple[dict[str, Column], list[float]]:  # type: ignore[type-arg] # of ROW
    """Rows as columns and scores."""
    columns: dict[str, Column] = {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}
    return columns, [row[-1] for row in rows]


def draft_of(rows: list) -> Draft:  # type: ignore[type-arg] # of ROW
    columns, scores = columns_of(rows)
    return Profile.draft(columns, kinds=KINDS, scores=scores, pairs=[("temp", "dewp")], contexts=["hour", "site"])


def profile_of(rows: list) -> Profile:  # type: ignore[type-arg] # of ROW
    draft = draft_of(rows)
    return Profile.finished(draft, draft.tally(*columns_of(rows)))


@settings(max_examples=60)
@given(ROWS, ROWS, ROWS)
def test_parts_of_a_reference_add_up_exactly_in_any_order_and_grouping(a: list, b: list, c: list) -> None:  # type: ignore[type-arg] # rows
    draft = draft_of([*a, *b, *c])
    one, two, three = (draft.tally(*columns_of(rows), sequences=columns_of(rows)[0]["site"]) for rows in (a, b, c))
    whole = Profile.finished(draft, one + two + three)
    assert Profile.finished(draft, one + (two + three)) == whole == Profile.finished(draft, three + one + two)
    at_once = Profile.finished(draft, draft.tally(*columns_of([*a, *b, *c])))
    assert np.array_equal(whole.counts, at_once.counts)
    assert np.array_equal(whole.coarse, at_once.coarse)


@settings(max_examples=60)
@given(ROWS, ROWS)
def test_any_rows_make_a_sound_profile_whose_text_reads_back_and_whose_sketches_add_up(a: list, b: list) -> None:  # type: ignore[type-arg] # rows
    profile = profile_of(a)
    again = Profile.from_json(profile.to_json())
    assert (again, again.to_json()) == (profile, profile.to_json())
    assert all(sum(block.counts) == len(a) for block, _ in profile.blocks)
    one, two, both = Sketch(profile), Sketch(profile), Sketch(profile)
    one.add(*columns_of(a))
    two.add(*columns_of(b))
    both.add(*columns_of([*b, *a]))
    assert one + two == both
    for feature, cells in profile.blocks:
        assert isinstance(feature, CategoryFeature) or np.array_equal(one.counts[cells], profile.counts[cells])
    assert Sketch.from_bytes(both.to_bytes(), profile) == both


def test_a_pair_is_counted_by_the_product_of_its_standard_values() -> None:
    rng = np.random.default_rng(4)
    x, y, z = rng.normal(10, 2, 5_000), rng.normal(-3, 0.1, 5_000), rng.normal(size=5_000)
    profile = Profile.build(
        {"x": x, "y": y, "z": z}, kinds=dict.fromkeys("xyz", "number"), scores=z, pairs=[("x", "y")]
    )
    (pair,) = profile.pairs
    assert isinstance(pair, PairFeature)
    assert pair.name == f"x{TIMES}y"
    assert [pair.left.mean, pair.right.deviation] == [pytest.approx(10, abs=0.1), pytest.approx(0.1, rel=0.05)]
    assert pair.of(np.array([12.0, 10, np.nan]), np.array([-2.9, -5, 0])) == pytest.approx(
        [1, 0, np.nan], abs=0.2, nan_ok=True
    )
    sketch = Sketch(profile)
    sketch.add({"x": x, "y": -3 + (x - 10) / 20, "z": z}, z)
    (block,) = (cells for feature, cells in profile.blocks if feature is pair)
    middle = int(np.floor((0 - pair.low) / pair.width)) + 1
    assert sketch.counts[block][:middle].sum() < 100 < profile.counts[block][:middle].sum() - 2_000


def test_a_context_has_its_own_coarse_reference_and_the_rest_is_other() -> None:
    rng = np.random.default_rng(1)
    hour = rng.integers(0, 24, 24_000)
    temp = rng.normal(hour, 1.0)
    profile = Profile.build({"temp": temp, "hour": hour}, kinds={"temp": "number"}, scores=temp, contexts=["hour"])
    assert profile.contexts is not None
    assert sorted(profile.contexts.keys) == [(place,) for place in range(24)]
    assert sum(profile.contexts.counts) == profile.rows
    assert profile.coarse.shape == (25, len(profile.stretches))
    assert profile.coarse[:-1].sum(axis=0).tolist() == profile.coarse[-1].tolist()
    sketch = Sketch(profile)
    sketch.add({"temp": temp[:4], "hour": [hour[0], 99, None, 0.5]}, temp[:4])
    block = sketch.counts[profile.context_block]
    assert (block[-1], block[profile.contexts.keys.index((int(hour[0]),))]) == (3, 1)
    sketch.add({"temp": temp[:4]}, temp[:4])
    assert sketch.counts[profile.context_block][-1] == 7


@pytest.mark.parametrize("coded", [False, True])
def test_a_context_of_whole_numbers_may_be_told_as_text(*, coded: bool) -> None:
    store = [3, 3, 3, 5, 5, 8]
    profile = Profile.build({"x": store, "store": store}, kinds={"x": "number"}, scores=store, contexts=["store"])
    assert profile.contexts is not None
    assert profile.contexts.keys == ((3,), (5,), (8,))
    told = Coded(np.array([0, 1, 2, 3, -1]), ["5", "8.0", "8.5", "no number"]) if coded else None
    places = profile.contexts.of({"store": told or ["5", "8.0", "8.5", "no number", None]}, 5)
    assert places.tolist() == [1, 2, 3, 3, 3]


def test_the_256_most_frequent_contexts_are_kept() -> None:
    site = [f"site-{place}" for place in range(300)] + ["site-299"] * 5
    profile = Profile.build(
        {"site": site, "x": [1.0] * 305}, kinds={"x": "number"}, scores=[0.5] * 305, contexts=["site"]
    )
    assert profile.contexts is not None
    assert (len(profile.contexts.keys), profile.contexts.keys[0], profile.contexts.counts[-1]) == (
        256,
        ("site-299",),
        44,
    )


@pytest.mark.parametrize(("resemblance", "lowest", "highest"), [(0.0, 0.0, 0.05), (0.5, 0.3, 0.45), (0.9, 0.6, 0.9)])
def test_the_autocorrelation_is_that_within_a_window_of_one_sequence_and_context(
    resemblance: float, lowest: float, highest: float
) -> None:
    """Two sites in turns, each with its own level, a season over the rows, and a rhythm that the context explains."""
    rng, rows = np.random.default_rng(3), 20_000
    noise = rng.normal(size=rows)
    ours = np.empty(rows)
    ours[:2] = noise[:2]
    for row in range(2, rows):
        ours[row] = resemblance * ours[row - 2] + np.sqrt(1 - resemblance**2) * noise[row]
    site, hour = np.arange(rows) % 2, np.arange(rows) // 2 % 24
    temp = ours + 5 * site + 3 * np.sin(hour / 24 * 2 * np.pi)
    profile = Profile.build(
        {"temp": temp, "hour": hour, "site": site},
        kinds={"temp": "number"},
        scores=noise,
        contexts=["hour", "site"],
        sequences=site,
    )
    assert lowest <= profile.features[0].autocorrelation <= highest
    assert profile.scores.autocorrelation < 0.05


def test_categories_that_come_in_runs_resemble_their_neighbours() -> None:
    rng = np.random.default_rng(3)
    runs = np.repeat(rng.choice(["AA", "B6", "UA"], 4_000), 5)
    mixed = rng.permutation(runs)
    kinds: dict[str, Kind] = {"runs": "category", "mixed": "category"}
    profile = Profile.build({"runs": runs, "mixed": mixed}, kinds=kinds, scores=rng.random(20_000))
    assert [feature.autocorrelation for feature in profile.features] == [
        pytest.approx(0.7, abs=0.04),
        0.0,
    ]  # 5 alike are worth 1: (5 - 1) / (5 + 1) = 0.67


def test_a_profile_of_25_features_and_24_contexts_fits_in_64_kilobytes() -> None:
    rng, rows = np.random.default_rng(3), 100_000
    columns: dict[str, Column] = {f"n{i}": rng.normal(size=rows) for i in range(20)}
    columns |= {
        f"c{i}": np.array([f"category-{value:03}" for value in range(100)])[rng.integers(0, 100, rows)]
        for i in range(5)
    }
    columns["hour"] = rng.integers(0, 24, rows)
    kinds: dict[str, Kind] = {name: "number" if name[0] == "n" else "category" for name in columns if name != "hour"}
    profile = Profile.build(columns, kinds=kinds, scores=rng.random(rows), contexts=["hour"], pairs=[("n0", "n1")])
    assert len(zlib.compress(profile.to_json().encode())) < 64 * 1024


@pytest.mark.parametrize(("numeric", "categories", "letters"), [(20, 5, 64), (0, 25, 20)])
def test_names_may_be_as_long_and_as_many_as_docs_drift_md_says(numeric: int, categories: int, letters: int) -> None:
    rng, rows = np.random.default_rng(3), 20_000
    columns: dict[str, Column] = {f"n{i}": rng.normal(size=rows) for i in range(numeric)}
    for place in range(categories):
        names = ["".join(map(chr, rng.integers(97, 123, letters))) for _ in range(128)]
        columns[f"c{place}"] = Coded(rng.integers(0, 128, rows), names)
    columns["hour"] = rng.integers(0, 24, rows)
    kinds: dict[str, Kind] = {name: "number" if name[0] == "n" else "category" for name in columns if name != "hour"}
    profile = Profile.build(columns, kinds=kinds, scores=rng.random(rows), contexts=["hour"])
    assert len(zlib.compress(profile.to_json().encode())) < 64 * 1024


@pytest.mark.parametrize(
    ("pairs", "contexts", "reason"),
    [
        ([("temp", "temp")], [], "two different features"),
        ([("temp", "carrier")], [], "two different features"),
        ([("temp", "hour")], [], "two different features"),
        ([], ["gone"], "context column 'gone' is absent"),
        ([], ["temp"], "not whole"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_the_reason(
    pairs: list[tuple[str, str]], contexts: list[str], reason: str
) -> None:
    columns, scores = columns_of([(20.5, 3.0, "AA", 8, "ewr", 0.5)] * 3)
    with pytest.raises(ValueError, match=reason):
        Profile.build(columns, kinds=KINDS, scores=scores, pairs=pairs, contexts=contexts)


@pytest.mark.parametrize("names", [40, 400, 4_000])
def test_the_names_that_are_kept_were_lucky_and_the_reference_does_not_believe_it(names: int) -> None:
    """Equally frequent names: how many of new rows have no kept name is what the reference says, and not less."""
    rng, rows = np.random.default_rng(8), 10_000
    known, new = (np.char.add("n", rng.integers(0, names, rows).astype(str)) for _ in range(2))
    profile = Profile.build({"x": known}, kinds={"x": "category"}, scores=np.zeros(rows))
    sketch = Sketch(profile)
    sketch.add({"x": new}, np.zeros(rows))
    unseen = profile.features[0].cells - 2
    assert sketch.counts[unseen] == pytest.approx(profile.counts[unseen], abs=4 * np.sqrt(rows) / 2)
    rarer = slice(TOLD_APART, unseen)
    assert sketch.counts[rarer].sum() == pytest.approx(profile.counts[rarer].sum(), abs=4 * np.sqrt(rows) / 2)


@pytest.mark.parametrize(("names", "rows"), [(33, 100), (129, 40), (142, 12), (33, 5)])
def test_names_that_are_as_frequent_as_each_other_owe_nothing_to_luck(names: int, rows: int) -> None:
    panel = [f"n{place}" for place in range(names)] * rows
    profile = Profile.build({"x": panel}, kinds={"x": "category"}, scores=np.zeros(len(panel)))
    sketch = Sketch(profile)
    sketch.add({"x": panel}, np.zeros(len(panel)))
    assert np.array_equal(sketch.counts, profile.counts)


def test_what_names_owe_to_luck_is_known_to_a_sixtieth_of_the_rows() -> None:
    """Of 51 equally frequent names, 32 are told apart: they have 63 % of new rows, whatever the reference drew."""
    told = []
    for seed in range(20):
        drawn = np.random.default_rng(seed).integers(0, 51, 20_000).astype(str)
        profile = Profile.build({"x": drawn}, kinds={"x": "category"}, scores=np.zeros(len(drawn)))
        told.append(profile.counts[:TOLD_APART].sum() / 20_000)
    assert told == pytest.approx([32 / 51] * 20, abs=0.015)
    assert np.mean(told) == pytest.approx(32 / 51, abs=0.005)


def test_a_sample_that_was_not_counted_is_missed() -> None:
    draft = draft_of([(1.0, 2.0, "AA", 8, "ewr", 0.5)])
    with pytest.raises(ValueError, match="were not counted"):
        Profile.finished(draft, draft.tally(*columns_of([(1.0, 2.0, "UA", 8, "ewr", 0.5)])))


def test_a_reference_of_no_rows_is_refused() -> None:
    draft = draft_of([(1.0, 2.0, "AA", 8, "ewr", 0.5)])
    with pytest.raises(ValueError, match="needs rows"):
        Profile.finished(draft, draft.tally(*columns_of([])))


@settings(max_examples=150)
@given(st.data())
def test_a_profile_with_any_part_replaced_is_read_soundly_or_refused(data: st.DataObject) -> None:
    """Whatever stands anywhere in the text, the reader says ValueError or gives a profile that can be used."""
    rows = [(20.5, 3.0, "AA", 8, "ewr", 0.5), (21.5, None, "UA", 9, "jfk", 0.25)]
    content = json.loads(profile_of(rows).to_json())
    parent, place = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(parent[place], (dict, list)) and parent[place] and data.draw(st.booleans()):
        parent = parent[place]
        keys = sorted(parent) if isinstance(parent, dict) else list(range(len(parent)))
        place = data.draw(st.sampled_from(keys))
    parent[place] = data.draw(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=3),
            st.just([]),
            st.just({}),
            st.sampled_from([2**53, 2**64, 10**400, -1, 1e308, 1e-300, [1], [[1]], ["a", "a"], {"name": 3}]),
        )
    )
    try:
        profile = Profile.from_json(json.dumps(content))
    except ValueError:
        return
    sketch, (columns, scores) = Sketch(profile), columns_of(rows)
    columns |= {feature.name: columns[name] for feature, name in zip(profile.features, NAMES, strict=False)}
    sketch.add(columns, scores)
    assert Sketch.from_bytes(sketch.to_bytes(), profile) == sketch
