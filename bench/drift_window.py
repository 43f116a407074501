"""One drift window of 100,000 rows and 25 features, every distance: ours, other libraries, one pass over the memory.

The reference is known before the clock starts, in whatever form a library keeps it. Ours counts the rows on the
reference's grids and computes PSI, Jensen-Shannon, Kolmogorov-Smirnov, Wasserstein-1, total variation and chi-square
of every feature they are for. All run on one core, one after another.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from bench import edge_peers
from bench.drift_peers import NANNYML
from bench.figures import Figures
from sketch.distance import chi_square, jensen_shannon, kolmogorov_smirnov, psi, total_variation, wasserstein
from sketch.features import CategoryFeature, Coded, Column, NumberFeature
from sketch.profile import Kind, Profile
from sketch.sketch import Sketch

ROWS, NUMBERS, CATEGORIES, NAMES, TIMES = 100_000, 20, 5, 20, 21
SCRIPT = Path(__file__).parent / "peers" / "drift_window_peer.py"
PINS = Path(__file__).parent / "peers" / "alibi-detect.txt"  # what it asks for has no wheels for Python 3.13
PEERS = {  # as each imports on Python 3.13, or says nothing about the versions it cannot do with
    "evidently": ("evidently==0.7.23", "pandas==2.3.3", "numpy==2.3.5"),
    "nannyml": NANNYML,
    "frouros": ("frouros==0.9.0",),
    "alibi-detect": ("alibi-detect==0.13.0", "--only-binary", ":all:", "--override", str(PINS)),
    "whylogs": ("whylogs[viz]==1.6.4", "pandas==2.3.3", "setuptools<81"),
    "scipy": ("scipy==1.18.1", "numpy"),
}

type Data = dict[str, NDArray[np.generic]]


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--without-peers", action="store_true", help="ours and the pass over the memory only")
    given = parser.parse_args()
    data = rows()
    figures = Figures(f"one window of {ROWS:,} rows, {NUMBERS} numbers and {CATEGORIES} categories")
    profile, columns = reference(data)
    whole = np.ascontiguousarray(data["window_numbers"])
    passes, ours = alternately(whole.sum, lambda: window(profile, columns))
    figures.spread("memory_pass_ms", passes, of="one pass over the numbers' memory, ms")
    figures.spread("window_ms", ours, of="ours: counts and six distances, ms")
    mine = float(np.median(ours))
    figures.single("ours_ms", mine, of="ours, median, ms")
    figures.single("ratio_memory_pass", mine / float(np.median(passes)), of="ours over one pass, medians")
    for name in () if given.without_peers else PEERS:
        for method, taken in theirs(name, data).items():
            figures.single(f"{method}_ms", taken, of=f"{method}, least, ms")
            figures.single(_ratio(method), taken / mine, of=f"{method} over ours")
    figures.tell(given.json)


def _ratio(method: str) -> str:
    return "ratio_evidently" if method == "evidently_preset" else f"ratio_{method}"


def rows() -> Data:
    """A reference and a window a little apart: normal numbers of any scale, twenty equally frequent names."""
    rng = np.random.default_rng(20)
    scale = rng.uniform(0.1, 100, (NUMBERS, 1))
    found: Data = {"names": np.array([f"name-{place}" for place in range(NAMES)])}
    for which, apart in (("reference", 0.0), ("window", 0.1)):
        found[f"{which}_numbers"] = scale * rng.normal(apart, 1, (NUMBERS, ROWS))
        found[f"{which}_codes"] = rng.integers(0, NAMES, (CATEGORIES, ROWS))
    return found


def reference(data: Data) -> tuple[Profile, dict[str, Column]]:
    """The profile of the reference, and the window's columns."""
    names = data["names"].tolist()

    def columns(which: str) -> dict[str, Column]:
        numbers = {f"n{place}": column for place, column in enumerate(data[f"{which}_numbers"])}
        return numbers | {f"c{place}": Coded(codes, names) for place, codes in enumerate(data[f"{which}_codes"])}

    kinds: dict[str, Kind] = {name: "number" if name[0] == "n" else "category" for name in columns("window")}
    return Profile.build(columns("reference"), kinds=kinds, scores=np.zeros(ROWS)), columns("window")


def window(profile: Profile, columns: dict[str, Column]) -> list[NDArray[np.float64]]:
    """The job: count, and compare."""
    sketch = Sketch(profile)
    sketch.add(columns, np.zeros(ROWS))
    numbers = [(feature, cells) for feature, cells in profile.watched if isinstance(feature, NumberFeature)]
    before, now = (np.stack([counts[cells] for _, cells in numbers]) for counts in (profile.counts, sketch.counts))
    width = np.array([feature.width for feature, _ in numbers])
    found = [
        distance(before, now) for distance in (psi, jensen_shannon, kolmogorov_smirnov, total_variation, chi_square)
    ]
    found.append(wasserstein(before, now, width=width))
    for feature, cells in profile.watched:
        if isinstance(feature, CategoryFeature):
            counts = profile.counts[cells], sketch.counts[cells]
            found += [distance(*counts) for distance in (psi, jensen_shannon, total_variation, chi_square)]
    return found


def alternately(one: Callable[[], object], other: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Milliseconds of two jobs that take turns, so that noise meets both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(TIMES):
        for job, times in zip((one, other), taken, strict=True):
            began = perf_counter()
            job()
            times.append(1000 * (perf_counter() - began))
    return taken


def theirs(name: str, data: Data) -> dict[str, float]:
    """Milliseconds per method of another library; none if it cannot be installed or run here, which is said."""
    if not edge_peers.environment(f"window-{name}", PEERS[name]):
        return {}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npz"
        np.savez(file, **data)  # type: ignore[arg-type] # arrays by name
        python = edge_peers.HOME / f"window-{name}" / "bin" / "python"
        quiet = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
        ran = subprocess.run([python, SCRIPT, name, file], env=quiet, capture_output=True, text=True, check=False)
    if ran.returncode:
        print(f"!!! {name} DOES NOT RUN HERE, its ratio is missing: {ran.stderr.strip().splitlines()[-1:]}", flush=True)
        return {}
    found: dict[str, float] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
