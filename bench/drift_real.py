"""`python -m bench.drift_real [--json FILE]`: what the detector says of a year of flights, and of a census by year.

Flights: each airport is a device, each day a window. On the first of every month from March on, a reference is made of
the 56 days before it, with site and weekday as contexts; the month's days are judged by it. No setting is fitted: the
defaults, with windows that end with the day.

Census: people of Massachusetts asked by the American Community Survey, as NannyML's wheel brings them; the reference is
2015, the windows are 2,000 rows of 2016 to 2018 in their order.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from bench import edge_peers
from bench.drift_peers import PEERS, installed
from bench.figures import Figures
from functions.drift.channels import channels_of
from functions.drift.detector import Evidence, Finding, score
from functions.drift.policy import DriftSettings
from laptop.flights import FEATURES, day_tables
from sketch.features import Column
from sketch.profile import Kind, Profile
from sketch.sketch import Sketch

REFERENCE_DAYS = 56
FLIGHTS: Mapping[str, Kind] = {
    name: "category" if name in ("carrier", "dest") else "number" for name in FEATURES if name != "weekday"
}
CENSUS = "lib/python*/site-packages/nannyml/datasets/data/employment_MA_{}.pq"
CENSUS_WINDOW = 2_000
SETTINGS = DriftSettings(scores=False)

type Columns = dict[str, Column]


@dataclass(frozen=True, slots=True)
class Said:
    """What one window led to.

    Attributes:
        when: The window, for people.
        device: Whose it is.
        finding: The loudest share.
        alarm: Whether it was an alarm.
    """

    when: str
    device: str
    finding: Finding
    alarm: bool


def judged(
    profile: Profile, settings: DriftSettings, windows: Iterable[tuple[str, str, Columns, Column]]
) -> Iterator[Said]:
    """Judge windows (when, device, columns, scores) in their order."""
    channels, known = channels_of(profile, settings), dict[str, Evidence]()
    for when, device, columns, scores in windows:
        sketch = Sketch(profile)
        sketch.add(columns, scores)
        evidence, finding = score(
            known.get(device) or Evidence.none(len(channels.shares)), profile.by_stretch(sketch.counts), channels
        )
        if finding is None:
            continue
        alarm = finding.log_evidence >= log(settings.false_alarm_every)
        known[device] = evidence.forgiven() if alarm else evidence
        yield Said(when, device, finding, alarm)


def columns_of(table: pa.Table, kinds: Mapping[str, Kind]) -> Columns:
    return {
        name: table[name].to_pylist() if kind == "category" else table[name].cast(pa.float64()).to_numpy()
        for name, kind in kinds.items()
    }


def flights() -> Iterator[Said]:
    """Every day from March on."""
    days: dict[date, list[tuple[str, pa.Table]]] = {}
    for site, day, table in day_tables(date(2013, 1, 1), date(2013, 12, 31)):
        days.setdefault(day, []).append((site, table))
    for month in range(3, 13):
        first = date(2013, month, 1)
        last = date(2013, month + 1, 1) if month < 12 else date(2014, 1, 1)  # noqa: PLR2004 - of a year
        before = [first - timedelta(days=number) for number in range(REFERENCE_DAYS, 0, -1)]
        parts = [_flown(site, table) for day in before for site, table in days.get(day, [])]
        usual = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        profile = Profile.build(
            usual,
            kinds=FLIGHTS,
            scores=np.zeros(len(usual["site"])),
            pairs=[("temp", "dewp")],
            contexts=("site", "weekday"),
            sequences=usual["site"],
        )
        month_days = [first + timedelta(days=number) for number in range((last - first).days)]
        yield from judged(
            profile,
            SETTINGS,
            (
                (str(day), site, _flown(site, table), np.zeros(table.num_rows))
                for day in month_days
                for site, table in days.get(day, [])
            ),
        )


def _flown(site: str, table: pa.Table) -> Columns:
    return {
        **columns_of(table, FLIGHTS),
        "weekday": table["weekday"].to_numpy(),
        "site": np.full(table.num_rows, site, object),
    }


def census() -> Iterator[Said]:
    """2016 to 2018, against 2015; nothing when the data is not there."""
    nannyml = next(peer for peer in PEERS if peer.name == "nannyml")
    if not installed(nannyml):
        return
    home = edge_peers.HOME / nannyml.name
    reference, later = (pq.read_table(next(home.glob(CENSUS.format(part)))) for part in ("reference", "analysis"))
    names = [name for name in reference.column_names if name not in ("id", "employed", "year", "prediction", ANSWER)]
    kinds: dict[str, Kind] = {name: "number" if name == "AGEP" else "category" for name in names}
    profile = Profile.build(columns_of(reference, kinds), kinds=kinds, scores=reference[ANSWER].to_numpy())
    starts = range(0, later.num_rows - CENSUS_WINDOW + 1, CENSUS_WINDOW)
    parts = [later.slice(start, CENSUS_WINDOW) for start in starts]
    yield from judged(
        profile,
        DriftSettings(),
        ((str(part["year"][0].as_py()), "MA", columns_of(part, kinds), part[ANSWER].to_numpy()) for part in parts),
    )


ANSWER = "predicted_probability"


def tell(title: str, said: list[Said], *, period: int) -> None:
    """A line a period: how many windows, alarms, and what they named."""
    table = Table("period", "windows", "alarms", "what they named", title=title, title_justify="left")
    for name in sorted({one.when[:period] for one in said}):
        own = [one for one in said if one.when[:period] == name]
        named = Counter(one.finding.feature for one in own if one.alarm).most_common(4)
        told = ", ".join(f"{feature} {count}" for feature, count in named)
        table.add_row(name, str(len(own)), str(sum(one.alarm for one in own)), told)
    Console(width=160).print(table)


def days_with_alarms(said: list[Said]) -> Iterator[tuple[str, list[Said]]]:
    """Days on which an airport alarmed, with what each said."""
    for day in sorted({one.when for one in said if one.alarm}):
        yield day, [one for one in said if one.when == day and one.alarm]


def _told(one: Said) -> str:
    found = one.finding
    return f"{one.device}: {found.feature}, {found.words}: {found.before:.1%} → {found.after:.1%}"


def main() -> None:
    arguments = argparse.ArgumentParser(prog="bench.drift_real", description=__doc__)
    arguments.add_argument("--json", type=Path, help="also write the figures to this file")
    given = arguments.parse_args()
    year, people = list(flights()), list(census())
    tell("Flights out of New York, 2013: days of each airport", year, period=len("2013-01"))
    for day, alarms in days_with_alarms(year):
        print(f"{date.fromisoformat(day):%a %d %b}  " + "; ".join(map(_told, alarms)))
    figures = Figures("Real data")
    figures.single(
        "flights_alarm_share", sum(one.alarm for one in year) / len(year), of="days of an airport that alarm"
    )
    if people:
        tell("Census of Massachusetts against 2015: windows of 2,000 people", people, period=len("2016"))
        for year_name in sorted({one.when for one in people}):
            first = next((one for one in people if one.when == year_name and one.alarm), None)
            print(f"{year_name}, first alarm  " + (_told(first) if first else "none"))
        share = sum(one.alarm for one in people) / len(people)
        figures.single("census_alarm_share", share, of="windows of 2,000 people that alarm")
    figures.tell(given.json)


if __name__ == "__main__":
    main()
