"""Answers that wait for their outcomes: bounded, kept over a restart, each outcome told once."""

import asyncio
from collections.abc import Iterable
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.answers import FOLD_ROWS, NAME, STRETCHES, Answer, Answers, Joined, costs

HOUR = 3_600.0


class Clock:
    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def answers(folder: Path, clock: Clock | None = None, *, most: int = 1_000) -> Answers:
    """As a device has them after it started."""
    found = Answers(folder, most=most, most_seconds=24 * HOUR, now=clock or Clock())
    found.open()
    return found


def note(to: Answers, *scores: float, first: int = 0, version: str = "1") -> None:
    to.note(version, [f"r{first + place}" for place in range(len(scores))], np.array(scores, np.float32))


def outcomes(*labels: int, first: int = 0) -> list[tuple[str, bool]]:
    return [(f"r{first + place}", bool(label)) for place, label in enumerate(labels)]


def told(of: Iterable[Answer]) -> list[tuple[str, float, bool | None]]:
    return [(one.version, round(one.score, 3), one.label) for one in of]


def test_outcomes_find_the_answer_they_belong_to_and_say_what_became_of_the_rest(tmp_path: Path) -> None:
    kept = answers(tmp_path)
    note(kept, 0.1, 0.7, 0.4)
    assert kept.join(outcomes(1, 0)) == Joined(2, 0, 0, 0)
    again = [*outcomes(1, 1, 0), ("r2", False), ("r2", True), ("who", True), ("ever", False)]
    assert kept.join(again) == Joined(1, 2, 2, 2, ("r1", "r2"), ("who", "ever"))
    assert told(kept.take()) == [("1", 0.1, True), ("1", 0.7, False), ("1", 0.4, False)]
    assert kept.take() == []
    assert kept.counts == Joined(3, 2, 2, 2)


def test_an_id_that_is_asked_again_stands_for_its_newest_answer_until_its_outcome_is_known(tmp_path: Path) -> None:
    kept = answers(tmp_path)
    note(kept, 0.1)
    note(kept, 0.9, version="2")
    kept.join(outcomes(1))
    note(kept, 0.5, version="3")
    assert kept.join(outcomes(1)).duplicate == 1
    assert told(kept.take()) == [("2", 0.9, True)]


def test_the_oldest_answers_go_first_and_none_stays_too_long(tmp_path: Path) -> None:
    clock = Clock()
    kept = answers(tmp_path, clock, most=5)
    note(kept, *[0.5] * 4)
    clock.at += HOUR
    note(kept, *[0.5] * 3, first=4)
    assert kept.join(outcomes(1, 1, 1)).unknown == 2
    assert len(kept) == 5
    clock.at += 23 * HOUR + 1
    assert kept.join(outcomes(1, 1, first=3)) == Joined(1, 0, 0, 1, (), ("r3",))


def test_a_restart_forgets_no_answer_and_tells_no_outcome_twice(tmp_path: Path) -> None:
    before = answers(tmp_path)
    note(before, 0.1, 0.2, 0.3, float("nan"))
    before.join(outcomes(1))
    before.take()
    before.join(outcomes(0, first=1))
    before.flush()
    after = answers(tmp_path)
    assert told(after.take()) == [("1", 0.2, False)]
    assert after.join(outcomes(1, 0, 1, 1)) == Joined(2, 2, 0, 0)
    after.take()
    after.flush()
    assert answers(tmp_path).take() == []


def test_a_line_that_was_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    before = answers(tmp_path)
    note(before, 0.1, 0.2)
    before.join([])
    before.flush()
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'["given","1",1000000.0,["r2","r')
    after = answers(tmp_path)
    note(after, 0.3, first=2)
    after.join([])
    after.flush()
    assert answers(tmp_path).join(outcomes(1, 1, 1)).joined == 3


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("note"), st.integers(0, 9)),
            st.tuples(st.just("join"), st.integers(0, 9)),
            st.sampled_from([("take", 0), ("restart", 0), ("anew", 0)]),
        ),
        max_size=30,
    )
)
@settings(max_examples=25)
def test_each_outcome_is_told_once_whatever_happens_in_between(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("answers")
    kept, joined, taken, asked = answers(folder, most=4), 0, 0, 0
    for what, number in steps:
        if what == "note":
            note(kept, 0.25, first=number)
        elif what == "join":
            asked += 1
            joined += kept.join(outcomes(number % 2, first=number)).joined
            kept.flush()
        elif what == "take":
            taken += len(kept.take())
            kept.flush()
        elif what == "anew":
            asyncio.run(kept.settle())
        else:
            asyncio.run(kept.settle())
            kept = answers(folder, most=4)
    assert taken + len(kept.take()) == joined <= asked


def test_the_file_begins_anew_before_it_grows_without_end(tmp_path: Path) -> None:
    async def live() -> int:
        kept = answers(tmp_path, most=10)
        for turn in range(9 * FOLD_ROWS // 1_000):
            note(kept, *[0.5] * 1_000, first=turn * 1_000)
            await kept.settle()
        return len(kept)

    assert asyncio.run(live()) == 10
    assert (tmp_path / NAME).stat().st_size < 200_000
    assert len(answers(tmp_path, most=10)) == 10


def test_a_disk_that_fails_costs_no_outcome(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    kept = answers(tmp_path / "file" / "folder")
    note(kept, 0.1)
    assert kept.join(outcomes(1)).joined == 1
    kept.flush()
    assert len(kept.take()) == 1
    assert "answers cannot be kept on disk" in caplog.text


def test_costs_are_told_by_version_and_by_when_the_answer_was_given() -> None:
    given_ = [
        Answer("1", 7_199.0, 0.25, label=True),
        Answer("1", 7_201.0, 0.25, label=False),
        Answer("1", 9_000.0, 0.5, label=True),
        Answer("2", 9_000.0, 0.0001, label=True),
        Answer("2", 9_000.0, 7.0, label=True),
        Answer("2", 9_000.0, float("nan"), label=True),
    ]
    first, second, third = costs(given_, every_seconds=3_600)
    assert [(one.version, one.at.timestamp(), one.rows, one.positives) for one in (first, second, third)] == [
        ("1", 3_600.0, 1, 1),
        ("1", 7_200.0, 2, 1),
        ("2", 7_200.0, 1, 1),
    ]
    assert (second.log_loss_sum, second.log_loss_squares) == pytest.approx(
        (-log(0.75) - log(0.5), log(0.75) ** 2 + log(0.5) ** 2)
    )
    assert (second.brier_sum, second.brier_squares) == pytest.approx((0.0625 + 0.25, 0.0625**2 + 0.25**2))
    assert third.log_loss_sum == pytest.approx(-log(0.001))


def test_too_many_stretches_for_one_message_become_longer_ones() -> None:
    long_ago = [Answer("1", 10.0 * number, 0.5, label=True) for number in range(3 * STRETCHES)]
    found = costs(long_ago, every_seconds=1)
    assert len(found) <= STRETCHES
    assert sum(one.rows for one in found) == 3 * STRETCHES
    assert costs([], every_seconds=1) == []
