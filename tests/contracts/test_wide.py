"""A model of many features through the trigger function, with the rows in memory and in Table Storage."""

from dataclasses import replace
from pathlib import Path

import pytest

from functions import field
from functions.drift.keep import Books, Folded, kept_together
from functions.drift.state import DeviceState
from functions.drift.trigger import score_drift_on_telemetry
from functions.ports import Write
from functions.settings import Settings
from functions.wiring import Azure, Cloud, using
from laptop.settings import app_settings
from laptop.stack import Stack
from tests import wide
from tests.fakes.cloud import ENVIRONMENT, FakeCloud

FEATURES = 140


@pytest.fixture
def here(cloud: Cloud, request: pytest.FixtureRequest, tmp_path: Path) -> Cloud:
    """The cloud, of an app that has a loop with a wide model."""
    if isinstance(cloud, FakeCloud):
        ours: Cloud = replace(cloud, settings=Settings.model_validate({**ENVIRONMENT, **wide.loops(tmp_path)}))
    else:
        stack: Stack = request.getfixturevalue("stack")
        ours = Azure(Settings.model_validate({**app_settings(stack), **wide.loops(tmp_path)}))
    ours.blobs.put("models", f"{wide.LOOP}/1/profile.json", wide.profile(FEATURES).to_json().encode())
    return ours


def test_devices_of_a_wide_model_are_counted_once_together_and_alone(here: Cloud, unique: str) -> None:
    devices = [f"{unique}-{number}" for number in range(3)]
    with using(here):
        for sequence in range(4):
            batch = [wide.message(FEATURES, sequence, device=device) for device in devices]
            score_drift_on_telemetry(batch)
            score_drift_on_telemetry(batch[:1])
    for device in devices:
        stored = here.rows.get(field.DEVICES, wide.LOOP, f"{device}/inference")
        assert stored
        assert isinstance(stored.row["state"], bytes)
        assert len(stored.row["state"]) > 64 * 1024
        assert DeviceState.from_bytes(stored.row["state"]).evidence.windows == 2


def test_rows_that_are_too_many_for_one_request_are_written_in_several(here: Cloud, unique: str) -> None:
    loop = here.settings.loops[wide.LOOP]
    writes = [Write(f"{unique}-{number}", {"state": bytes(600_000)}, None) for number in range(8)]
    folded = [Folded(loop, write, Books({}, frozenset()), ()) for write in writes]
    kept = kept_together(here, folded)
    assert all(one in kept for one in folded)
    assert all(here.rows.get(field.DEVICES, wide.LOOP, write.key) for write in writes)
