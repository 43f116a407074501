"""Twins: merge patches, differences, versions and limits."""

import base64
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop.iot_hub.twins import SECTION_BYTES_MAX, Twin, TwinError, check, difference, merged

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEYS = st.sampled_from(["a", "b", "c", "d"])
LEAVES = st.one_of(st.booleans(), st.integers(-5, 5), st.floats(0, 1), st.text(max_size=3), st.lists(st.integers()))
OBJECTS = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(LEAVES, inner), max_size=3),
    max_leaves=10,
)


@given(OBJECTS, OBJECTS)
def test_the_difference_of_two_twins_turns_one_into_the_other(
    before: dict[str, object], after: dict[str, object]
) -> None:
    assert merged(before, difference(before, after)) == after
    assert difference(after, after) == {}


@given(OBJECTS, OBJECTS)
def test_a_patch_applied_twice_is_a_patch_applied_once(values: dict[str, object], patch: dict[str, object]) -> None:
    once = merged(values, patch)
    assert merged(once, patch) == once


def test_a_patch_merges_objects_removes_nulls_and_leaves_its_input_alone() -> None:
    values: dict[str, object] = {"model": {"version": "1", "url": "u"}, "rate": 5}
    assert merged(values, {"model": {"version": "2", "url": None}, "rate": None}) == {"model": {"version": "2"}}
    assert values == {"model": {"version": "1", "url": "u"}, "rate": 5}


def test_a_number_that_becomes_true_is_a_difference() -> None:
    assert difference({"a": 1}, {"a": True}) == {"a": True}


def test_versions_grow_and_only_changes_from_the_cloud_change_the_etag() -> None:
    twin = Twin()
    assert base64.b64decode(twin.etag) == (1).to_bytes(8, "big")
    desired = twin.with_desired({"a": 1}, AT)
    reported = desired.with_reported({"b": 2}, AT)
    assert (desired.desired.version, desired.etag == twin.etag) == (2, False)
    assert (reported.reported.version, reported.version, reported.etag == desired.etag) == (2, 3, True)
    assert reported.tagged({"site": "lga"}).etag != reported.etag


def test_metadata_says_when_each_property_changed() -> None:
    section = Twin().with_desired({"model": {"version": "1"}, "rate": 5}, AT).with_desired({"rate": 6}, LATER).desired
    document = section.document()
    metadata = cast("dict[str, dict[str, str]]", document["$metadata"])
    assert metadata["model"]["$lastUpdated"] == "2026-03-01T12:00:00Z"
    assert metadata["rate"]["$lastUpdated"] == "2026-03-02T12:00:00Z"
    assert section.device_document() == {"model": {"version": "1"}, "rate": 6, "$version": 3}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"text": "x" * 4097}, "4096"),
        ({"a": {"b": "x" * 4000, **{f"k{n}": "x" * 4000 for n in range(9)}}}, "limit of 32768 bytes"),
        ({"a.b": 1}, "a.b"),
        ({"$a": 1}, "$a"),
        ({"a b": 1}, "a b"),
        ({"": 1}, "empty"),
        ({"k" * 1025: 1}, "1024 bytes"),
        ({"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}}}, "deeper than 10"),
    ],
)
def test_what_the_service_would_not_keep_is_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(TwinError) as refused:
        Twin().with_desired(values, AT)
    assert says in str(refused.value)


def test_the_size_counts_names_and_values_as_the_service_does() -> None:
    check({"n" * 10: 1.5, "b": True, "s": "é", "l": [1, 2]}, 10 + 8 + 1 + 4 + 1 + 2 + 1 + 16)
    with pytest.raises(TwinError):
        check({"n" * 10: 1.5, "b": True, "s": "é", "l": [1, 2]}, 10 + 8 + 1 + 4 + 1 + 2 + 1 + 15)


def test_patches_that_only_together_are_too_large_are_refused() -> None:
    half: dict[str, object] = {f"a{n}": "x" * 4000 for n in range(5)}
    twin = Twin().with_reported(half, AT)
    with pytest.raises(TwinError, match=str(SECTION_BYTES_MAX)):
        twin.with_reported({f"b{n}": "x" * 4000 for n in range(5)}, AT)
