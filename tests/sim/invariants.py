"""What must hold, checked from stored data alone once things are quiet; what may never happen, after every step."""

import json
from collections import Counter
from hashlib import sha256
from typing import Any

from functions.drift.records import OVER, Episode
from functions.drift.records import name as episode_name
from functions.journal import entries
from functions.rollout.records import BACK, DONE, FALLING, HELD, ROLLING, standing
from tests.sim.fleet import Field
from tests.sim.plant import BROKEN, EMPTY, GOOD, LOOP, STRANGER, Plant
from tests.sim.workspace import BETTER, HARMFUL, PLATFORM, REFUSED, WORSE, Workspace
from tests.sim.world import DAY, World, need

CONTAINERS = {"landing", "versions", "manifests", "outputs", "models", "quarantine"}
VERDICTS = {
    "registered": "Register",
    "reject": "Reject",
    "giveup": "GiveUp",
    "retry": "TryAgain",
    "rolled back": "Register",
}
SKEW = 600.0  # seconds between two clocks at the most


def watch(world: World) -> None:
    """Look after every step."""
    sealed_by: dict[object, str] = {}

    def look(operation: str, arguments: tuple[Any, ...], answer: object) -> None:
        run = world.running()
        name = run.name if run else ""
        if operation == "rows.replace" and arguments[0] == "generations" and answer:
            row = arguments[-1]
            if row.get("state") == "sealed":
                sealed_by[row["number"]] = name
            elif row.get("state") == "open":
                world.seen["resumed by another"] += sealed_by.get(int(row["number"]) - 1) != name
        if operation == "rows.replace" and not answer:
            world.seen["lost a race"] += 1
        if operation.startswith("blobs."):
            place = arguments[-1] if operation == "blobs.copy" else arguments
            need(place[0] in CONTAINERS, f"I8 {operation} in container {place[0]}")

    world.watchers.append(look)


def accounts(world: World, plant: Plant, workspace: Workspace, _: Field) -> None:
    """Every invariant of retraining and promotion, once things are quiet."""
    manifests = _manifests(world)
    _nothing_lost(world, plant, manifests)
    _one_job_a_generation(world, plant, workspace, manifests)
    _budget(workspace)
    _judged(world, workspace)
    _books(world, plant)
    _told(world, workspace)
    journal = entries(world.fake.rows, [LOOP])
    once = Counter((entry.subject, entry.decision, entry.reason) for entry in journal)
    need(all(count == 1 for count in once.values()), f"I7 a decision is written down twice: {once.most_common(1)}")
    world.seen.update(entry.decision for entry in journal)


def fleet(world: World, _: Plant, __: Workspace, field: Field) -> None:
    """I4 and I5 once things are quiet: no rollout hangs, no model of ours waits for a person, devices have the best."""
    told = standing(world.fake.rows, LOOP)
    ours = {int(m.version) for m in world.fake.registry.models.values() if "job" in m.lineage}
    stalled = {entry.subject for entry in entries(world.fake.rows, [LOOP]) if entry.decision == "Stall"}
    for one in told.records:
        world.seen[f"rollout {one.state}"] += 1
        harmful = field.end_of(one.version) == HARMFUL
        waits = harmful and f"{LOOP}:{one.version}" in stalled  # for a person
        need(waits or one.state not in (ROLLING, FALLING), f"I5 version {one.version} is {one.state} for ever")
        need(one.version not in ours or one.state != HELD, f"I4 version {one.version} is ours, and waits for a person")
        jobs = world.fake.rows.find("jobs", LOOP, version=str(one.version)) if one.state == BACK else []
        need(one.state != BACK or harmful, f"I5 version {one.version} does no harm, and fell: {one.reason}")
        need(all(job.row["state"] == BACK for job in jobs), f"I5 version {one.version} fell, and is a champion still")
    need(ours <= {one.version for one in told.records}, "I4 a model of ours was never admitted")
    newest = [one for one in told.records if one.state != HELD]
    for device in field.devices if newest and newest[-1].state == DONE else []:
        served = device.serves
        need(served == newest[-1].version, f"I5 {device.name} serves {served}, and {newest[-1].version} is done")


