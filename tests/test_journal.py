from datetime import UTC, datetime, timedelta

from functions.journal import Entry, chain, entries, record
from tests.fakes.cloud import FakeRows

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(minute: int, subject: str, *links: str, decision: str = "Launch") -> Entry:
    return Entry(AT + timedelta(minutes=minute), "l", "retraining", subject, decision, "because", links)


def test_a_decision_repeated_by_a_redelivery_is_written_once() -> None:
    rows = FakeRows()
    assert record(rows, entry(0, "l#1"))
    assert not record(rows, entry(5, "l#1"))
    assert entries(rows, ["l"]) == [entry(0, "l#1")]


def test_why_follows_generation_to_job_to_model_to_rollout() -> None:
    story = [entry(0, "l#1", "rt-l-1-a"), entry(1, "rt-l-1-a", "l:1"), entry(2, "l:1", "l-1-canary-ff")]
    other = [entry(3, "l#2", "rt-l-2-b")]
    assert chain(story + other, "l:1") == story
    assert chain(story + other, "l#2") == other


def test_a_device_does_not_join_the_stories_of_two_models() -> None:
    story = [entry(0, "l:1"), entry(1, "lga", "l:1"), entry(2, "lga", "l:2", decision="Advance"), entry(3, "l:2")]
    assert chain(story, "l:1") == story[:2]
    assert chain(story, "lga") == story


def test_the_tail_of_a_log_is_told_on_one_line_by_how_it_begins_and_ends() -> None:
    long = Entry(AT, "l", "promotion", "rt-l-1-a", "GiveUp", "the job failed: step prepare\nskipped a\nno usable file")
    assert long.brief == "the job failed: step prepare … no usable file"
    assert entry(0, "l#1").brief == "because"
