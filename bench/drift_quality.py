"""`python -m bench.drift_quality [--rounds N] [--json FILE]`: how often the detector cries wolf, and how soon it finds.

40 devices, windows of 200 rows, 24 a day; see `bench.drift_worlds`. Each round of a world has a reference of its own:
what is wrong with a reference is wrong for all devices of a round at once. A world in which nothing changes has 8
rounds, another 3; `--rounds` multiplies. In one round of each the rules of `bench.drift_rivals` see the same rows, and
the first 4 devices are shown to river and NannyML in environments of their own.

False alarms count windows; "at most" is the upper end of a one-sided 95 % interval, as if alarms were independent.
Delays count windows from the first changed one; who never alarms within 72 windows counts as infinitely late.
"""

import argparse
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy.special import gammaincinv  # type: ignore[import-untyped] # ships no types

from bench.drift_peers import PEERS, alarms_of, installed
from bench.drift_rivals import Alarms, Rivals, matrix
from bench.drift_worlds import A_DAY, DEVICES, World, counted, worlds
from bench.figures import Figures
from functions.drift.channels import channels_of
from functions.drift.detector import Evidence, score
from functions.drift.policy import DriftSettings

BEFORE, AFTER = 24, 72
STILL_ROUNDS, CHANGED_ROUNDS = 8, 3
SHOWN = 4  # devices that river and NannyML see
OURS = "Refluent"
SETTINGS = DriftSettings()


@dataclass(frozen=True, slots=True)
class Round:
    """What was said of one reference and its devices.

    Attributes:
        world: Place of the world in `worlds()`.
        alarms: Per method, shape (devices, windows).
        named: The feature of each device's first alarm after the change, by our detector; "" for none.
    """

    world: int
    alarms: Alarms
    named: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """One method in one world.

    Attributes:
        still: Windows in which nothing had changed.
        false: Alarms in these.
        delays: Of the devices that changed.
        named: Whether each alarm named the right feature.
    """

    still: int = 0
    false: int = 0
    delays: list[float] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)

    def add(self, alarms: NDArray[np.bool_], world: World) -> None:
        changed = np.zeros(len(alarms), bool)
        changed[: world.drifting if world.change else 0] = True
        calm = np.concatenate([alarms[:, :BEFORE].ravel(), alarms[~changed, BEFORE:].ravel()])
        self.still, self.false = self.still + calm.size, self.false + int(calm.sum())
        after = alarms[changed, BEFORE:]
        self.delays += np.where(after.any(axis=1), after.argmax(axis=1) + 1.0, np.inf).tolist()

    @property
    def rate(self) -> float:
        """False alarms per 1000 devices and day."""
        return 1000 * A_DAY * self.false / self.still

    @property
    def at_most(self) -> float:
        """The same, at most, but for 5 %."""
        return 1000 * A_DAY * float(gammaincinv(self.false + 1, 0.95)) / self.still

    @property
    def power(self) -> float:
        return float(np.isfinite(self.delays).mean())

    @property
    def delay(self) -> float:
        return float(np.median(self.delays))


def one_round(place: int, seed: int, *, beside: bool, folder: Path | None) -> Round:
    """Let everybody judge 96 windows of 40 devices against one reference."""
    world = worlds()[place]
    columns, scores = world.reference(2 * seed + 1)
    profile = world.profile(columns, scores)
    channels = channels_of(profile, SETTINGS)
    evidence = [Evidence.none(len(channels.shares)) for _ in range(DEVICES)]
    rivals = Rivals.of(matrix(columns, scores)) if beside else None
    alarms: dict[str, list[NDArray[np.bool_]]] = defaultdict(list)
    named, shown = [""] * DEVICES, []
    stream = world.devices(DEVICES, 2 * seed).windows(BEFORE + AFTER, changed_from=BEFORE)
    for number, (seen, answers) in enumerate(stream):
        ours = np.zeros(DEVICES, bool)
        for device, counts in enumerate(counted(profile, dict(seen), answers)):
            evidence[device], finding = score(evidence[device], profile.by_stretch(counts), channels)
            if finding and finding.log_evidence >= log(SETTINGS.false_alarm_every):
                ours[device], evidence[device] = True, evidence[device].forgiven()
                if number >= BEFORE and not named[device]:
                    named[device] = finding.feature
        alarms[OURS].append(ours)
        if rivals:
            rows = matrix(seen, answers)
            for name, theirs in rivals.alarms(rows).items():
                alarms[name].append(theirs)
            shown.append(rows.reshape(DEVICES, -1, rows.shape[1])[:SHOWN])
    if folder and shown and world.shown:
        np.savez(folder / f"{place}.npz", reference=matrix(columns, scores), rows=np.stack(shown, axis=1))
    return Round(place, {name: np.stack(said, axis=1) for name, said in alarms.items()}, tuple(named))


