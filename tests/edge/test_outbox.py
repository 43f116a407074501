from pathlib import Path

import pytest

from edge.outbox import Outbox


def opened(folder: Path, *, most_messages: int = 100, most_bytes: int = 1_000) -> Outbox:
    outbox = Outbox(folder, most_messages=most_messages, most_bytes=most_bytes)
    outbox.open()
    return outbox


def emptied(outbox: Outbox) -> list[tuple[str, bytes]]:
    found = []
    while waiting := outbox.oldest():
        found.append(waiting)
        outbox.done(waiting[0])
    return found


def test_messages_leave_in_the_order_they_came_over_a_restart_too(tmp_path: Path) -> None:
    outbox = opened(tmp_path / "box")
    for number in range(12):
        outbox.put(f"a-{number}", b"%d" % number)
    assert emptied(opened(tmp_path / "box"))[:2] == [("a-0", b"0"), ("a-1", b"1")]
    outbox = opened(tmp_path / "box")
    outbox.put("b-0", b"x")
    outbox.put("b-1", b"y")
    again = opened(tmp_path / "box")
    again.put("c-0", b"z")
    assert [id_ for id_, _ in emptied(again)] == ["b-0", "b-1", "c-0"]


def test_a_message_stays_until_it_is_done(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put("a-0", b"0")
    assert outbox.oldest() == outbox.oldest() == ("a-0", b"0")
    outbox.done("a-7")
    assert len(outbox) == 1
    outbox.done("a-0")
    assert outbox.oldest() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("most_messages", "most_bytes"), [(3, 1_000), (100, 30)])
def test_beyond_its_room_the_oldest_goes_first_and_is_counted(
    tmp_path: Path, most_messages: int, most_bytes: int
) -> None:
    outbox = opened(tmp_path, most_messages=most_messages, most_bytes=most_bytes)
    for number in range(5):
        outbox.put(f"a-{number}", b"0123456789")
    assert (len(outbox), outbox.dropped) == (3, 2)
    assert [id_ for id_, _ in emptied(outbox)] == ["a-2", "a-3", "a-4"]


def test_room_that_was_made_smaller_counts_from_the_start(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    for number in range(5):
        outbox.put(f"a-{number}", b"0")
    again = opened(tmp_path, most_messages=2)
    assert [id_ for id_, _ in emptied(again)] == ["a-3", "a-4"]


def test_what_was_cut_off_while_it_was_written_is_no_message(tmp_path: Path) -> None:
    opened(tmp_path).put("a-0", b"0")
    (tmp_path / ".000000000001-a-1.json").write_bytes(b"ha")
    (tmp_path / "000000000002-a-2.json").touch()
    assert emptied(opened(tmp_path)) == [("a-0", b"0")]


def test_a_disk_that_fails_costs_that_message_and_is_counted(tmp_path: Path) -> None:
    outbox = opened(tmp_path / "box")
    outbox.put("a-0", b"0")
    outbox.put("a-1", b"1")
    (tmp_path / "box" / "000000000000-a-0.json").unlink()
    assert outbox.oldest() == ("a-1", b"1")
    (tmp_path / "box" / "000000000001-a-1.json").unlink()
    (tmp_path / "box").rmdir()
    outbox.put("a-2", b"2")
    assert outbox.oldest() is None
    assert outbox.dropped == 3


def test_a_disk_without_room_for_telemetry_costs_telemetry_only(tmp_path: Path) -> None:
    (tmp_path / "box").write_text("no folder")
    outbox = opened(tmp_path / "box")
    outbox.put("a-0", b"0")
    assert (outbox.oldest(), outbox.dropped) == (None, 1)
