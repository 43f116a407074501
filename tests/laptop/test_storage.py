"""The front: any client's upload works as against Azurite itself, and raises the event Azure would raise."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError
from azure.data.tables import TableServiceClient
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings, generate_blob_sas

from laptop.event_grid.relay import Event
from laptop.identity import Identity
from laptop.stack import ACCOUNT, ACCOUNT_ID, ACCOUNT_KEY, BLOB_PORT, IDENTITY_PORT, Stack
from laptop.storage.front import front, running_azurite
from laptop.tls import client_context
from tests.addresses import claimed_address
from tests.laptop.serving import http_server, https_server, serving

pytestmark = pytest.mark.enable_socket


class Raised(list[Event]):
    """Collects events."""

    async def __call__(self, event: Event) -> None:
        self.append(event)


@pytest.fixture
def raised(stack: Stack) -> Iterator[Raised]:
    """The front of the stack, running, and what it raises."""
    events = Raised()
    with serving(https_server(front(stack, events), stack, BLOB_PORT)):
        yield events


@pytest.fixture
def container(stack: Stack, raised: Raised) -> Iterator[ContainerClient]:
    """A new container, opened with the account's key; what made it has been forgotten."""
    with BlobServiceClient(
        stack.blob_url, ACCOUNT_KEY, connection_verify=str(stack.authority), retry_total=0
    ) as service:
        container = service.create_container(f"c{uuid4().hex}")
        assert raised == []
        yield container


def test_a_small_upload_raises_blob_created_with_the_real_etag_and_size(
    stack: Stack, raised: Raised, container: ContainerClient
) -> None:
    blob = container.get_blob_client("flight-delays/ewr/2013-01-01.parquet")
    written = blob.upload_blob(b"rows", content_settings=ContentSettings(content_type="application/parquet"))
    (event,) = raised
    assert event.source == ACCOUNT_ID
    assert event.type == "Microsoft.Storage.BlobCreated"
    assert event.subject == (
        f"/blobServices/default/containers/{container.container_name}/blobs/flight-delays/ewr/2013-01-01.parquet"
    )
    assert (
        event.data.items()
        >= {
            "api": "PutBlob",
            "blobType": "BlockBlob",
            "contentLength": 4,
            "contentType": "application/parquet",
            "eTag": written["etag"].strip('"'),
            "requestId": written["request_id"],
            "clientRequestId": written["client_request_id"],
            "url": f"{stack.blob_url}/{container.container_name}/flight-delays/ewr/2013-01-01.parquet",
        }.items()
    )


def test_a_large_upload_raises_one_event_once_its_blocks_are_committed(
    raised: Raised, container: ContainerClient
) -> None:
    container._config.max_single_put_size = 64 * 1024
    container._config.max_block_size = 64 * 1024
    content = bytes(range(256)) * 1000
    blob = container.get_blob_client("large.bin")
    blob.upload_blob(content, content_settings=ContentSettings(content_type="image/png"))
    (event,) = raised
    assert event.data["api"] == "PutBlockList"
    assert event.data["contentLength"] == len(content)
    assert event.data["contentType"] == "image/png"
    assert event.data["eTag"] == blob.get_blob_properties().etag.strip('"')
    assert blob.download_blob().readall() == content


def test_a_copy_raises_an_event_with_the_size_of_its_source(raised: Raised, container: ContainerClient) -> None:
    source = container.get_blob_client("source")
    source.upload_blob(b"twelve bytes", content_settings=ContentSettings(content_type="text/csv"))
    container.get_blob_client("copy").start_copy_from_url(source.url)
    assert raised[-1].subject.endswith("/blobs/copy")
    assert raised[-1].data.items() >= {"api": "CopyBlob", "contentLength": 12, "contentType": "text/csv"}.items()


def test_a_copy_from_a_shared_access_signature_works_because_azurite_trusts_its_own_front(
    raised: Raised, container: ContainerClient
) -> None:
    source = container.get_blob_client("source")
    source.upload_blob(b"rows")
    container.get_blob_client("copy").start_copy_from_url(f"{source.url}?{read_signature(container, 'source')}")
    assert [event.data["api"] for event in raised] == ["PutBlob", "CopyBlob"]


def test_append_and_page_blobs_raise_their_creation_with_their_type(raised: Raised, container: ContainerClient) -> None:
    appended = container.get_blob_client("log")
    appended.create_append_blob()
    appended.append_block(b"a line")
    container.get_blob_client("disk").create_page_blob(512)
    assert [(event.data["blobType"], event.data["contentLength"]) for event in raised] == [
        ("AppendBlob", 0),
        ("PageBlob", 512),
    ]


def test_a_deletion_raises_blob_deleted_with_what_the_blob_was(raised: Raised, container: ContainerClient) -> None:
    container.upload_blob("gone", b"x", content_settings=ContentSettings(content_type="text/plain"))
    container.delete_blob("gone")
    event = raised[-1]
    assert event.type == "Microsoft.Storage.BlobDeleted"
    assert event.data["api"] == "DeleteBlob"
    assert event.data["contentType"] == "text/plain"
    assert "eTag" not in event.data
    assert "contentLength" not in event.data


