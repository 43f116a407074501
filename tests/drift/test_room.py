"""Models with many features: a device's state is kept over several properties, and what can never fit is set aside."""

import json
import logging
from collections.abc import Iterator
from copy import replace
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from functions import field
from functions.drift.detector import Evidence
from functions.drift.ledger import MOST_EPOCHS, MOST_STRETCHES, Epoch, Ledger, Stretch
from functions.drift.room import BESIDE, FEW_STARTS, fitting
from functions.drift.state import DeviceState, most_bytes
from functions.drift.trigger import score_drift_on_telemetry
from functions.drift.window import Slot
from functions.ports import ROW_LIMIT, Row, weight
from functions.settings import Settings
from functions.wiring import using
from tests import wide
from tests.drift.test_trigger import PROFILE, quarantined, routed, told
from tests.fakes.cloud import ENVIRONMENT, ONE_BY_ONE, FakeCloud

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DICE = np.random.default_rng(7)


def cloud_with(folder: Path, *, model: int, features: str = "[]") -> FakeCloud:
    """An app with the wide loop, whose model has so many numbers, and with the loop of test_trigger.py."""
    settings = {**ENVIRONMENT, **ONE_BY_ONE, **wide.loops(folder, features=features)}
    folder.joinpath("flight-delays.toml").write_text(Path("tests/loops/flight-delays.toml").read_text())
    here = FakeCloud(settings=Settings.model_validate(settings))
    here.blobs.put("models", f"{wide.LOOP}/1/profile.json", wide.profile(model).to_json().encode())
    here.blobs.put("models", "flight-delays/1/profile.json", PROFILE.to_json().encode())
    return here


def test_a_device_of_a_model_of_140_features_is_counted_once_whatever_its_state_takes(tmp_path: Path) -> None:
    with using(cloud_with(tmp_path, model=140)) as here:
        for sequence in range(4):
            for _ in range(2):
                score_drift_on_telemetry([wide.message(140, sequence), routed(told(sequence))])
        assert isinstance(here, FakeCloud)
        assert not quarantined(here)
        stored = here.rows.get("devices", wide.LOOP, "lga/inference")
        beside = here.rows.get("devices", "flight-delays", "lga/inference")
    assert stored
    assert beside
    state = stored.row["state"]
    assert isinstance(state, bytes)
    assert len(state) > 64 * 1024
    assert DeviceState.from_bytes(state).evidence.windows == 2
    assert beside.row["reason"] == "400 of 2000 rows of window 1"


def test_a_model_that_can_never_fit_is_set_aside_and_its_neighbours_count(tmp_path: Path) -> None:
    with using(cloud_with(tmp_path, model=500)) as here:
        for _ in range(2):
            score_drift_on_telemetry([routed(told(0)), wide.message(500, 0), routed(told(1))])
        assert isinstance(here, FakeCloud)
        assert quarantined(here) == ["TEL_WIDE"]
        assert here.rows.get("devices", wide.LOOP, "lga/inference") is None
        stored = here.rows.get("devices", "flight-delays", "lga/inference")
        ((_, name),) = [at for at in here.blobs.blobs if at[0] == "quarantine"]
        document = json.loads(here.blobs.blobs["quarantine", name])
    assert stored
    assert stored.row["reason"] == "200 of 2000 rows of window 1"
    assert f"which has room for {ROW_LIMIT - BESIDE}" in document["why"]
    assert f"drift.features in loops/{wide.LOOP}.toml" in document["fix"]


def test_the_same_model_is_counted_where_the_loop_watches_fewer_of_its_features(tmp_path: Path) -> None:
    with using(cloud_with(tmp_path, model=500, features='["temp"]')) as here:
        score_drift_on_telemetry([wide.message(500, 0)])
        assert isinstance(here, FakeCloud)
        assert not quarantined(here)
        assert here.rows.get("devices", wide.LOOP, "lga/inference")


def floats(*shape: int) -> NDArray[np.float32]:
    """Numbers without any pattern: nothing can pack them."""
    return DICE.integers(0, 2**31, shape, np.uint32).view(np.float32)


def starts(many: int, *, gaps: int) -> Iterator[Epoch]:
    """Starts of a device's process, each with gaps in its messages."""
    firsts = count(1, 7_000_001)
    for _ in range(many):
        some = (Stretch(first, first + 3, 10**15 + first) for first in islice(firsts, gaps))
        yield Epoch(DICE.bytes(16).hex(), tuple(some), 10**9)


def state_without_pattern(*, places: int, tests: int, ledger: Ledger) -> DeviceState:
    """A state that is as large as it can be: no number is like another."""
    counts = DICE.integers(0, 2**62, (3, places))
    tested = floats(9, 2, tests)
    told = (tested[place] for place in range(4, 8))
    evidence = Evidence(10**6, tested[:4], next(told), next(told), next(told), next(told), tested[8].view(np.uint32))
    waiting = tuple(Slot(10**15 + n, 10**9, counts[1 + n]) for n in range(2))
    names = ("d" * 128, "m" * 63, "1", "0" * 16, "0" * 16)
    return DeviceState(*names, ledger, 1, counts[0], evidence, waiting=waiting)


def beside() -> Row:
    """All that a row has beside its state, as large as it becomes."""

    def numbers(count: int) -> tuple[int, ...]:
        return tuple(DICE.integers(0, 10**6, count).tolist())

    periods = tuple(field.Period(n, n * 7, n * 5, n * 3, numbers(16), numbers(66)) for n in range(field.MOST_PERIODS))
    judged = tuple(field.Judged(n, *numbers(2), *DICE.random(4).tolist()) for n in range(field.MOST_PERIODS))
    use = field.Use("0" * 16, 10**9, 10**9, periods, "x" * 1000, judged=judged)
    uses = {str(version): use for version in range(field.MOST_VERSIONS)}
    texts = dict.fromkeys(("reason", "explanation", "words", "feature"), "x" * 1_000)
    return {field.COLUMN: field.to_bytes(uses), **texts, "log_peak": 1.0, "missing": 7}


@pytest.mark.parametrize("places", [8_850, 30_000])
def test_the_widest_model_that_is_taken_fits_into_a_row_whatever_its_devices_tell(
    places: int, caplog: pytest.LogCaptureFixture
) -> None:
    tests = (ROW_LIMIT - BESIDE - most_bytes(places=places, tests=0)) // most_bytes(places=0, tests=1)
    ledger = Ledger(tuple(starts(MOST_EPOCHS, gaps=MOST_STRETCHES)))
    state, other = state_without_pattern(places=places, tests=tests, ledger=ledger), beside()
    with caplog.at_level(logging.WARNING):
        row = fitting(other, state, NOW)
    assert 0.9 * ROW_LIMIT < weight(row) <= ROW_LIMIT
    assert {**row, **other} == row
    assert isinstance(row["state"], bytes)
    kept = DeviceState.from_bytes(row["state"])
    assert kept == replace(state, ledger=Ledger(state.ledger.epochs[-FEW_STARTS:]))
    assert f"only {FEW_STARTS} starts" in caplog.text


def test_a_state_that_fits_is_kept_as_it_is_with_every_start_of_its_process() -> None:
    state = state_without_pattern(places=500, tests=480, ledger=Ledger(tuple(starts(MOST_EPOCHS, gaps=1))))
    row = fitting({}, state, NOW)
    assert isinstance(row["state"], bytes)
    assert DeviceState.from_bytes(row["state"]) == state
