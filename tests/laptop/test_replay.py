"""From a function that fails to a dead letter, and back: real host, real relay, real SDKs."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.app_process import ROOT, app_process
from functions.cloud.identity import credential
from functions.operator.cli import app
from functions.retraining.ledger import UPLOADS
from functions.settings import Settings
from functions.wiring import Azure, using
from laptop.event_grid.relay import EventGrid, Filter, RetryPolicy, Subscription
from laptop.identity import Identity
from laptop.provision import make_containers
from laptop.settings import app_settings
from laptop.stack import ACCOUNT_ID, BLOB_PORT, EVENT_GRID_PORT, IDENTITY_PORT, Stack
from laptop.storage.front import front
from tests.fakes.cloud import OWN_LOOPS
from tests.laptop.serving import eventually, http_server, https_server, serving

pytestmark = pytest.mark.enable_socket
COUNT = "count_upload_on_blob_created"
BLOB = "flight-delays/jfk/2013-01-01.parquet"
SCHEDULES = {"LOOP_SCHEDULE": "0 0 0 1 1 *", "RECONCILE_SCHEDULE": "* * * * * *"}


@contextmanager
def cloud_of(stack: Stack) -> Iterator[EventGrid]:
    """Storage that tells of uploads, and a relay that gives up after one try."""
    identity = Identity(stack)
    wanted = Subscription(
        name=COUNT.replace("_", "-"),
        source=ACCOUNT_ID,
        endpoint=f"{stack.host_url}/runtime/webhooks/eventgrid?functionName={COUNT}",
        filter=Filter(subject_begins_with="/blobServices/default/containers/landing/"),
        retry=RetryPolicy(attempts_max=1),
    )
    with closing(EventGrid(stack, [wanted], identity)) as grid:
        servers = (
            http_server(identity.app(), stack, IDENTITY_PORT),
            https_server(front(stack, grid.emit), stack, BLOB_PORT),
            https_server(grid.app(), stack, EVENT_GRID_PORT),
        )
        with serving(*servers, beside=[grid.run]):
            yield grid


@pytest.fixture
def settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    for name, value in stack.sdk_environment().items():
        monkeypatch.setenv(name, value)
    credential.cache_clear()
    yield {**app_settings(stack), **SCHEDULES, "LOOPS_FOLDER": str(Path(OWN_LOOPS["LOOPS_FOLDER"]).resolve())}
    credential.cache_clear()


def test_an_upload_that_no_function_took_is_counted_once_after_a_replay(stack: Stack, settings: dict[str, str]) -> None:
    broken = {
        **settings,
        "DATA_TABLE_ENDPOINT": f"{settings['DATA_TABLE_ENDPOINT']}-not",
        "RECONCILE_SCHEDULE": "0 0 0 1 1 *",
    }
    here = Azure(Settings.model_validate(settings))

    def replay(*arguments: str) -> dict[str, int]:
        said = CliRunner().invoke(app, ["replay", "--json", *arguments], catch_exceptions=False)
        found: dict[str, int] = json.loads(said.stdout)["summary"]
        return found

    def counted() -> list[object]:
        return [stored.row["blob"] for stored in here.rows.find(UPLOADS, "flight-delays", blob=BLOB)]

    with cloud_of(stack) as grid, using(here):
        make_containers(stack)
        with app_process(stack, ROOT, broken):
            here.blobs.put("landing", BLOB, b"PAR1")
            eventually(lambda: grid.statistics()["total"]["dead_lettered"] == 1, "no dead letter was written")
        assert replay("--dry-run") == {"waiting": 1}
        assert counted() == []
        with app_process(stack, ROOT, settings):
            assert replay("--because", "the table is back") == {"replayed": 1}
            assert replay("--again") == {"replayed": 1}
        assert counted() == [BLOB]
