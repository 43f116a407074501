"""An episode of drift is opened once, widens, is told once, and ends; whatever crashes, races or falls silent."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import log

import pytest

from functions.drift.records import MOST_MEMBERS, Episode
from functions.drift.trigger import judge_drift_on_timer, score_drift_on_telemetry
from functions.errors import Throttled
from functions.events import DriftDetected, DriftResolved, Event
from functions.journal import entries
from functions.ports import Row, Stored, Value
from functions.wiring import using
from tests.drift.test_trigger import PROFILE, WINDOW, routed, sketch_of, told, warm_windows
from tests.fakes.cloud import FakeAnnouncer, FakeCloud, FakeFleet, FakeRows

LOOP = "flight-delays"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SURE = log(100_000) + 30  # evidence enough for any fleet here
SITES = {"ewr-1": "ewr", "ewr-2": "ewr", "jfk-1": "jfk", "jfk-2": "jfk", "lga-1": "lga", "lga-2": "lga"}


class Town(FakeCloud):
    """A cloud whose clock a test sets, with two devices at each of three sites, which all report and are calm."""

    time = NOON

    def now(self) -> datetime:
        self.time += timedelta(microseconds=1)
        return self.time

    def later(self, **span: float) -> None:
        """Let time pass, in which every device that is not silent reports."""
        self.time += timedelta(**span)
        for stored in list(self.rows.find("devices", LOOP)):
            self.put(stored.key.partition("/")[0])

    def put(self, device: str, **columns: Value) -> None:
        """What a device's row shows from now on."""
        calm: Row = {"version": "1", "episode": 0, "feature": "", "rising": False, "log_evidence": 0.2, "log_peak": 0.0}
        calm = {**calm, "explanation": "", "reason": "", "decision": "Steady"}
        key = f"{device}/inference"
        known = self.rows.tables.get(("devices", LOOP), {}).get(key)
        row = {**(known.row if known else calm), "at": self.time, **columns}
        if known is None:
            self.rows.insert("devices", LOOP, key, row=row)
        else:
            self.rows.change("devices", LOOP, keys=[key], values=row)

    def drift(self, *devices: str, episode: int = 7, feature: str = "temp", evidence: float = SURE) -> None:
        """Devices whose detector raised an alarm."""
        for device in devices:
            shares = f"{feature}, share above 39.04: 49 % → 100 %, since window {episode - 1}"
            more: Row = {
                "log_peak": evidence,
                "log_evidence": evidence,
                "since": episode - 1,
                "rising": True,
                "explanation": shares,
            }
            self.put(device, episode=episode, feature=feature, **more)

    def calm(self, *devices: str) -> None:
        for device in devices:
            self.put(device, episode=0, log_peak=0.0, log_evidence=0.1)

    def turn(self) -> None:
        with using(self):
            judge_drift_on_timer(None)

    @property
    def told(self) -> list[Event]:
        return list(self.announcer.announced.values())

    @property
    def journal(self) -> list[str]:
        return [f"{one.decision} {one.subject}: {one.reason}" for one in entries(self.rows, [LOOP])]

    def episode(self, number: int = 1) -> Episode:
        stored = self.rows.get("episodes", LOOP, f"{number:09}")
        assert stored
        return Episode.of(stored)


def calm_town() -> Town:
    """Six devices at three sites, none of which drifts."""
    made = Town()
    made.fleet.at = dict(SITES)
    for device in SITES:
        made.put(device)
    return made


@pytest.fixture
def town() -> Town:
    return calm_town()


def test_a_calm_fleet_costs_no_question_to_the_hub_and_no_episode(town: Town) -> None:
    town.fleet = NoHub()
    town.turn()
    assert not list(town.rows.find("episodes", LOOP))


class NoHub(FakeFleet):
    def sites(self) -> dict[str, str]:
        raise AssertionError("nobody needs to know")


def test_one_device_is_told_alone_once_it_has_waited_for_others(town: Town) -> None:
    town.drift("jfk-1")
    town.turn()
    assert not town.told
    town.later(minutes=6)
    town.turn()
    (event,) = town.told
    assert isinstance(event, DriftDetected)
    assert (event.scope, event.device, event.devices, event.feature) == ("device", "jfk-1", ["jfk-1"], "temp")
    assert (event.episode, event.harm) == ("flight-delays~1", "unknown")
    moment = "since 01 March 12:00:00 UTC"
    assert event.explanation == f"temp, share above 39.04: 49 % → 100 % on 1 of 6 devices (jfk-1), {moment}"
    assert town.journal[0].startswith(f"Open flight-delays~1: device: {event.explanation}; evidence 10^18.0 of 10^5.8")
    town.later(minutes=6)
    town.turn()
    assert len(town.announcer.messages) == 1


