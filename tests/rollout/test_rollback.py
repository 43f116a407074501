"""A version that does harm in the field is taken back, by itself and for good; an operator's word beats all of it."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from functions.errors import LoopError, Refused, Throttled, Transient
from functions.events import RolledBack
from functions.jobs import champion
from functions.ports import Deployment, ModelVersion, Row
from functions.rollout.trigger import advance_on_timer, deploy_on_model_registered
from functions.settings import Settings
from functions.wiring import using
from tests.fakes.cloud import ENVIRONMENT, FakeCloud
from tests.messages import registered
from tests.rollout.fleet import (
    LOOP,
    decisions,
    dwell,
    effective,
    journal,
    layers,
    made,
    observe,
    report,
    roll_out,
    scored,
    state,
)


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def harm(here: FakeCloud, version: str = "2", before: str = "1") -> None:
    """Version 1 everywhere; version 2 reaches the canary and refuses every tenth request there."""
    for device in ("lga/inference", "ewr/inference", "jfk/inference"):
        observe(here, device, **{f"v{before}": scored(before)})
    roll_out_to_canary(here, version)
    new = scored(version, periods=range(20, 40), failed=20)
    observe(here, "lga/inference", **{f"v{before}": scored(before), f"v{version}": new})
    for device in ("ewr/inference", "jfk/inference"):
        observe(here, device, **{f"v{before}": scored(before, periods=range(40))})


def roll_out_to_canary(here: FakeCloud, version: str) -> None:
    made(here, version)
    deploy_on_model_registered(registered(version))
    report(here, layers(here, version)[0], 1, ready=1)


def pin(here: FakeCloud, version: str, ring: str = "") -> None:
    """What `refluent pin` and, without a version, `refluent unpin` write."""
    row: Row = {
        "kind": "pin",
        "version": version,
        "ring": ring,
        "because": "the auditors are here",
        "at": datetime.now(UTC),
    }
    if not here.rows.insert("pins", LOOP, "pin", row=row):
        here.rows.change("pins", LOOP, keys=["pin"], values=row)


def test_a_healthy_version_that_does_harm_is_rolled_back_on_the_canary_with_its_numbers(here: FakeCloud) -> None:
    roll_out(here, "1")
    harm(here)
    assert effective(here) == "2"
    advance_on_timer(None)
    assert state(here, "2") == ("rolled back", 0)
    assert [effective(here, site) for site in ("lga", "ewr", "jfk")] == ["1", "1", "1"]
    assert layers(here, "2") == []
    (back,) = [event for event in here.announcer.announced.values() if isinstance(event, RolledBack)]
    assert (back.version, back.ring, back.to) == ("2", "canary", "1")
    assert back.reason.startswith("requests refused: 10.2% on 1 device with it, 0.2% on 2 devices without; ")
    assert back.reason.endswith("2.0% is allowed; back to version 1")
    assert decisions(here, ":2") == ["Deploy", "RollBack"]


def test_the_next_job_has_to_beat_the_version_that_serves_and_not_the_one_taken_back(here: FakeCloud) -> None:
    roll_out(here, "1")
    harm(here)
    loop = here.settings.loops[LOOP]
    assert champion(here.rows, loop) == "2"
    advance_on_timer(None)
    assert champion(here.rows, loop) == "1"


def test_a_rolled_back_version_never_comes_back_and_the_next_one_passes_it(here: FakeCloud) -> None:
    roll_out(here, "1")
    harm(here)
    for _ in range(3):
        advance_on_timer(None)
        deploy_on_model_registered(registered("2"))
    assert (state(here, "2"), effective(here)) == (("rolled back", 0), "1")
    roll_out(here, "3", rings=1)
    assert effective(here) == "3"
    assert [effective(here, site) for site in ("ewr", "jfk")] == ["3", "3"]


def test_the_last_good_version_is_given_again_before_the_bad_one_is_deleted(here: FakeCloud) -> None:
    roll_out(here, "1")
    harm(here)
    seen: list[str] = []
    delete = here.fleet.delete

    def watched(deployment: str) -> None:
        seen.append(effective(here))
        delete(deployment)

    here.fleet.delete = watched  # type: ignore[method-assign] # looks, then deletes
    advance_on_timer(None)
    assert seen == ["1"]


class Lost(Exception):
    """The process ended."""


@pytest.mark.parametrize("place", range(5))
def test_a_rollback_that_is_cut_short_anywhere_is_finished_by_the_next_turn(here: FakeCloud, place: int) -> None:
    roll_out(here, "1")
    harm(here)
    owner, name = [
        (here.fleet, "apply"),
        (here.fleet, "deployments"),
        (here.fleet, "delete"),
        (here.announcer, "announce"),
        (here.rows, "insert"),
    ][place]
    real: Callable[..., Any] = getattr(owner, name)

    def cut(*given: object, **named: object) -> None:
        setattr(owner, name, real)
        real(*given, **named)
        raise Lost

    setattr(owner, name, cut)
    with pytest.raises(Lost):
        advance_on_timer(None)
    advance_on_timer(None)
    assert state(here, "2") == ("rolled back", 0)
    assert (effective(here), layers(here, "2")) == ("1", [])
    assert decisions(here, ":2").count("RollBack") == 1
    assert here.announcer.kinds().count("RolledBack") == 1


def test_the_first_version_has_nothing_to_be_compared_with(here: FakeCloud) -> None:
    observe(here, "lga/inference", v1=scored("1", failed=100))
    roll_out(here, "1")
    assert state(here, "1") == ("done", 1)


def test_a_pin_is_obeyed_whatever_automation_does_and_lifted_again(here: FakeCloud) -> None:
    roll_out(here, "1")
    roll_out(here, "2")
    pin(here, "1")
    advance_on_timer(None)
    assert [effective(here, site) for site in ("lga", "ewr")] == ["1", "1"]
    made(here, "3")
    deploy_on_model_registered(registered("3"))
    advance_on_timer(None)
    assert effective(here) == "1"
    assert not layers(here, "3")
    pin(here, "")
    advance_on_timer(None)
    assert layers(here, "1", "pin") == []
    assert effective(here) == "3"
    told = [(entry.decision, entry.reason) for entry in journal(here) if entry.decision in ("Pin", "Unpin", "Hold")]
    assert told[0] == ("Pin", "every ring: the auditors are here (was none)")
    assert told[1] == ("Hold", "an operator pinned every ring to version 1: the auditors are here")
    assert ("Unpin", "the pin is lifted (was 1)") in told


def test_a_pin_of_one_ring_leaves_the_others_alone_and_another_pin_replaces_it(here: FakeCloud) -> None:
    roll_out(here, "1")
    roll_out(here, "2")
    pin(here, "1", "canary")
    advance_on_timer(None)
    assert (effective(here, "lga"), effective(here, "ewr")) == ("1", "2")
    for version in ("2", "1"):
        pin(here, version, "canary")
        advance_on_timer(None)
        assert effective(here, "lga") == version
    assert len([one for one in here.fleet.made.values() if "pin" in one.labels]) == 1


@pytest.mark.parametrize(("version", "ring"), [("9", ""), ("1", "moon")])
def test_a_pin_of_what_does_not_exist_is_refused_and_said(here: FakeCloud, version: str, ring: str) -> None:
    roll_out(here, "1")
    pin(here, version, ring)
    with pytest.raises(ExceptionGroup) as problems:
        advance_on_timer(None)
    assert isinstance(problems.value.exceptions[0], Refused)
    assert effective(here) == "1"


def test_an_approved_model_is_deployed_once_its_files_are_known(here: FakeCloud) -> None:
    roll_out(here, "1")
    here.registry.register(ModelVersion(LOOP, "7", f"{LOOP}/7", {"sha256": "ab" * 32, "profile": "0" * 16}))
    deploy_on_model_registered(registered("7"))
    assert state(here, "7") == ("awaiting approval", -1)
    here.rows.insert("pins", LOOP, "approve:7", row={"kind": "approve", "version": "7"})
    for _ in range(2):
        advance_on_timer(None)
    assert state(here, "7") == ("rolling", 0)
    assert effective(here) == "7"


def test_files_that_are_not_those_that_were_registered_are_set_aside(here: FakeCloud) -> None:
    made(here, "1")
    here.blobs.put("models", f"{LOOP}/1/files.json", b"{}")
    for _ in range(2):
        deploy_on_model_registered(registered("1"))
        advance_on_timer(None)
    quarantined = [name.split("/")[:2] for container, name in here.blobs.blobs if container == "quarantine"]
    assert sorted(quarantined) == [
        ["advance_on_timer", "MODEL_INTEGRITY"],
        ["deploy_on_model_registered", "MODEL_INTEGRITY"],
    ]
    assert not here.fleet.made


def test_old_versions_make_room_before_the_hub_is_full_and_nothing_in_use_goes(here: FakeCloud) -> None:
    here.fleet.apply(Deployment("base", {}, "tags.fleet = 'new-york'", 0, {"loop": LOOP}, {}))
    here.fleet.apply(Deployment("foreign", {}, "tags.a = 1", 9, {"loop": "another", "model": "another:1"}, {}))
    here.fleet.most = 14
    for version in range(1, 31):
        roll_out(here, str(version))
        assert effective(here, "ewr") == str(version)
    kept = {one.labels["model"] for one in here.fleet.made.values() if one.labels["loop"] == LOOP and one.id != "base"}
    assert kept == {f"{LOOP}:{version}" for version in range(26, 31)}
    assert {"base", "foreign"} <= set(here.fleet.made)


def test_a_full_hub_holds_a_version_with_its_reason_until_there_is_room(here: FakeCloud) -> None:
    here.fleet.most = 0
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    advance_on_timer(None)
    assert decisions(here) == ["Hold"]
    assert "has no place" in journal(here)[0].reason
    here.fleet.most = 100
    advance_on_timer(None)
    assert effective(here) == "1"


def test_a_throttled_hub_is_left_alone_as_long_as_it_asks_and_nothing_fails(here: FakeCloud) -> None:
    made(here, "1")
    calls: list[str] = []

    def throttled(deployment: Deployment) -> bool:
        calls.append(deployment.id)
        raise Throttled("deployment", why="20 a minute", fix="nothing", after_s=30)

    real, here.fleet.apply = here.fleet.apply, throttled  # type: ignore[method-assign] # a hub that is asked too often
    now = datetime.now(UTC)
    here.clock = lambda: now
    deploy_on_model_registered(registered("1"))
    for _ in range(5):
        advance_on_timer(None)
    assert len(calls) == 1
    here.fleet.apply = real  # type: ignore[method-assign] # it has recovered
    here.clock = lambda: now + timedelta(seconds=31)
    advance_on_timer(None)
    assert effective(here) == "1"


def test_what_went_wrong_elsewhere_is_still_raised(here: FakeCloud) -> None:
    made(here, "1")

    def away(deployment: Deployment) -> bool:
        raise Transient(f"deployment {deployment.id}", why="no answer", fix="wait")

    here.fleet.apply = away  # type: ignore[method-assign] # a hub that does not answer
    with pytest.raises(LoopError):
        deploy_on_model_registered(registered("1"))


def test_a_ring_of_a_few_devices_names_them_and_the_next_reaches_all(here: FakeCloud, tmp_path: Path) -> None:
    text = Path(f"tests/loops/{LOOP}.toml").read_text(encoding="utf-8")
    named = "devices = \"tags.fleet = 'new-york' AND tags.site = 'lga'\""
    some = text.replace(named, "devices = \"tags.fleet = 'new-york'\"\ncount = 1")
    (tmp_path / f"{LOOP}.toml").write_text(some, encoding="utf-8")
    here.settings = Settings.model_validate({**ENVIRONMENT, "LOOPS_FOLDER": str(tmp_path)})
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    assert not here.fleet.made
    assert decisions(here) == ["Hold"]
    here.fleet.matching["tags.fleet = 'new-york'"] = ["ewr", "jfk", "lga"]
    advance_on_timer(None)
    (canary,) = layers(here, "1")
    assert canary.target.startswith("(tags.fleet = 'new-york') AND deviceId IN ['")
    report(here, canary, 1, ready=1)
    dwell(here, "1")
    advance_on_timer(None)
    assert layers(here, "1")[1].target == "tags.fleet = 'new-york'"
    stored = here.rows.get("rollouts", LOOP, "000000001")
    assert stored
    assert len(json.loads(str(stored.row["members"]))["canary"]) == 1


def test_what_the_event_says_of_a_model_counts_for_nothing_beside_the_registry(here: FakeCloud) -> None:
    model = made(here, "1")
    event = registered("1")
    tags = {"sha256": "f" * 64, "createOptions": '{"HostConfig":{"Privileged":true}}'}
    lying = func.EventGridEvent(
        id=event.id,
        topic=event.topic,
        subject=event.subject,
        event_type=event.event_type,
        event_time=event.event_time,
        data_version="",
        data={**event.get_json(), "ModelTags": tags, "ModelProperties": tags},
    )
    deploy_on_model_registered(lying)
    (layer,) = layers(here, "1")
    assert model.lineage["sha256"] in json.dumps(layer.content)
    assert "f" * 64 not in json.dumps(layer.content)
    assert "createOptions" not in json.dumps(layer.content)