def taken_back(world: World, _: Plant, __: Workspace, field: Field) -> None:
    """The harmful version fell, for good, and every device has the one before it."""
    told = standing(world.fake.rows, LOOP)
    need([one.state for one in told.records] == [DONE, BACK], f"I5 versions are {[one.state for one in told.records]}")
    served = {device.name: device.serves for device in field.devices}
    need(set(served.values()) == {1}, f"I5 after the rollback devices serve {served}")
    kinds = [type(event).__name__ for event in world.fake.announcer.announced.values()]
    need(kinds.count("RolledBack") == 1, "I7 nobody was told of the rollback, or of two")
    fell = [entry for entry in entries(world.fake.rows, [LOOP]) if entry.decision == "RollBack"]
    need(len(fell) == 1, f"I7 {len(fell)} rollbacks are in the journal")


def held_for_drift(world: World, _: Plant, __: Workspace, ___: Field) -> None:
    """The second version was held while only its devices saw drift, and then reached everybody."""
    told = standing(world.fake.rows, LOOP)
    need([one.state for one in told.records] == [DONE, DONE], f"I5 versions are {[one.state for one in told.records]}")
    held = [entry.reason for entry in entries(world.fake.rows, [LOOP]) if "drift on " in entry.reason]
    need(held, "I5 version 2 went on while only its devices saw drift")


def episodes(world: World, _: Plant, __: Workspace, field: Field) -> None:
    """Each drift was told once, or was over before, and is resolved once; a device's part of it is in one episode."""
    fake, told = world.fake, dict[str, list[object]]()
    for message in fake.announcer.messages:
        told.setdefault(str(message["id"]), []).append(message["data"])
    journal = Counter((entry.subject, entry.decision) for entry in entries(fake.rows, [LOOP]))
    parts = Counter[tuple[str, int]]()
    drifting = {device.name for device in field.devices if device.drifts}
    need(not drifting, f"a story ends calm, and {drifting} drift")
    for stored in fake.rows.find("episodes", LOOP):
        one = Episode.of(stored)
        name = episode_name(LOOP, one.number)
        parts.update(one.members.items())
        world.seen[f"episode of one {one.scope}"] += 1
        need(one.state == OVER, f"I7 {name} is {one.state} for ever")
        announced = (name in told, f"{name}-resolved" in told)
        need(announced == (one.told is not None,) * 2, f"I7 {name}: told and resolved are {announced}, told {one.told}")
        written = (journal[name, "Tell"], journal[name, "Resolve"])
        need(written == (int(one.told is not None), 1), f"I7 {name} is in the journal {written} times")
        detected = told.get(name, [])
        need(all(message == detected[0] for message in detected), f"I7 {name} is told differently when it is repeated")
    twice = [part for part, count in parts.items() if count > 1 and not world.seen["device away"]]
    need(not twice, f"I7 {twice} are in two episodes")  # who was silent for a day may come back drifting still


def one_episode(world: World, _: Plant, __: Workspace, ___: Field) -> None:
    """All devices drifted within minutes: it is the fleet's, it was told once and asks for one job."""
    found = [Episode.of(stored) for stored in world.fake.rows.find("episodes", LOOP)]
    need(len(found) == 1, f"I7 one drift is {len(found)} episodes")
    (one,) = found
    need((one.scope, len(one.members)) == ("fleet", 6), f"I7 {len(one.members)} devices, scope {one.scope}")
    need(one.told is not None, "I7 a drift of hours was not told")
    need(len(list(world.fake.rows.find("requests", LOOP))) == 1, "I7 one drift asks for more than one job, or for none")


ALL = (accounts, fleet, episodes)


def _manifests(world: World) -> dict[int, list[dict[str, Any]]]:
    """Generation -> what it took."""
    found = {}
    for (container, name), data in world.fake.blobs.blobs.items():
        if container == "manifests" and name.endswith("/new.json"):
            found[int(name.split("/")[-2])] = json.loads(data)["blobs"]
    return found


def _nothing_lost(world: World, plant: Plant, manifests: dict[int, list[dict[str, Any]]]) -> None:
    """I1: every version that was acknowledged, or lies there, is in one manifest, or said to be superseded or bad."""
    taken = Counter((blob["name"], blob["etag"]) for blobs in manifests.values() for blob in blobs)
    rows = {(row.row["blob"], row.row["etag"]): row.row for row in world.fake.rows.find("uploads", LOOP)}
    for number, one in plant.landed.items():
        if one.kind == STRANGER or not (number in plant.acknowledged or plant.current[one.name] == number):
            continue
        row = rows.get((one.name, one.etag))
        need(row is not None, f"I1 upload {number} is in no row")
        assert row is not None
        expected = {"quarantined"} if one.kind in (EMPTY, BROKEN) else {"taken"}
        if plant.current[one.name] != number:
            expected.add("superseded")
        state = "taken" if row["generation"] else str(row.get("state", "unknown"))
        need(state in expected, f"I1 upload {number} ({one.kind}) ends as {state}")
        where = taken[one.name, one.etag]
        need(where == (state == "taken"), f"I1 upload {number} is {state} and in {where} manifests")
        world.seen[f"upload {state}"] += 1
    need(all(count == 1 for count in taken.values()), "I2 an upload is in two manifests")
    good = {(one.name, one.etag) for one in plant.landed.values() if one.kind == GOOD}
    need(set(taken) <= good, "I1 a manifest names what nobody uploaded")


