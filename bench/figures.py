"""What a command under bench/ measured: a table for people, and one flat JSON object for everything else."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table


class Figures:
    """Measurements under names that end with their unit, such as start_s.

    Args:
        title: What was measured.
    """

    def __init__(self, title: str) -> None:
        self._table = Table("figure", "min", "median", "max", title=title, title_justify="left")
        for column in self._table.columns[1:]:
            column.justify = "right"
        self.flat: dict[str, float | bool] = {}

    def spread(self, name: str, samples: Sequence[float], *, of: str) -> None:
        """Take several measurements of one thing; `of` says what it is."""
        least, middle, most = min(samples), median(samples), max(samples)
        self.flat |= {f"{name}_min": least, f"{name}_median": middle, f"{name}_max": most}
        self._table.add_row(f"{of} ({_unit(name)})", *(f"{value:,.3g}" for value in (least, middle, most)))

    def single(self, name: str, value: float | bool, *, of: str) -> None:  # noqa: FBT001 - it is the figure
        """Take one figure."""
        self.flat[name] = value
        shown = str(value) if isinstance(value, bool) else f"{value:,.4g}"
        self._table.add_row(f"{of} ({_unit(name)})" if _unit(name) else of, "", shown, "")

    def tell(self, file: Path | None) -> None:
        """Print the table, and write the file if there is one."""
        Console().print(self._table)
        if file:
            file.write_text(json.dumps(self.flat, indent=1) + "\n", encoding="utf-8")


def _unit(name: str) -> str:
    if name.endswith("_per_s"):
        return "1/s"
    return {"s": "s", "mib": "MiB", "us": "µs"}.get(name.rpartition("_")[2], "")
