"""Devices in the simulation: each applies the highest of its layers when it comes by, refuses or obeys, and reports."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from functions.field import COLUMN, Period, counted, drifted, from_bytes, to_bytes
from functions.ports import Deployment, Progress, Row
from functions.rollout.records import BACK, FALLING, standing
from laptop.iot_hub.query import parse_target_condition
from tests.fakes.cloud import FakeFleet
from tests.sim.plant import LOOP, SITES
from tests.sim.workspace import HARMFUL, REFUSED, Workspace
from tests.sim.world import DAY, World, need

BETWEEN = (300.0, 3_600.0)  # seconds between two visits of a device to the hub
OTHERS = {"pin", "instead_of", "shadow"}  # labels of layers that are no version's own


@dataclass
class Device:
    """One device: what it serves, what it refused, and every version it was given."""

    name: str
    tags: dict[str, str]
    away: tuple[float, float] = (0.0, 0.0)
    serves: int = 0
    refused: set[int] = field(default_factory=set)
    given: int = 0
    drifts: bool = False
    windows: int = 0
    episode: int = 0

    def look(self, before: int) -> None:
        """One more window: an alarm where what it sees has drifted, and a fresh start under another version."""
        self.windows += 1
        if self.serves != before or not self.drifts:
            self.episode = 0
        else:
            self.episode = self.episode or self.windows


@dataclass(frozen=True, slots=True)
class Report:
    """What a device said, and when."""

    at: float
    serves: int
    refused: frozenset[int]


class SimFleet(FakeFleet):
    """Automatic deployments whose metrics count what devices reported some time ago."""

    def __init__(self, devices: Sequence[Device], world: World) -> None:
        super().__init__()
        self.all, self.world = list(devices), world
        self.said: dict[str, list[Report]] = {device.name: [] for device in devices}

    def progress(self, deployment: str) -> Progress | None:
        if deployment not in self.made:
            return None
        one = self.made[deployment]
        targeted, until = self.matching_devices(one), self.world.scheduler.now - self.world.lag_s
        last = [next((r for r in reversed(self.said[d.name]) if r.at <= until), None) for d in targeted]
        ready = sum(report is not None and report.serves == version_of(one) for report in last)
        failed = sum(report is not None and version_of(one) in report.refused for report in last)
        return Progress(len(targeted), {"ready": ready, "failed": failed, "waiting": 0})

    def devices(self, condition: str) -> Sequence[str]:
        return sorted(device.name for device in self.all if _meets(device, condition))

    def sites(self) -> Mapping[str, str]:
        return {device.name: device.tags["site"] for device in self.all}

    def matching_devices(self, deployment: Deployment) -> list[Device]:
        """The devices that a deployment reaches."""
        return [device for device in self.all if _meets(device, deployment.target)]

    def effective(self, device: Device) -> Deployment | None:
        """The layer that gives a device its model: the highest, and of equals the newest."""
        order = list(self.made.values())
        ours = [one for one in order if "model" in one.labels and "shadow" not in one.labels]
        reaching = [one for one in ours if _meets(device, one.target)]
        return max(reaching, key=lambda one: (one.priority, order.index(one)), default=None)


class Field:
    """Lets devices come by, and looks after every change of a layer.

    Args:
        world: Where they are.
        workspace: Knows which models are bad.
    """

    def __init__(self, world: World, workspace: Workspace) -> None:
        self.world, self.workspace = world, workspace
        self.devices = [
            Device(f"edge-{site}-{n}", {"fleet": "new-york", "site": site}) for site in SITES for n in (1, 2)
        ]
        for device in self.devices:
            if world.dice.roll("away", device.name) < 0.4:
                start = world.dice.between(0, 2 * DAY, "leaves", device.name)
                device.away = (start, start + world.dice.between(0, 3 * DAY, "stays", device.name))
        self.fleet = SimFleet(self.devices, world)
        self.contents: dict[tuple[str, str], object] = {}
        self.pins: set[int] = set()  # versions that an operator pinned, ever
        world.fake.fleet = self.fleet
        world.watchers.append(self.watch)

    def visits(self, until: float, between: tuple[float, float] = BETWEEN) -> None:
        """Put every device's visits on the agenda."""
        for device in self.devices:
            when, number = self.world.scheduler.now, 0
            while when < until:
                number += 1
                when += self.world.dice.between(*between, "visit", device.name, number)
                self.world.scheduler.at(when, lambda device=device: self.visit(device))  # type: ignore[misc] # bound now

    def visit(self, device: Device) -> None:
        """A device gets what is desired, and says what came of it."""
        now = self.world.scheduler.now
        if device.away[0] <= now < device.away[1]:
            self.world.seen["device away"] += 1
            return
        layer, before = self.fleet.effective(device), device.serves
        version = version_of(layer) if layer else 0
        if version and self.end_of(version) == REFUSED and version != device.serves:
            device.refused.add(version)  # and goes on with what it has: I9
            self.world.seen["device refuses"] += 1
        elif version:
            device.serves = version
        self.fleet.said[device.name].append(Report(now, device.serves, frozenset(device.refused)))
        if device.serves:
            device.look(before)
            self._telemetry(device)

    def drift(self, sites: Collection[str] = SITES) -> None:
        """What the devices of some sites see drifts from now on, and what others see does not."""
        for device in self.devices:
            device.drifts = device.tags["site"] in sites
        self.world.seen["drift" if sites else "no drift"] += 1

    def pin(self, version: int, because: str) -> None:
        """An operator pins every ring to a version; 0 lifts the pin."""
        row = {"version": str(version or ""), "ring": "", "because": because}
        rows = self.world.fake.rows
        stored = rows.get("pins", LOOP, "pin")
        if stored is None:
            rows.insert("pins", LOOP, "pin", row=row)
        else:
            rows.replace("pins", LOOP, stored=stored, row=row)
        self.pins.add(version)
        self.world.seen["pinned" if version else "unpinned"] += 1

    def watch(self, operation: str, arguments: tuple[object, ...], answer: object) -> None:
        """I4, I5, I8 and I9 after every change of a layer."""
        if operation == "fleet.apply" and answer:
            deployment = arguments[0]
            assert isinstance(deployment, Deployment)
            self._made(deployment)
        if operation in ("fleet.apply", "fleet.delete"):
            for device in self.devices:
                layer = self.fleet.effective(device)
                self._given(device, version_of(layer) if layer else 0)

    def _made(self, deployment: Deployment) -> None:
        """I4: one layer for a version and a ring; I8: inside the fence; a version that fell does not come back."""
        text = str(deployment.content)
        need(
            f"'url': '{self.world.fake.settings.blob_endpoint}/models/" in text,
            f"I8 a layer with a foreign url: {text}",
        )
        if OTHERS & set(deployment.labels):
            return
        key, version = (deployment.labels["model"], deployment.labels["ring"]), version_of(deployment)
        before = self.contents.setdefault(key, (deployment.id, deployment.content))
        need(before == (deployment.id, deployment.content), f"I4 two layers for {key}")
        record = standing(self.world.fake.rows, LOOP).find(version)
        need(record is None or record.state != BACK, f"I5 version {version} fell, and comes back")

    def _given(self, device: Device, version: int) -> None:
        """I5: no device is given less than before unless that was rolled back, or somebody pinned."""
        if version < device.given and not self.pins:
            record = standing(self.world.fake.rows, LOOP).find(device.given)
            fell = record is not None and record.state in (FALLING, BACK)
            need(fell, f"I5 {device.name} is given version {version} after {device.given}")
            need(version > 0, f"I9 {device.name} is given nothing after version {device.given}")
            self.world.seen["rolled back"] += 1
        device.given = version

    def end_of(self, version: int) -> str:
        """How the job of a version ended; "" for one that no job made."""
        model = self.world.fake.registry.get(LOOP, str(version))
        return self.workspace.ends.get(model.lineage.get("job", ""), "") if model else ""

    def _telemetry(self, device: Device) -> None:
        """What the rollout's gate reads, period by period: requests answered and refused; and columns about drift."""
        rows, key = self.world.fake.rows, f"{device.name}/inference"
        stored = rows.get("devices", LOOP, key)
        uses = dict(from_bytes(stored.row[COLUMN])) if stored else {}
        version, failed = str(device.serves), 60 if self.end_of(device.serves) == HARMFUL else 0
        period = Period(int(self.world.scheduler.now // 600), 100, 100, failed, (), (0,) * 66)
        said, episode = "temp, share above 3: 4 % → 9 %, since window 2", device.episode
        use = counted(uses.get(version), version, [period])
        uses[version] = drifted(use, [said] if episode else [], goes_on=episode > 0, at=period.at)
        evidence = 40.0 if episode else 0.5
        seen: Row = {"feature": "temp", "rising": True, "explanation": said}
        told: Row = {"episode": episode, "log_peak": evidence, "log_evidence": evidence, "at": self.world.time()}
        row: Row = {COLUMN: to_bytes(uses), "reason": "steady", "version": version, **seen, **told}
        if stored is None:
            rows.insert("devices", LOOP, key, row=row)
        else:
            rows.replace("devices", LOOP, stored=stored, row=row)


def version_of(deployment: Deployment) -> int:
    """The model version that a layer carries."""
    return int(deployment.labels["model"].rpartition(":")[2])


def _meets(device: Device, condition: str) -> bool:
    return _matches(device.name, tuple(device.tags.items()), condition)


@cache
def _matches(name: str, tags: tuple[tuple[str, str], ...], condition: str) -> bool:
    return parse_target_condition(condition).matches({"deviceId": name, "tags": dict(tags)})
