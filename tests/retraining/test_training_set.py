"""Which uploads a generation takes, and which it trains on."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.loops import Retrain, read
from functions.retraining.choice import choose
from functions.retraining.ledger import Upload
from functions.retraining.training_set import select

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = read(Path("tests/loops/flight-delays.toml")).retrain


def policy(**changes: object) -> Retrain:
    return POLICY.model_copy(update=changes)


def upload(name: str, minute: int = 0, *, site: str = "ewr", etag: str = "1") -> Upload:
    blob = f"flight-delays/{site}/{name}"
    return Upload(f"{blob}@{etag}", blob, etag, 5, site, AT + timedelta(minutes=minute))


def test_a_generation_takes_the_oldest_and_the_rest_stays() -> None:
    uploads = [upload("c", 1), upload("a", 3), upload("b", 2)]
    assert [one.blob for one in choose(uploads, policy(at_most_files=2))] == [
        "flight-delays/ewr/b",
        "flight-delays/ewr/c",
    ]


def test_no_site_gives_more_than_its_share_of_what_is_taken() -> None:
    uploads = [upload(str(n), n) for n in range(70)] + [upload(str(n), n, site="jfk") for n in range(20)]
    taken = choose(uploads, policy(at_most_share_of_one_site=0.5))
    assert Counter(one.site for one in taken) == {"ewr": 20, "jfk": 20}
    assert {one.at for one in taken if one.site == "ewr"} == {AT + timedelta(minutes=n) for n in range(20)}
    assert choose(uploads[:70], policy(at_most_share_of_one_site=0.5)) == []


@given(
    files=st.lists(st.sampled_from("abc"), max_size=60),
    share=st.floats(0.34, 1),
    most=st.integers(1, 50),
)
def test_shares_and_size_hold_whatever_the_sites_send(files: list[str], share: float, most: int) -> None:
    uploads = [upload(str(n), n, site=site) for n, site in enumerate(files)]
    taken = choose(uploads, policy(at_most_share_of_one_site=share, at_most_files=most))
    assert len(taken) <= most
    assert all(number <= share * len(taken) + 1e-6 for number in Counter(one.site for one in taken).values())
    assert set(taken) <= set(uploads)
    if share == 1:
        assert len(taken) == min(most, len(uploads))


@pytest.mark.parametrize(
    ("train_on", "names"),
    [
        ("all", ["2013-01-01", "2013-02-27", "2013-02-28", "notes"]),
        ("new", ["2013-02-28", "notes"]),
        ("last 3 days", ["notes"]),
        ("last 5000 days", ["2013-01-01", "2013-02-27", "2013-02-28", "notes"]),
    ],
)
def test_a_training_set_is_what_its_rule_says_by_the_day_in_the_name_or_the_day_it_landed(
    train_on: str, names: list[str]
) -> None:
    uploads = [upload(f"{name}.parquet") for name in ("2013-01-01", "2013-02-27", "2013-02-28", "notes")]
    new = {one.key for one in uploads[2:]}
    assert [one.blob[18:-8] for one in select(uploads, new=new, train_on=train_on)] == names


def test_the_last_days_end_with_the_newest_day_there_is() -> None:
    days = [upload(f"2013-02-{n:02}.parquet") for n in (1, 26, 27, 28)]
    assert select(days, new=(), train_on="last 2 days") == days[2:]
    assert select(days, new=(), train_on="last 28 days") == days
    assert select([], new=(), train_on="last 2 days") == []


def test_of_a_file_that_was_sent_again_the_version_counted_last_trains() -> None:
    first, second = upload("2013-02-01.parquet", 1, etag="9"), upload("2013-02-01.parquet", 2, etag="1")
    assert select([second, first], new=(), train_on="all") == [second]