def rounds(times: int, folder: Path, bar: Progress) -> Iterator[Round]:
    """All rounds of all worlds, on two processes."""
    jobs = [
        (place, seed)
        for place, world in enumerate(worlds())
        for seed in range(times * (CHANGED_ROUNDS if world.change else STILL_ROUNDS))
    ]
    with ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(one_round, *job, beside=job[1] == 0, folder=folder) for job in jobs]
        for future in bar.track(as_completed(futures), total=len(futures), description="worlds"):
            yield future.result()


def tallies(found: Sequence[Round]) -> Mapping[tuple[int, str], Tally]:
    """Everything that was said, by world and method."""
    known: dict[tuple[int, str], Tally] = defaultdict(Tally)
    for one in found:
        world = worlds()[one.world]
        for method, alarms in one.alarms.items():
            known[one.world, method].add(alarms, world)
        if world.change:
            known[one.world, OURS].named += [name == world.feature for name in one.named[: world.drifting] if name]
    return known


def tell(known: Mapping[tuple[int, str], Tally]) -> None:
    """A line a world: ours in full, of the others the false alarms, or the delay."""
    others = sorted({method for _, method in known} - {OURS})
    table = Table(
        "world", "windows", "false", "at most", "power", "delay", "named", *others, title="Drift, found and not"
    )
    for place, world in enumerate(worlds()):
        ours = known[place, OURS]
        found = [f"{ours.power:.0%}", f"{ours.delay:g}", f"{np.mean(ours.named):.0%}"] if ours.named else ["", "", ""]
        said = [_cell(known.get((place, method)), changed=bool(world.change)) for method in others]
        table.add_row(world.name, f"{ours.still:,}", f"{ours.rate:.3g}", f"{ours.at_most:.2g}", *found, *said)
    Console(width=220).print(table)
    Console().print("false: alarms per 1000 devices and day before anything changed; others: that, or the median delay")


def _cell(tally: Tally | None, *, changed: bool) -> str:
    if tally is None:
        return ""
    if not changed:
        return f"{tally.rate:,.0f} false"
    return f"{tally.delay:g}" if np.isfinite(tally.delay) else "miss"


def figures_of(known: Mapping[tuple[int, str], Tally]) -> Figures:
    """What the project promises, and each world's own."""
    named = {world.name: place for place, world in enumerate(worlds())}
    promised = [place for place, world in enumerate(worlds()) if world.contexts or not world.season]
    ours = [known[place, OURS] for place in promised]
    right = [one for tally in ours for one in tally.named]
    seasonal = sum(known[place, OURS].false for place in promised if worlds()[place].season)
    figures = Figures("Drift: what is promised")
    for name, value, of in (
        ("false_alarms_per_1000_devices_day_max", max(one.rate for one in ours), "most false alarms of any world"),
        ("false_alarms_per_1000_devices_day", _together(ours).rate, "false alarms, all worlds together"),
        ("false_alarms_per_1000_devices_day_at_most", _together(ours).at_most, "likewise, upper end of 95 %"),
        ("delay_half_sigma", known[named["0.5 sd"], OURS].delay, "windows until 0.5 sd is found, median"),
        ("delay_fifth_sigma", known[named["0.2 sd"], OURS].delay, "windows until 0.2 sd is found, median"),
        ("attribution_share", float(np.mean(right)), "first alarms that name what changed"),
        ("seasonal_alarms", float(seasonal), "false alarms in seasons with contexts"),
    ):
        figures.single(name, value, of=of)
    return figures


def _together(known: Sequence[Tally]) -> Tally:
    return Tally(still=sum(one.still for one in known), false=sum(one.false for one in known))


def main() -> None:
    arguments = argparse.ArgumentParser(prog="bench.drift_quality", description=__doc__)
    arguments.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments.add_argument("--rounds", type=int, default=1, help="times as many references")
    arguments.add_argument("--without-peers", action="store_true", help="without river and NannyML")
    given = arguments.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    folder = Path(".refluent/bench/drift-quality")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Progress() as bar:
        found = list(rounds(given.rounds, folder, bar))
        peers = [] if given.without_peers else [peer for peer in PEERS if installed(peer)]
        files = sorted(folder.glob("*.npz"))
        for file in bar.track(files, description="river, NannyML") if peers else []:
            found += [Round(int(file.stem), alarms_of(peer, file), ("",) * SHOWN) for peer in peers]
    known = tallies(found)
    tell(known)
    figures_of(known).tell(given.json)


if __name__ == "__main__":
    main()
