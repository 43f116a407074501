"""The real function_app.py in the laptop's host: what it has imported once it has served its first event."""

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableServiceClient

from bench.app_process import ROOT, app_process, blob_created
from functions.retraining.ledger import UPLOADS
from laptop.identity import Identity
from laptop.settings import app_settings
from laptop.stack import ACCOUNT, ACCOUNT_KEY, IDENTITY_PORT, Stack
from tests.laptop.serving import http_server, serving

pytestmark = pytest.mark.enable_socket
QUIET = {"LOOP_SCHEDULE": "0 0 0 1 1 *", "RECONCILE_SCHEDULE": "0 0 0 1 1 *"}


def counted(stack: Stack, blob: str) -> int:
    """How often the ledger has a blob."""
    key = AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY)
    with TableServiceClient(stack.table_url, credential=key, connection_verify=str(stack.authority)) as service:
        rows = service.get_table_client(UPLOADS).query_entities("blob eq @blob", parameters={"blob": blob})
        return sum(1 for _ in rows)


def test_an_upload_is_counted_without_importing_what_trains_and_scores(stack: Stack) -> None:
    event = blob_created(stack, 1)
    identity = http_server(Identity(stack).app(), stack, IDENTITY_PORT)
    with serving(identity), app_process(stack, ROOT, {**app_settings(stack), **QUIET}) as app:
        app.first_answer_s("count_upload_on_blob_created", event)
        assert app.invocations()["count_upload_on_blob_created"]["succeeded"] == 1
    assert counted(stack, "flight-delays/ewr/2013-01-02.parquet") == 1
    assert "azure.data.tables" in app.modules
    unwanted = {"azure.ai.ml", "azure.iot.hub", "azure.eventgrid", "numpy", "pyarrow", "httpx"}
    assert unwanted & app.modules == set()
