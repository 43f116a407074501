import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest
from typer.testing import CliRunner, Result

from functions.errors import Refused
from functions.operator.cli import app
from functions.ports import ModelVersion
from functions.rollout.manifest import base, layer
from functions.wiring import using
from tests.fakes.cloud import FakeCloud

RUN = CliRunner()
LOOP = "flight-delays"
CANARY, EVERYWHERE = "tags.fleet = 'new-york' AND tags.site = 'lga'", "tags.fleet = 'new-york'"
IMAGE = "localhost/edge@sha256:" + "5" * 64


def model(version: str) -> ModelVersion:
    return ModelVersion(LOOP, version, f"{LOOP}/{version}", {"job": "j", "sha256": version * 8, "profile": "p"})


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    """Three devices on version 7, and a version 8 in the registry."""
    here = FakeCloud()
    loop = here.settings.loops[LOOP]
    for version in ("7", "8"):
        here.registry.register(model(version))
    here.fleet.matching = {CANARY: ["lga"], EVERYWHERE: ["ewr", "jfk", "lga"]}
    here.fleet.apply(base(loop, image=IMAGE, devices=EVERYWHERE, environment={}))
    here.fleet.apply(layer(loop, model("7"), 1, store=here.settings.blob_endpoint))
    with using(here):
        yield here


def run(*arguments: str) -> Result:
    return RUN.invoke(app, arguments)


def test_a_plan_says_who_gets_what_and_changes_nothing(here: FakeCloud) -> None:
    before = (dict(here.fleet.made), here.rows.writes)
    answer = run("plan", LOOP, "--to", "8", "--ring", "canary", "--json")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["rings"] == [{"name": "canary", "devices": 1}]
    (group,) = told["groups"]
    assert (group["before"]["version"], group["after"]["version"], group["examples"]) == ("7", "8", ["lga"])
    assert {one["path"] for one in group["changes"]} == {
        f"inference/model/{name}" for name in ("version", "sha256", "url")
    }
    assert told["configurations"] == {"count": 3, "limit": 100}
    assert told["rollback"] == f"refluent deploy {LOOP} --to 7 gives it back to 1 device(s)"
    assert (dict(here.fleet.made), here.rows.writes) == before


def test_without_a_version_the_newest_is_planned(here: FakeCloud) -> None:
    assert json.loads(run("plan", LOOP, "--ring", "canary", "--json").stdout)["version"] == "8"
    assert here.rows.writes == 0


def test_the_plan_for_people_names_the_same(here: FakeCloud) -> None:
    told = run("plan", LOOP, "--to", "8", "--ring", "canary").stdout
    assert "1 device(s) (lga): 7 -> 8" in told
    assert 'inference/model/version: "7" -> "8"' in told
    assert here.rows.writes == 0


def test_a_ring_without_devices_fails_unless_that_is_allowed(here: FakeCloud) -> None:
    here.fleet.matching[CANARY] = []
    answer = run("plan", LOOP, "--to", "8", "--ring", "canary")
    assert answer.exit_code == 1
    assert "no device is in ring canary" in answer.output
    assert run("plan", LOOP, "--to", "8", "--ring", "canary", "--allow-empty").exit_code == 0


def risks(*arguments: str) -> set[str]:
    answer = run("plan", LOOP, "--json", *arguments)
    assert answer.exit_code == 2
    return {one["code"] for one in json.loads(answer.stdout)["risks"]}


def test_a_version_for_every_ring_that_no_ring_has_proven_is_risky(here: FakeCloud) -> None:
    assert risks("--to", "8") == {"UNPROVEN"}
    here.rows.insert("rollouts", LOOP, "000000008", row={"state": "done", "ring": 1})
    assert run("plan", LOOP, "--to", "8").exit_code == 0


def test_devices_without_a_base_are_risky(here: FakeCloud) -> None:
    here.fleet.matching[CANARY] = ["lga", "lost"]
    assert risks("--to", "8", "--ring", "canary") == {"NO_BASE"}


def test_a_layer_that_would_hide_the_order_is_risky(here: FakeCloud) -> None:
    hiding = layer(here.settings.loops[LOOP], model("7"), 1, store="https://x")
    here.fleet.apply(replace(hiding, id="by-hand", priority=2**31 - 1))
    assert risks("--to", "8", "--ring", "canary") == {"HIDDEN"}


def test_a_base_without_the_module_is_risky(here: FakeCloud) -> None:
    other = base(
        here.settings.loops[LOOP].model_copy(
            update={"rollout": here.settings.loops[LOOP].rollout.model_copy(update={"module": "other"})}
        ),
        image=IMAGE, devices=EVERYWHERE, environment={},
    )  # fmt: skip
    here.fleet.apply(replace(other, priority=3))
    assert risks("--to", "8", "--ring", "canary") == {"NO_MODULE"}


def test_few_places_for_configurations_are_risky(here: FakeCloud) -> None:
    for number in range(89):
        here.fleet.apply(
            replace(layer(here.settings.loops[LOOP], model("7"), 0, store="s"), id=f"old-{number}", target="x")
        )
    assert risks("--to", "8", "--ring", "canary") == {"QUOTA"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan"], "name one loop"),
        (["plan", "no-such-loop"], "there is no loop 'no-such-loop'"),
        (["deploy", "no-such-loop", "--to", "1"], "there is no loop"),
    ],
)
def test_what_is_not_there_is_refused(here: FakeCloud, arguments: list[str], said: str) -> None:
    answer = run(*arguments)
    assert answer.exit_code == 1
    assert said in answer.output
    assert here.rows.writes == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--to", "99"), "flight-delays:99 cannot be deployed"), (("--to", "8", "--ring", "no"), "has no ring 'no'")],
)
def test_an_unknown_version_or_ring_is_refused(here: FakeCloud, arguments: tuple[str, ...], said: str) -> None:
    problem = run("deploy", LOOP, *arguments).exception
    assert isinstance(problem, Refused)
    assert said in problem.what
    assert here.rows.writes == 0


def test_deploying_orders_what_was_planned_and_an_older_version_takes_it_back(here: FakeCloud) -> None:
    assert run("deploy", LOOP, "--to", "8", "--ring", "canary", "--because", "try it").exit_code == 0
    stored = here.rows.get("pins", LOOP, "pin")
    assert stored
    assert isinstance(stored.row["at"], datetime)
    ordered = {name: value for name, value in stored.row.items() if name != "at"}
    assert ordered == {"kind": "pin", "version": "8", "ring": "canary", "because": "try it"}
    assert run("deploy", LOOP, "--to", "7", "--ring", "canary").exit_code == 0
    stored = here.rows.get("pins", LOOP, "pin")
    assert stored
    assert stored.row["version"] == "7"
    assert not [one for one in here.fleet.made.values() if "pin" in one.labels]  # the timer makes them, not the command


def test_a_risky_order_is_given_only_anyway(here: FakeCloud) -> None:
    assert run("deploy", LOOP, "--to", "8").exit_code == 2
    assert here.rows.get("pins", LOOP, "pin") is None
    assert run("deploy", LOOP, "--to", "8", "--anyway").exit_code == 0
    assert here.rows.get("pins", LOOP, "pin") is not None
