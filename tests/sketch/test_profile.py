"""A profile is defined for every column a site may send, and its text is the whole of it."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sketch.features import CategoryFeature, Column, NumberFeature
from sketch.profile import Profile
from sketch.sketch import Sketch

ANY_COLUMN = arrays(np.float64, st.integers(1, 40), elements=st.floats(allow_nan=True, allow_infinity=True, width=64))


def number(values: object) -> NumberFeature:
    """The reference of one column of numbers."""
    column = np.asarray(values, np.float64)
    feature = Profile.build({"x": column}, kinds={"x": "number"}, scores=np.zeros(len(column))).features[0]
    assert isinstance(feature, NumberFeature)
    return feature


def test_a_profile_counts_each_row_once_in_every_feature() -> None:
    profile = Profile.build(
        {"temp": [20.0, None, 31.5, 40.0], "carrier": ["AA", "UA", "AA", None], "ignored": [1, 2, 3, 4]},
        kinds={"temp": "number", "carrier": "category"},
        scores=np.array([0.1, 0.2, 0.2, 0.9]),
    )
    temp, carrier = profile.features
    assert isinstance(carrier, CategoryFeature)
    assert carrier.categories == ("AA", "UA")
    assert carrier.counts == (1, 1, 1, 1)  # UA came once, so that one row in three is expected to be unseen
    assert temp.counts[-1] == 1
    assert [sum(feature.counts) for feature in (temp, carrier, profile.scores)] == [4, 4, 4]
    assert [feature.name for feature in profile.features] == ["temp", "carrier"]
    assert profile.counts.sum() == 12


@given(ANY_COLUMN)
def test_any_column_of_floats_has_a_finite_grid_and_its_text_reads_back(column: np.ndarray) -> None:
    """Constant, all-missing, signed zeros, denormals, 1e308, infinities, one row: the strategy makes them all."""
    feature = number(column)
    assert np.isfinite([feature.low, feature.width]).all()
    assert feature.width > 0
    assert sum(feature.counts) == len(column)
    assert feature.counts[-1] == np.isnan(column).sum()
    profile = Profile.build({"x": column}, kinds={"x": "number"}, scores=column)
    assert Profile.from_json(profile.to_json()) == profile


@pytest.mark.parametrize("value", [0.0, -0.0, 7.25, -3e5, 1e308, -1e308, 5e-324, 1.7e9])
def test_a_constant_sits_in_the_middle_of_its_grid(value: float) -> None:
    feature = number([value] * 5)
    assert 100 < int(np.argmax(feature.counts)) < 160
    assert feature.counts[int(np.argmax(feature.counts))] == 5


def test_the_two_zeros_are_one_number() -> None:
    assert number([0.0, 1.0, 2.0]) == number([-0.0, 1.0, 2.0])


def test_a_few_outliers_do_not_cost_the_bulk_its_resolution() -> None:
    rng = np.random.default_rng(5)
    feature = number(np.concatenate([rng.normal(size=20_000), [1e9, -1e12]]))
    assert feature.width < 0.05
    assert feature.counts[0] >= 1
    assert feature.counts[-2] >= 1


@pytest.mark.parametrize("step", [0.25, 0.1, 1.0, 3.0, 1 / 3])
def test_regular_data_read_as_single_precision_falls_into_the_same_cells(step: float) -> None:
    column = np.arange(0, 41) * step
    rounded = column.astype(np.float32).astype(np.float64)
    profile = Profile.build({"x": column}, kinds={"x": "number"}, scores=column)
    from_device = Profile.build({"x": rounded}, kinds={"x": "number"}, scores=rounded)
    assert profile.features[0].counts == from_device.features[0].counts


def test_the_grid_finds_a_rank_within_two_thousandths() -> None:
    rng = np.random.default_rng(11)
    values = np.exp(rng.normal(size=50_000) * 1.5)
    feature = number(values)
    on_the_grid = np.cumsum(feature.counts[:257]) / len(values)
    exact = np.searchsorted(np.sort(values), [feature.edge(cell) for cell in range(257)]) / len(values)
    assert np.abs(on_the_grid - exact).max() < 1e-9
    assert max(feature.counts[1:257]) / len(values) < 0.06


def test_more_than_128_categories_keep_the_most_frequent_and_call_the_rest_unseen() -> None:
    names = [f"tail-{i:03}" for i in range(200)] + ["tail-007"] * 9
    profile = Profile.build({"x": names}, kinds={"x": "category"}, scores=np.zeros(209))
    feature = profile.features[0]
    assert isinstance(feature, CategoryFeature)
    assert feature.categories[0] == "tail-007"
    assert feature.counts[0] == 10
    assert len(feature.categories) == 128
    assert feature.counts[-2:] == (199, 0)  # who came once would be unknown without that row


def test_a_name_of_more_than_128_characters_is_unseen_in_the_reference_and_ever_after() -> None:
    longest = "x" * 128
    columns: dict[str, Column] = {
        "x": [longest] * 50 + ["y" * 129] * 100 + ["\ud800"] * 5 + [None],
        "site": ["jfk"] * 50 + ["z" * 129] * 106,
    }
    profile = Profile.build(columns, kinds={"x": "category"}, scores=np.zeros(156), contexts=["site"])
    (feature,), contexts = profile.features, profile.contexts
    assert isinstance(feature, CategoryFeature)
    assert contexts is not None
    assert (feature.categories, feature.counts) == ((longest,), (50, 105, 1))
    assert (contexts.keys, contexts.counts) == ((("jfk",),), (50, 106))
    assert Profile.from_json(profile.to_json()) == profile
    sketch = Sketch(profile)
    sketch.add(columns, np.zeros(156))
    assert (sketch.counts == profile.counts).all()


def test_25_features_of_128_names_of_the_greatest_length_can_be_read_back_in_any_common_script() -> None:
    names = [chr(0x4E00 + name) * 128 for name in range(128)]
    columns = {f"c{place}": names * 2 for place in range(25)}
    profile = Profile.build(columns, kinds=dict.fromkeys(columns, "category"), scores=np.zeros(256))
    assert Profile.from_json(profile.to_json()) == profile


def test_a_profile_that_no_reader_would_take_is_not_written() -> None:
    names = [chr(0x1F300 + name) * 128 for name in range(128)]
    columns = {f"c{place}": names * 2 for place in range(25)}
    profile = Profile.build(columns, kinds=dict.fromkeys(columns, "category"), scores=np.zeros(256))
    with pytest.raises(ValueError, match=r"4,9\d+,\d+ characters, .* 4,194,304: watch fewer features"):
        profile.to_json()


def test_a_profile_of_25_features_fits_in_64_kilobytes() -> None:
    rng = np.random.default_rng(3)
    columns: dict[str, object] = {f"n{i}": rng.normal(size=5_000) for i in range(20)}
    columns |= {f"c{i}": [f"category-{value}" for value in rng.integers(0, 100, 5_000)] for i in range(5)}
    kinds = {name: "number" if name.startswith("n") else "category" for name in columns}
    text = Profile.build(columns, kinds=kinds, scores=rng.random(5_000)).to_json()  # type: ignore[arg-type] # a dict of columns
    assert len(text) < 64 * 1024
    assert len(zlib.compress(text.encode())) < 16 * 1024


def test_the_hash_names_the_content_and_nothing_else() -> None:
    one = Profile.build({"x": [1.0, 2.0, 4.0]}, kinds={"x": "number"}, scores=[0.0, 0.5, 1.0])
    same = Profile.from_json(json.dumps(json.loads(one.to_json()), indent=3))
    other = Profile.build({"x": [1.0, 2.0, 5.0]}, kinds={"x": "number"}, scores=[0.0, 0.5, 1.0])
    assert len(one.hash) == 16
    assert (same.hash, same, hash(same)) == (one.hash, one, hash(one))
    assert other != one


@pytest.mark.parametrize(
    ("columns", "scores"),
    [
        ({}, [0.5]),
        ({"x": []}, []),
        ({"x": [1.0, 2.0]}, [0.5]),
        ({"x": ["warm"]}, [0.5]),
        ({"x": [[1.0]]}, [0.5]),
        ({"x": [10**400]}, [0.5]),
    ],
)
def test_columns_that_are_not_a_reference_are_refused(columns: dict[str, object], scores: list[float]) -> None:
    with pytest.raises(ValueError, match=r"column|rows"):
        Profile.build(columns, kinds={"x": "number"}, scores=scores)  # type: ignore[arg-type] # wrong on purpose


def broken(**changes: object) -> str:
    """A sound profile's text with some of its parts replaced."""
    profile = Profile.build(
        {"x": [1.0, 2.0], "c": ["a", None]}, kinds={"x": "number", "c": "category"}, scores=[0.0, 1.0]
    )
    content = json.loads(profile.to_json())
    for path, value in changes.items():
        target = content
        *parents, last = path.split("__")
        for parent in parents:
            target = target[int(parent[1:])] if parent.startswith("_") else target[parent]
        target[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1,2",
        "[]",
        "null",
        "[" * 100_000,
        " " * 5_000_000,
        broken(version=1),
        broken(rows=0),
        broken(rows=True),
        broken(rows=3),
        broken(features=[]),
        broken(scores=None),
        broken(features___0__kind="text"),
        broken(features___0__name=7),
        broken(features___0__name="c"),
        broken(features___0__low=float("nan")),
        broken(features___0__low=float("inf")),
        broken(features___0__low=None),
        broken(features___0__width=0.0),
        broken(features___0__width=-1.0),
        broken(features___0__counts=[2]),
        broken(features___0__counts=[3, -1] + [0] * 257),
        broken(features___0__counts=[2.0] + [0] * 258),
        broken(features___1__categories="a"),
        broken(features___1__categories=["a", "a"]),
        broken(features___1__categories=[1]),
        broken(features___1__categories=["\ud800"]),
        broken(features___1__name=None),
    ],
)
def test_an_unsound_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Profile.from_json(text)