def test_what_begins_at_all_sites_within_minutes_is_told_once_as_the_fleet_s(town: Town) -> None:
    for device in SITES:
        town.drift(device, episode=len(device))
        town.turn()
        town.later(seconds=30)
    (event,) = town.told
    assert isinstance(event, DriftDetected)
    assert (event.scope, len(event.devices)) == ("fleet", 6)
    assert "100 % on 6 of 6 devices (all sites), since 01 March 12:00:00 UTC" in event.explanation
    decisions = [line.split(" ")[0] for line in town.journal]
    assert decisions == ["Open", *["Widen"] * 5, "Tell"]


def test_one_site_is_told_as_a_site(town: Town) -> None:
    town.drift("lga-1", "lga-2")
    town.turn()
    assert (town.episode().scope, town.episode().state) == ("site", "settling")
    assert "on 2 of 6 devices (site lga)" in town.episode().explanation


def test_what_widens_after_it_was_told_is_told_no_second_time_and_asks_for_no_second_job(town: Town) -> None:
    town.drift("lga-1")
    town.turn()
    town.later(minutes=6)
    town.turn()
    town.drift("ewr-1", "ewr-2", "jfk-1", "jfk-2", "lga-2")
    town.turn()
    town.later(minutes=6)
    town.turn()
    assert [type(event).__name__ for event in town.told] == ["DriftDetected"]
    assert (town.episode().scope, len(town.episode().members), town.episode().state) == ("fleet", 6, "open")
    assert any(line.startswith("Widen flight-delays~1: fleet: temp") for line in town.journal)


def test_a_drift_for_another_cause_much_later_is_another_episode(town: Town) -> None:
    town.drift("lga-1")
    town.turn()
    town.later(minutes=6)
    town.turn()
    town.drift("jfk-1", feature="carrier")
    town.turn()
    town.drift("ewr-1", feature="temp")
    town.turn()
    assert {*town.episode(1).members} == {"lga-1/inference", "ewr-1/inference"}
    assert {*town.episode(2).members} == {"jfk-1/inference"}


def test_evidence_that_is_enough_for_one_device_is_not_for_one_of_six(town: Town) -> None:
    town.drift("lga-1", evidence=log(100_000) + 0.1)
    town.turn()
    assert not list(town.rows.find("episodes", LOOP))
    town.drift("lga-1", evidence=log(600_000) + 0.1)
    town.turn()
    assert town.episode().state == "settling"


def test_an_episode_ends_when_its_devices_are_calm_again_and_that_is_told_once(town: Town) -> None:
    town.drift(*SITES)
    town.turn()
    town.calm("lga-1", "lga-2")
    town.later(hours=1)
    town.turn()
    assert town.episode().state == "open"
    town.calm(*SITES)
    for _ in range(3):
        town.later(hours=1)
        town.turn()
    _, over = town.told
    assert isinstance(over, DriftResolved)
    assert (over.episode, over.scope, over.devices) == ("flight-delays~1", "fleet", 6)
    assert over.reason == "fleet: of 6 devices, 6 calm again"
    assert len(town.announcer.messages) == 2
    assert town.journal[-1] == "Resolve flight-delays~1: fleet: of 6 devices, 6 calm again"


def test_what_drifts_again_after_its_end_is_a_new_episode(town: Town) -> None:
    town.drift(*SITES)
    town.turn()
    town.calm(*SITES)
    town.turn()
    town.drift(*SITES, episode=40)
    town.turn()
    assert [getattr(event, "episode", "") for event in town.told] == [f"{LOOP}~1", f"{LOOP}~1", f"{LOOP}~2"]


def test_a_new_model_version_ends_the_old_version_s_episode_and_says_so(town: Town) -> None:
    town.drift(*SITES)
    town.turn()
    for device in SITES:
        town.put(device, version="2", episode=0, log_peak=0.0, log_evidence=0.0)
    town.turn()
    assert town.episode().reason == "fleet: of 6 devices, 6 on another model version, which starts afresh"
    town.drift(*SITES, episode=9)
    town.turn()
    assert town.episode(2).version == "2"


