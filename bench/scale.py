"""`python -m bench.scale`: 100 to 1,000,000 devices on paper, and how much a sketch saves, measured.

Limits are those of the vendor's documents; prices are list prices that others quote, in euros, and not read from an
offer. docs/scale.md says where from.
"""

import json
from dataclasses import dataclass
from math import ceil, exp

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.drift_messages import ROWS_PER_SKETCH, drawn, profile, sketched
from sketch.features import NumberFeature
from sketch.sketch import Sketch

FLEETS = (100, 1_000, 10_000, 100_000, 1_000_000)
A_DAY = 24 * 60  # messages of a device: one a minute
DAYS = 30.4
ENVELOPE_BYTES = 480  # of a message beside its sketch
HUBS = {  # of a unit: messages a day, sends a second, euros a month; and how many units a hub may have
    "S1": (400_000, 12, 23.0, 200),
    "S2": (6_000_000, 120, 230.0, 200),
    "S3": (300_000_000, 6_000, 2_300.0, 10),
}
HUB_SENDS = 100  # a second, of any hub
EVENT_HUB_BYTES, EVENT_HUB_EVENTS, EVENT_HUB_EUROS = 1_000_000, 1_000, 20.0  # a throughput unit: in a second; month
EVENT_EUROS = 0.026e-6  # a message that Event Hubs takes in
TABLE_EUROS = 0.00033 / 1e4  # an operation
GB_SECOND_EUROS, CALL_EUROS, INSTANCE_GB = 0.000024, 0.37e-6, 2.0
LEAST_S = 1.0  # of an instance, paid for whenever it has something to do
DEVICE_MS, MESSAGE_MS = 8.0, 0.2  # of an instance: a device's row read, scored and written; a message read
BATCH = 100  # messages of an invocation, at most


@dataclass(frozen=True, slots=True)
class Month:
    """What a fleet needs when each device sends one message a minute.

    Args:
        devices: How many there are.
        bytes_each: Of a message.
    """

    devices: int
    bytes_each: int

    @property
    def a_second(self) -> float:
        return self.devices / 60

    @property
    def chunks_a_day(self) -> float:
        """Messages as the hub counts them: 4 KiB each."""
        return self.devices * A_DAY * ceil(self.bytes_each / 4_096)

    @property
    def hub(self) -> tuple[str, int, float]:
        offers = [(name, self._units(a_day, sends), euros) for name, (a_day, sends, euros, _) in HUBS.items()]
        within = [offer for offer in offers if offer[1] <= HUBS[offer[0]][3]]
        name, units, euros = min(within, key=lambda offer: offer[1] * offer[2])
        return name, units, units * euros

    def _units(self, a_day: int, sends: int) -> int:
        return max(ceil(self.chunks_a_day / a_day), ceil(self.a_second / sends) if self.a_second > HUB_SENDS else 1)

    @property
    def event_hub_units(self) -> int:
        return ceil(max(self.a_second * self.bytes_each / EVENT_HUB_BYTES, self.a_second / EVENT_HUB_EVENTS, 1))

    @property
    def batch(self) -> int:
        """Messages of an invocation: the host waits for no second one, unless they come faster than they are read."""
        return 1 if self.a_second * (DEVICE_MS + MESSAGE_MS) / 1e3 < 1 else BATCH

    @property
    def distinct(self) -> float:
        """Devices of a batch: nearly as many as messages, unless the fleet is small."""
        return self.devices * (1 - (1 - 1 / self.devices) ** self.batch)

    @property
    def calls(self) -> float:
        """Of the function, a second."""
        return self.a_second / self.batch

    @property
    def work(self) -> float:
        """Of instances: seconds a second, one device after another."""
        return self.calls * (self.distinct * DEVICE_MS + self.batch * MESSAGE_MS) / 1e3

    @property
    def instances(self) -> int:
        return ceil(self.work)

    @property
    def paid(self) -> float:
        """Of instances, seconds a second; few calls come by chance, and each begins a second or is in one."""
        return max(self.work, 1 - exp(-self.calls * LEAST_S))

    @property
    def operations(self) -> float:
        """Of tables, a second: a row is read and written for each device of each batch."""
        return self.calls * self.distinct * 2

    @property
    def euros(self) -> float:
        seconds = 86_400 * DAYS
        functions = self.paid * INSTANCE_GB * GB_SECOND_EUROS + self.calls * CALL_EUROS
        hubs = self.hub[2] + self.event_hub_units * EVENT_HUB_EUROS
        return hubs + seconds * (functions + self.a_second * EVENT_EUROS + self.operations * TABLE_EUROS)


def main() -> None:
    """Tell."""
    for rows in (1_000, 4_000, 10_000):
        small, large = saved(rows)
        print(
            f"{rows:,} rows of 25 features: {large:,} bytes raw, {small:,} as a sketch: {large / small:.0f} times fewer"
        )
    sketch_bytes, _ = saved(ROWS_PER_SKETCH)
    print(f"largest rank error of 100 merged sketches, anywhere between the cells' edges: {rank_error():.5f}")
    columns = ("messages/s", "MB/s", "IoT Hub", "Event Hubs units", "instances", "table ops/s", "euros/month")
    table = Table("devices", *columns)
    for devices in FLEETS:
        month = Month(devices, sketch_bytes)
        tier, units, _ = month.hub
        numbers = (month.a_second, month.a_second * sketch_bytes / 1e6)
        table.add_row(
            f"{devices:,}",
            *(f"{number:,.1f}" for number in numbers),
            f"{units} {tier}",
            str(month.event_hub_units),
            str(month.instances),
            f"{month.operations:,.0f}",
            f"{month.euros:,.0f}",
        )
    Console(width=120).print(table)


def saved(rows: int) -> tuple[int, int]:
    """Bytes of a message with a sketch of some rows, and of the same rows raw."""
    rng = np.random.default_rng(3)
    columns = drawn(rng, rows)
    raw = [{name: values[n] for name, values in columns.items()} for n in range(rows)]
    return len(sketched(rng, rows)) + ENVELOPE_BYTES, len(json.dumps(raw, separators=(",", ":")))


def rank_error() -> float:
    """The worst of a value's rank in 100 merged sketches, as a share of their rows."""
    rng, merged, seen = np.random.default_rng(4), Sketch(profile()), list[list[object]]()
    for _ in range(100):
        more = drawn(rng, ROWS_PER_SKETCH)
        one = Sketch(profile())
        one.add(more, rng.random(ROWS_PER_SKETCH))
        merged += one
        seen.append(more["n0"])
    feature, cells = profile().blocks[0]
    edges = [feature.edge(edge) for edge in range(257)] if isinstance(feature, NumberFeature) else []
    values = np.sort(np.array(seen, np.float64).ravel())
    ours = np.interp(values, edges, np.cumsum(merged.counts[cells])[:257] / merged.rows)
    below, upto = (np.searchsorted(values, values, side=side) / len(values) for side in ("left", "right"))
    inside = (values > edges[0]) & (values < edges[-1])
    return float(np.maximum(below - ours, ours - upto)[inside].max())


if __name__ == "__main__":
    main()