def test_what_creates_no_blob_raises_nothing(raised: Raised, container: ContainerClient) -> None:
    blob = container.upload_blob("blob", b"x")
    raised.clear()
    blob.set_blob_metadata({"site": "ewr"})
    blob.set_http_headers(ContentSettings(content_type="text/plain"))
    blob.stage_block("aaaa", b"y")
    blob.acquire_lease().release()
    snapshot = blob.create_snapshot()
    container.get_blob_client("blob", snapshot=str(snapshot["snapshot"])).delete_blob()
    assert blob.download_blob().readall() == b"x"
    assert [one.name for one in container.list_blobs()] == ["blob"]
    assert raised == []


def test_a_refused_write_raises_nothing(raised: Raised, container: ContainerClient) -> None:
    container.upload_blob("once", b"x")
    with pytest.raises(ResourceExistsError):
        container.upload_blob("once", b"y", overwrite=False)
    assert len(raised) == 1


@pytest.mark.parametrize("name", ["räksmörgås/ü.csv", "with space & plus+.csv", "100%/50%25.csv", "a=b&c?d#e.csv"])
def test_awkward_names_reach_storage_and_the_subject_unchanged(
    raised: Raised, container: ContainerClient, name: str
) -> None:
    blob = container.upload_blob(name, b"x")
    assert [one.name for one in container.list_blobs()] == [name]
    assert raised[0].subject == f"/blobServices/default/containers/{container.container_name}/blobs/{name}"
    assert raised[0].data["url"] == blob.url


def test_sequencers_of_one_blob_grow(raised: Raised, container: ContainerClient) -> None:
    for content in (b"1", b"2", b"3"):
        container.upload_blob("same", content, overwrite=True)
    sequencers = [str(event.data["sequencer"]) for event in raised]
    assert sequencers == sorted(set(sequencers))
    assert {len(sequencer) for sequencer in sequencers} == {32}


def test_an_empty_upload_is_an_event_of_zero_bytes(raised: Raised, container: ContainerClient) -> None:
    container.upload_blob("empty", b"")
    assert raised[0].data["contentLength"] == 0


def test_a_managed_identity_can_upload_through_the_front(
    stack: Stack, raised: Raised, container: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.sdk_environment().items():
        monkeypatch.setenv(name, value)
    identity = http_server(Identity(stack).app(), stack, IDENTITY_PORT)
    with (
        serving(identity),
        DefaultAzureCredential() as credential,
        BlobServiceClient(stack.blob_url, credential) as service,
    ):
        service.get_blob_client(container.container_name, "by-identity").upload_blob(b"rows")
    assert raised[0].subject.endswith("/by-identity")


def test_a_shared_access_signature_works_through_the_front_and_a_wrong_key_does_not(
    stack: Stack, raised: Raised, container: ContainerClient
) -> None:
    container.upload_blob("shared", b"rows")
    url = f"{container.url}/shared?{read_signature(container, 'shared')}"
    with httpx.Client(verify=client_context(stack)) as client:
        assert client.get(url).content == b"rows"
    wrong = AzureNamedKeyCredential(ACCOUNT, "d3Jvbmc=")
    with (
        BlobServiceClient(stack.blob_url, wrong, connection_verify=str(stack.authority)) as service,
        pytest.raises(ClientAuthenticationError),
    ):
        service.get_blob_client(container.container_name, "refused").upload_blob(b"rows")
    assert len(raised) == 1


def test_a_range_is_read_as_it_was_asked_for(raised: Raised, container: ContainerClient) -> None:
    blob = container.upload_blob("range", b"0123456789")
    assert blob.download_blob(offset=3, length=4).readall() == b"3456"
    assert len(raised) == 1


def test_put_blob_from_url_is_refused_as_azurite_refuses_it(raised: Raised, container: ContainerClient) -> None:
    source = container.upload_blob("source", b"rows")
    with pytest.raises(HttpResponseError) as refusal:
        container.get_blob_client("target").upload_blob_from_url(source.url)
    assert refusal.value.status_code == 501
    assert len(raised) == 1


def test_without_azurite_the_front_says_server_busy_so_that_clients_retry(stack: Stack) -> None:
    with claimed_address(stack.home) as elsewhere:  # where no Azurite runs
        lonely = Stack(elsewhere, stack.home)
        with serving(https_server(front(lonely, Raised()), stack, BLOB_PORT)):
            answer = httpx.get(f"{stack.blob_url}/landing?restype=container", verify=client_context(stack))
    assert answer.status_code == 503
    assert answer.headers["x-ms-error-code"] == "ServerBusy"


def test_tables_accept_the_same_identity(stack: Stack) -> None:
    with TableServiceClient(
        stack.table_url,
        credential=AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY),
        connection_verify=str(stack.authority),
    ) as tables:
        name = f"t{uuid4().hex}"
        tables.create_table(name)
        assert name in [table.name for table in tables.list_tables()]


def test_an_azurite_that_cannot_start_is_reported_with_its_own_words(tmp_path: Path) -> None:
    with (
        claimed_address(tmp_path) as elsewhere,
        pytest.raises(RuntimeError, match=r"server\.pem"),
        running_azurite(Stack(elsewhere, tmp_path)),
    ):
        pytest.fail("it runs without a certificate")


def read_signature(container: ContainerClient, name: str) -> str:
    return generate_blob_sas(
        ACCOUNT,
        container.container_name,
        name,
        account_key=ACCOUNT_KEY,
        permission="r",
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