@pytest.mark.parametrize(
    ("rollouts", "why"),
    [
        ({"1": "rolled back"}, "version 1 was taken back"),
        ({"1": "rolling back"}, "version 1 was taken back"),
        ({"1": "done", "2": "done"}, "version 2 has replaced version 1"),
    ],
)
def test_stragglers_of_a_version_that_is_gone_keep_no_episode_open_and_open_none(
    town: Town, rollouts: dict[str, str], why: str
) -> None:
    town.drift(*SITES)
    town.turn()
    for version, state in rollouts.items():
        town.rows.insert("rollouts", LOOP, version.zfill(9), row={"state": state})
    town.turn()
    assert town.episode().reason == f"fleet: {why}"
    town.later(hours=1)
    town.turn()
    assert len(list(town.rows.find("episodes", LOOP))) == 1


def test_what_an_operator_pinned_is_not_gone(town: Town) -> None:
    town.drift(*SITES)
    for version in ("1", "2"):
        town.rows.insert("rollouts", LOOP, version.zfill(9), row={"state": "done"})
    town.rows.insert("pins", LOOP, "pin", row={"version": "1", "ring": "", "because": "x"})
    town.turn()
    assert town.episode().state == "open"


def test_a_version_that_is_still_on_its_way_replaces_nothing(town: Town) -> None:
    town.drift(*SITES)
    for version, state in (("1", "done"), ("2", "rolling"), ("3", "rolled back")):
        town.rows.insert("rollouts", LOOP, version.zfill(9), row={"state": state})
    town.turn()
    assert town.episode().state == "open"


def test_devices_that_went_silent_keep_no_episode_open(town: Town) -> None:
    town.drift("lga-1", "lga-2")
    town.turn()
    town.later(minutes=10)
    town.turn()
    town.time += timedelta(hours=26)
    town.turn()
    assert town.episode().reason.startswith("site: of 2 devices, 2 silent for more than ")


def test_devices_that_are_silent_make_nobody_need_more_evidence(town: Town) -> None:
    town.time += timedelta(hours=30)
    town.drift("lga-1", evidence=log(100_000) + 0.1)
    town.turn()
    assert "1 of 1 device (lga-1)" in town.episode().explanation


def test_a_drift_that_is_over_before_it_was_told_is_not_told(town: Town) -> None:
    town.drift("lga-1")
    town.turn()
    town.calm("lga-1")
    for _ in range(2):
        town.later(minutes=6)
        town.turn()
    assert not town.told
    assert "over before it was told: of 1 device, 1 calm again" in town.journal[-1]


def test_a_hub_that_is_asked_too_often_delays_an_episode_and_loses_none(town: Town) -> None:
    town.fleet = Busy()
    town.drift(*SITES)
    with pytest.raises(ExceptionGroup):
        town.turn()
    assert not list(town.rows.find("episodes", LOOP))
    town.fleet = FakeFleet(at=dict(SITES))
    town.turn()
    assert town.episode().scope == "fleet"


class Busy(FakeFleet):
    def sites(self) -> dict[str, str]:
        raise Throttled("the fleet", why="429", fix="wait", after_s=10)


class Dying(FakeRows):
    """Its process dies at one of its writes: before it, or after it."""

    at, after = 0, False

    def replace(self, table: str, partition: str, *, stored: Stored, row: Row) -> bool:
        self.at -= 1
        if self.at == 0 and not self.after:
            raise KeyboardInterrupt
        done = super().replace(table, partition, stored=stored, row=row)
        if self.at == 0 and self.after:
            raise KeyboardInterrupt
        return done


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_whoever_dies_at_whatever_write_an_episode_is_told_once_and_resolved_once(
    town: Town, *, at: int, after: bool
) -> None:
    rows = Dying(tables=town.rows.tables)
    rows.at, rows.after = at, after
    town.rows = rows
    for act in (town.drift, town.calm):
        act(*SITES)
        for _ in range(2):
            try:
                town.turn()
            except KeyboardInterrupt:
                town.turn()
    assert [type(event).__name__ for event in town.told] == ["DriftDetected", "DriftResolved"]
    assert {str(message["id"]) for message in town.announcer.messages} == {f"{LOOP}~1", f"{LOOP}~1-resolved"}
    same = [message for message in town.announcer.messages if message["id"] == f"{LOOP}~1"]
    assert all(message == same[0] for message in same)
    assert [line.split(" ")[0] for line in town.journal] == ["Open", "Tell", "Resolve"]


