"""Filters: what a subscription selects, and what it may ask for."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop.event_grid.envelope import Event, Published, raised
from laptop.event_grid.filters import Advanced, Filter
from laptop.event_grid.subscription import RetryPolicy, Subscription

NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=6)


def event(subject: str = "/blobs/a.parquet", **data: object) -> Published:
    return about(data, subject)


def about(data: Mapping[str, object], subject: str = "/blobs/a.parquet") -> Published:
    return raised(Event("/account", subject, "Microsoft.Storage.BlobCreated", data))


def cloud(**attributes: object) -> Published:
    required = {"specversion": "1.0", "id": "1", "source": "refluent", "type": "DriftDetected"}
    return Published("/topic", "cloud", required | attributes)


@given(before=NAMES, middle=NAMES, after=NAMES)
def test_a_subject_filter_holds_exactly_for_subjects_that_begin_and_end_so(
    before: str, middle: str, after: str
) -> None:
    wanted = Filter(subject_begins_with=before, subject_ends_with=after)
    assert wanted.selects(event(subject=f"{before}{middle}{after}"))
    assert not wanted.selects(event(subject=f"#{before}{middle}{after}")) or not before
    assert not wanted.selects(event(subject=f"{before}{middle}{after}#")) or not after


@given(api=NAMES, apis=st.lists(NAMES, min_size=1, max_size=5))
def test_an_advanced_filter_and_its_negation_split_all_events_in_two(api: str, apis: list[str]) -> None:
    chosen = Filter(advanced=(Advanced("StringIn", "data.api", tuple(apis)),)).selects(event(api=api))
    others = Filter(advanced=(Advanced("StringNotIn", "data.api", tuple(apis)),)).selects(event(api=api))
    assert chosen is not others
    assert chosen is (api.lower() in {one.lower() for one in apis})


@given(number=st.integers(-5, 5), limit=st.integers(-5, 5))
def test_number_filters_compare_like_numbers(number: int, limit: int) -> None:
    holds = {
        operator: Advanced(operator, "data.contentLength", (limit,)).holds(event(contentLength=number))
        for operator in ("NumberGreaterThan", "NumberGreaterThanOrEquals", "NumberLessThan", "NumberLessThanOrEquals")
    }
    assert list(holds.values()) == [number > limit, number >= limit, number < limit, number <= limit]


def test_texts_compare_without_regard_to_case() -> None:
    assert Filter(event_types=("microsoft.storage.blobcreated",)).selects(event())
    assert Filter(subject_ends_with=".PARQUET").selects(event())
    assert Advanced("StringIn", "Data.Api", ("putblob",)).holds(event(api="PutBlob"))


@pytest.mark.parametrize(
    ("one", "data", "expected"),
    [
        (Advanced("StringBeginsWith", "data.url", ("https://",)), {"url": "https://x"}, True),
        (Advanced("StringNotEndsWith", "data.url", (".tmp",)), {"url": "a.tmp"}, False),
        (Advanced("StringContains", "data.run.name", ("nightly", "loop")), {"run": {"name": "my-loop"}}, True),
        (Advanced("StringContains", "data.run.name", ("loop",)), {"run": "my-loop"}, False),
        (Advanced("StringIn", "data.api", ("PutBlob",)), {}, False),
        (Advanced("StringNotIn", "data.api", ("PutBlob",)), {}, True),
        (Advanced("NumberIn", "data.n", (1, 2)), {"n": True}, False),  # codespell:ignore
        (Advanced("NumberNotIn", "data.n", (1, 2)), {"n": 3}, True),
        (Advanced("BoolEquals", "data.done", (True,)), {"done": True}, True),
        (Advanced("BoolEquals", "data.done", (True,)), {"done": 1}, False),
        (Advanced("StringEndsWith", "subject", (".parquet",)), {}, True),
        (Advanced("StringIn", "topic", ("/ACCOUNT",)), {}, True),
    ],
)
def test_each_operator_by_example(one: Advanced, data: dict[str, object], expected: bool) -> None:  # noqa: FBT001 - an example's result
    assert one.holds(about(data)) is expected


def test_a_cloud_event_is_filtered_by_its_own_attributes() -> None:
    assert Advanced("StringIn", "type", ("DriftDetected",)).holds(cloud())
    assert Filter(event_types=("DriftDetected",)).selects(cloud(subject=None))
    assert not Filter(subject_begins_with="devices/").selects(cloud())


@pytest.mark.parametrize(
    ("operator", "key", "values"),
    [
        ("IsNullOrUndefined", "data.api", ("x",)),
        ("StringIn", "data", ("x",)),
        ("StringIn", "data.a.b.c", ("x",)),
        ("StringIn", "colour", ("x",)),
        ("StringIn", "data.api", ()),
        ("StringIn", "data.api", ("x" * 513,)),
    ],
)
def test_a_filter_the_service_or_the_relay_does_not_have_is_refused(
    operator: str, key: str, values: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="advanced filter"):
        Advanced(operator, key, values)


def test_more_filter_values_than_the_service_takes_are_refused() -> None:
    one = Advanced("StringIn", "data.api", tuple("abcdefghijklm"))
    with pytest.raises(ValueError, match="at most 25"):
        Filter(advanced=(one, one))


@pytest.mark.parametrize("changes", [{"name": "x"}, {"name": "a/b/c"}, {"events_per_batch_max": 5001}, {"batch_kb": 0}])
def test_a_subscription_the_service_would_refuse_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="event subscription"):
        Subscription(**({"name": "sub", "source": "/account", "endpoint": "http://localhost"} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("attempts_max", "ttl_min"), [(0, 10), (31, 10), (3, 0), (3, 1441)])
def test_a_retry_policy_the_service_would_refuse_is_refused(attempts_max: int, ttl_min: int) -> None:
    with pytest.raises(ValueError, match="1-30 attempts"):
        RetryPolicy(attempts_max, ttl_min)
