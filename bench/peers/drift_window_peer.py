"""One drift window by another library, timed in its own environment: python drift_window_peer.py NAME FILE.npz."""

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")
TIMES, AT_MOST_S = 5, 60.0


def main() -> None:
    """Print a JSON object: milliseconds per method, the least of a few times."""
    name, file = sys.argv[1:]
    data = np.load(file)
    print(json.dumps({method: milliseconds(job) for method, job in JOBS[name](data).items()}))


def milliseconds(job: Callable[[], Any]) -> float:
    """The least of five times, or of as many as a minute allows."""
    taken: list[float] = []
    while len(taken) < TIMES and sum(taken) < AT_MOST_S:
        began = time.perf_counter()
        job()
        taken.append(time.perf_counter() - began)
    return 1000 * min(taken)


def frames(data: Any) -> tuple[Any, Any]:
    """Reference and window as pandas knows them; its categories are coded, as ours are."""
    import pandas as pd  # type: ignore[import-untyped]

    def frame(which: str) -> Any:
        numbers, codes = data[f"{which}_numbers"], data[f"{which}_codes"]
        table = pd.DataFrame({f"n{place}": numbers[place] for place in range(len(numbers))})
        for place, column in enumerate(codes):
            table[f"c{place}"] = pd.Categorical.from_codes(column, data["names"].tolist())
        return table

    return frame("reference"), frame("window")


def evidently(data: Any) -> dict[str, Callable[[], Any]]:
    from evidently import DataDefinition, Dataset, Report  # type: ignore[import-not-found]
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found]

    kinds = DataDefinition(
        numerical_columns=[f"n{place}" for place in range(len(data["window_numbers"]))],
        categorical_columns=[f"c{place}" for place in range(len(data["window_codes"]))],
    )
    before, now = (
        Dataset.from_pandas(frame.astype({c: str for c in frame if c[0] == "c"}), data_definition=kinds)
        for frame in frames(data)
    )
    return {
        "evidently_preset": lambda: Report([DataDriftPreset()]).run(now, before).dict(),
        "evidently_psi": lambda: Report([DataDriftPreset(num_method="psi", cat_method="psi")]).run(now, before).dict(),
    }


def nannyml(data: Any) -> dict[str, Callable[[], Any]]:
    import nannyml as nml  # type: ignore[import-not-found]

    before, now = frames(data)

    def fitted(numbers: list[str], names: list[str]) -> Any:
        calculator = nml.UnivariateDriftCalculator(
            column_names=list(before.columns),
            treat_as_categorical=[name for name in before if name[0] == "c"],
            continuous_methods=numbers,
            categorical_methods=names,
            chunk_size=len(now),
        )
        return calculator.fit(before)

    js = fitted(["jensen_shannon"], ["jensen_shannon"])
    three = fitted(["jensen_shannon", "kolmogorov_smirnov", "wasserstein"], ["jensen_shannon", "chi2", "l_infinity"])
    return {"nannyml_js": lambda: js.calculate(now), "nannyml_three": lambda: three.calculate(now)}


def frouros(data: Any) -> dict[str, Callable[[], Any]]:
    from frouros.detectors.data_drift import EMD, JS, PSI, KSTest  # type: ignore[import-not-found]

    before, now = data["reference_numbers"], data["window_numbers"]

    def job(method: type) -> Callable[[], Any]:
        fitted = [method() for _ in before]
        for one, column in zip(fitted, before, strict=True):
            one.fit(X=column)
        return lambda: [one.compare(X=column) for one, column in zip(fitted, now, strict=True)]

    return {"frouros_psi": job(PSI), "frouros_js": job(JS), "frouros_ks": job(KSTest), "frouros_emd": job(EMD)}


def alibi_detect(data: Any) -> dict[str, Callable[[], Any]]:
    from alibi_detect.cd import TabularDrift  # type: ignore[import-not-found]

    numbers = len(data["window_numbers"])
    before, now = (np.vstack([data[f"{which}_numbers"], data[f"{which}_codes"]]).T for which in ("reference", "window"))
    named = {numbers + place: None for place in range(len(data["window_codes"]))}
    detector = TabularDrift(before, p_val=0.05, categories_per_feature=named, correction="fdr")
    return {"alibi_tabular": lambda: detector.predict(now)}


def whylogs(data: Any) -> dict[str, Callable[[], Any]]:
    import whylogs as why  # type: ignore[import-not-found]
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores  # type: ignore[import-not-found]

    before, now = frames(data)
    known = why.log(before).profile().view()
    return {
        "whylogs": lambda: calculate_drift_scores(
            target_view=why.log(now).profile().view(), reference_view=known, with_thresholds=True
        )
    }


def scipy(data: Any) -> dict[str, Callable[[], Any]]:
    from scipy import stats  # type: ignore[import-untyped]

    pairs = list(zip(data["reference_numbers"], data["window_numbers"], strict=True))
    return {
        "scipy_ks": lambda: [stats.ks_2samp(before, now, method="asymp") for before, now in pairs],
        "scipy_wasserstein": lambda: [stats.wasserstein_distance(before, now) for before, now in pairs],
    }


JOBS: dict[str, Callable[[Any], dict[str, Callable[[], Any]]]] = {
    "evidently": evidently,
    "nannyml": nannyml,
    "frouros": frouros,
    "alibi-detect": alibi_detect,
    "whylogs": whylogs,
    "scipy": scipy,
}

if __name__ == "__main__":
    main()