def _one_job_a_generation(
    world: World, plant: Plant, workspace: Workspace, manifests: dict[int, list[dict[str, Any]]]
) -> None:
    """I2: one job a generation; what it trains on is what its manifest says."""
    fake = world.fake
    started = [name for _, name in workspace.started]
    need(len(started) == len(set(started)), "I2 a job was started twice")
    attempts = sorted((int(order.lineage["generation"]), order.attempt) for order in workspace.orders.values())
    need(len(attempts) == len(set(attempts)), f"I2 two jobs of one generation: {started}")
    need({number for number, _ in attempts} == set(manifests), "I2 generations without a job, or jobs without one")
    failed = {int(o.lineage["generation"]) for o in workspace.orders.values() if workspace.ends[o.name] in PLATFORM}
    again = {number for number, attempt in attempts if attempt > 1}
    first = {number for number, attempt in attempts if attempt == 1}
    need(again <= failed & first, f"I2 a job is started once more that the platform did not fail: {again - failed}")
    rows = {row.key: row.row for row in fake.rows.find("jobs", LOOP)}
    need(set(rows) == set(started), f"I2 jobs {set(started) ^ set(rows)} are not written down, or not started")
    for name, order in workspace.orders.items():
        data = fake.blobs.read("manifests", f"{order.training_set}/manifest.json")
        need(data, f"I2 {name} has no training set")
        assert data is not None
        need(sha256(data).hexdigest() == order.lineage["training_set_sha256"], f"I2 {name} trains on something else")
        listed = json.loads(data)["blobs"]
        new = {blob["name"] for blob in manifests[int(order.lineage["generation"])]}
        need({blob["name"] for blob in listed} >= new, f"I2 {name} leaves out what is new")
        for blob in listed + manifests[int(order.lineage["generation"])]:
            kept = fake.blobs.read("versions", f"{LOOP}/{blob['path']}")
            uploaded = plant.content.get((blob["name"], blob["etag"]))
            need(kept is not None and kept == uploaded, f"I2 {name}: {blob['name']} is not what its manifest says")


def _budget(workspace: Workspace) -> None:
    """I3: jobs in any 24 hours, by the world's clock."""
    times = sorted(at for at, _ in workspace.started)
    for first in times:
        inside = [at for at in times if first <= at < first + DAY - SKEW]
        need(len(inside) <= workspace.most_jobs, f"I3 {len(inside)} jobs within a day, {workspace.most_jobs} allowed")


def _judged(world: World, workspace: Workspace) -> None:
    """Every job ends in one verdict, the right one; a model is registered once, and is the one that its row names."""
    fake = world.fake
    ours = [model for model in fake.registry.models.values() if "job" in model.lineage]
    by_job = Counter(model.lineage["job"] for model in ours)
    need(all(count == 1 for count in by_job.values()), "P1 a job's model is registered twice")
    numbers = sorted(int(model.version) for model in fake.registry.models.values())
    need(numbers == [*range(1, len(numbers) + 1)], f"P5 a number was passed over: {numbers}")
    for stored in fake.rows.find("jobs", LOOP):
        end, state = workspace.ends[stored.key], str(stored.row["state"])
        because, given = str(stored.row.get("because", "")), workspace.orders[stored.key].champion
        late = because.startswith("it was compared with") or (given is None and "does not score" in because)
        better = {"reject"} if late else {"registered", "rolled back"}
        expected = {BETTER: better, HARMFUL: better, REFUSED: better, WORSE: {"reject", "registered"}}.get(
            end, {"giveup"}
        )
        if end in PLATFORM and workspace.orders[stored.key].attempt == 1:
            expected = {"retry", "giveup"} if "it was stopped" in str(stored.row.get("because")) else {"retry"}
            again = state == "giveup" or f"{stored.key}-r2" in workspace.orders
            need(again, f"P2 {stored.key} is to be started once more, and is not")
        need(state in expected, f"P2 {stored.key}, {end}, is {state}")
        need(
            by_job[stored.key] == (state in ("registered", "rolled back")),
            f"P1 {stored.key} is {state}, models: {by_job[stored.key]}",
        )
    for model in ours:
        row = fake.rows.get("jobs", LOOP, model.lineage["job"])
        assert row is not None
        need(row.row.get("version") == model.version, f"P3 {model.version} is registered, its job's row names another")
        listed = fake.blobs.read("models", f"{model.folder}/files.json") or b""
        need(sha256(listed).hexdigest() == model.lineage["sha256"], f"P4 the files of {model.version} are not its own")
        onnx = fake.blobs.read("models", f"{model.folder}/model.onnx")
        need(onnx == f"onnx of {model.lineage['job']}".encode(), f"P4 {model.version} has another job's model")