class Rival(FakeRows):
    """Another turn runs through between a look at the devices and what is made of it."""

    town: Town | None = None

    def columns(self, table: str, partition: str, *names: str) -> Iterator[Stored]:
        found = list(super().columns(table, partition, *names))
        if table == "devices" and self.town:
            town, self.town = self.town, None
            town.drift("ewr-1")
            town.turn()
        return iter(found)


def test_of_two_turns_at_once_that_see_different_devices_one_opens_the_episode(town: Town) -> None:
    rows = Rival(tables=town.rows.tables)
    town.rows = rows
    town.drift("lga-1")
    rows.town = town
    town.turn()
    town.turn()
    (stored,) = town.rows.find("episodes", LOOP)
    assert {*Episode.of(stored).members} == {"ewr-1/inference", "lga-1/inference"}


def test_a_fleet_of_thousands_needs_no_name_for_each_and_its_episode_ends_when_all_are_calm(town: Town) -> None:
    names = [f"d{number:05}" for number in range(MOST_MEMBERS + 500)]
    for name in names:
        town.put(name)
    town.drift(*names)
    town.turn()
    assert (town.episode().scope, len(town.episode().members)) == ("fleet", MOST_MEMBERS)
    town.later(minutes=6)
    town.turn()
    (event,) = town.told
    assert isinstance(event, DriftDetected)
    assert len(event.devices) == 1_000
    town.calm(*names[:-1])
    town.turn()
    assert town.episode().state == "open"
    town.calm(names[-1])
    town.turn()
    assert town.episode().state == "over"
    assert len(list(town.rows.find("episodes", LOOP))) == 1


def test_rows_of_an_earlier_release_are_calm(town: Town) -> None:
    town.rows.insert("devices", LOOP, "old/inference", row={"reason": "steady"})
    town.rows.insert("devices", LOOP, "older/inference", row={"reason": "steady", "version": "1", "at": NOON})
    town.drift("lga-1", evidence=log(600_000) + 0.1)
    town.turn()
    assert not list(town.rows.find("episodes", LOOP)), "one of seven needs more"


def test_three_devices_telemetry_becomes_one_event(town: Town) -> None:
    """From messages to the event, through the handlers."""
    town.rows = FakeRows()
    town.announcer = FakeAnnouncer()
    town.fleet.at = {"ewr": "ewr", "jfk": "jfk", "lga": "lga"}
    town.blobs.put("models", f"{LOOP}/1/profile.json", PROFILE.to_json().encode())
    calm = [told(n, rows=WINDOW, sketch=sketch_of(WINDOW)) for n in range(3)]
    with using(town):
        for site in ("ewr", "jfk", "lga"):
            score_drift_on_telemetry([routed(body, **{"connection-device-id": site}) for body in calm])
        for site in ("ewr", "jfk", "lga"):
            warm = [message.get_body() for message in warm_windows(3, 3)]
            score_drift_on_telemetry([routed(body, **{"connection-device-id": site}) for body in warm])
    (event,) = town.told
    assert isinstance(event, DriftDetected)
    assert (event.scope, sorted(event.devices), event.feature) == ("fleet", ["ewr", "jfk", "lga"], "temp")
    assert "on 3 of 3 devices (all sites)" in event.explanation


def test_an_alarm_whose_judgement_failed_is_found_by_the_timer_and_its_messages_come_once(town: Town) -> None:
    town.rows = FakeRows()
    town.fleet = Busy()
    town.blobs.put("models", f"{LOOP}/1/profile.json", PROFILE.to_json().encode())
    with using(town):
        score_drift_on_telemetry([routed(told(n, rows=WINDOW, sketch=sketch_of(WINDOW))) for n in range(3)])
        score_drift_on_telemetry(warm_windows(3, 3))
    assert not town.told
    town.fleet = FakeFleet(at={"lga": "lga"})
    town.turn()
    assert [type(event).__name__ for event in town.told] == ["DriftDetected"]