def _books(world: World, plant: Plant) -> None:
    """I7: what was acknowledged and is not ours to train on is in quarantine, once, journalled and announced."""
    fake = world.fake
    need(plant.acknowledged >= plant.sent, f"I7 events {plant.sent - plant.acknowledged} were never acknowledged")
    poison = {number for number, one in plant.landed.items() if one.kind == STRANGER and number in plant.sent}
    kept = [name for container, name in fake.blobs.blobs if container == "quarantine"]
    strangers = [name for name in kept if "/BLOB_SITE/" in name]
    need(len(strangers) >= len(poison), f"I7 {len(poison)} poison events, {len(strangers)} in quarantine")
    told = {str(event.model_dump().get("stored_as", "")) for event in fake.announcer.announced.values()}
    linked = {link for entry in entries(fake.rows, [LOOP, "-"]) for link in entry.links}
    bad = {(str(row.row["blob"]), str(row.row["etag"])) for row in fake.rows.find("uploads", LOOP, state="quarantined")}
    for name in kept:
        original = json.loads(json.loads(fake.blobs.blobs["quarantine", name])["original"])
        if "etag" in original and (original["blob"], original["etag"]) not in bad:
            continue  # whoever set it aside died, and then it was overwritten: it is superseded
        need(f"quarantine/{name}" in told, f"I7 nobody was told of {name}")
        need(f"quarantine/{name}" in linked, f"I7 {name} is not in the journal")
    wishes = {(str(row.row["device"]), int(str(row.row["version"]))) for row in fake.rows.find("requests", LOOP)}
    need(wishes >= plant.asked, "I7 a wish of drift was acknowledged and is not there")
    answered = {row.key for row in fake.rows.find("requests", LOOP, state=1)}
    by = [key for (_, name), data in fake.blobs.blobs.items() if name.endswith("/new.json") for key in _requests(data)]
    need(answered == set(by), "I7 a wish of drift is marked as answered, and no generation answers it, or the reverse")
    need(len(by) == len(set(by)), "I7 two generations answer one wish")


def _requests(data: bytes) -> list[str]:
    found: list[str] = json.loads(data)["requests"]
    return found


def _told(world: World, workspace: Workspace) -> None:
    """Every launch and every rejection is in the journal and was announced."""
    fake = world.fake
    decided = {(entry.decision, name) for entry in entries(fake.rows, [LOOP]) for name in (entry.subject, *entry.links)}
    once = Counter((type(event).__name__, event.model_dump_json()) for event in fake.announcer.announced.values())
    need(all(count == 1 for count in once.values()), f"I7 the same is announced as two events: {once.most_common(1)}")
    kinds = [(type(event).__name__, getattr(event, "job", "")) for event in fake.announcer.announced.values()]
    for stored in fake.rows.find("jobs", LOOP):
        launch = "Retry" if workspace.orders[stored.key].attempt > 1 else "Launch"
        need((launch, stored.key) in decided, f"I7 the launch of {stored.key} is not in the journal")
        need(("TrainingLaunched", stored.key) in kinds, f"I7 nobody was told of {stored.key}")
        verdict = VERDICTS[str(stored.row["state"])]
        need((verdict, stored.key) in decided, f"I7 the {verdict} of {stored.key} is not in the journal")
        if verdict in ("Reject", "GiveUp"):
            need(("ModelRejected", stored.key) in kinds, f"I7 nobody was told that {stored.key} was rejected")
