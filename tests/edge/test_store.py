"""One contract for every model store: the fake in memory, and Azure Blob Storage's SDK against Azurite."""

import time
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken
from azure.storage.blob import ContainerClient

from edge.errors import Away, Changed, Unfit
from edge.store import CHUNK_BYTES, BlobStore, Store
from laptop.stack import ACCOUNT, AZURITE_BLOB_PORT, Stack
from tests.edge.cloud import LaptopCredential
from tests.fakes.edge import FakeStore

pytestmark = pytest.mark.enable_socket

LARGE = bytes(range(256)) * (CHUNK_BYTES // 256) + b"end"
FILES = {"model.onnx": LARGE, "files.json": b"{}", "empty.json": b""}


@pytest.fixture(params=["fake", "azurite"])
def store(request: pytest.FixtureRequest, azurite_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, str]:
    """A store that holds one model, and the store's URL."""
    if request.param == "fake":
        fake = FakeStore("https://models.example/store/")
        fake.put(f"{fake.url}m/2/", FILES)
        return fake, fake.url
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azurite_stack.authority))
    url = f"https://{azurite_stack.address}:{AZURITE_BLOB_PORT}/{ACCOUNT}/store/"
    credential = LaptopCredential(azurite_stack)
    with ContainerClient.from_container_url(url.rstrip("/"), credential=credential) as container:
        if not container.exists():
            container.create_container()
            for name, content in FILES.items():
                container.upload_blob(f"m/2/{name}", content)
    return BlobStore(url, credential), url


@pytest.mark.parametrize("name", FILES)
def test_a_file_comes_in_chunks_and_whole(store: tuple[Store, str], name: str) -> None:
    chunks = list(store[0].read(f"{store[1]}m/2/", name).chunks)
    assert b"".join(chunks) == FILES[name]
    assert all(len(chunk) <= CHUNK_BYTES for chunk in chunks)


def test_the_last_slash_of_a_folder_is_optional(store: tuple[Store, str]) -> None:
    assert b"".join(store[0].read(f"{store[1]}m/2", "files.json").chunks) == b"{}"


@pytest.mark.parametrize("start", [1, CHUNK_BYTES, len(LARGE) - 1])
def test_the_rest_of_a_file_that_did_not_change_can_be_read(store: tuple[Store, str], start: int) -> None:
    whole = store[0].read(f"{store[1]}m/2/", "model.onnx")
    rest = store[0].read(f"{store[1]}m/2/", "model.onnx", start=start, etag=whole.etag)
    assert rest.etag == whole.etag
    assert b"".join(rest.chunks) == LARGE[start:]


def test_the_rest_of_a_file_that_changed_is_not_handed_out(store: tuple[Store, str]) -> None:
    with pytest.raises(Changed):
        store[0].read(f"{store[1]}m/2/", "model.onnx", start=1, etag='"0x8D4BCC2E4835CD0"')


@pytest.mark.parametrize("path", ["m/3/", "M/2/", "m/"])
def test_what_is_not_there_is_unfit(store: tuple[Store, str], path: str) -> None:
    with pytest.raises(Unfit, match="has no"):
        list(store[0].read(f"{store[1]}{path}", "model.onnx").chunks)


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "{url}",
        "https://evil.example/store/m/2/",
        "https://models.example@evil.example/m/2/",
        "http{rest}m/2/",
        "{url}../store/m/2/",
        "{url}./m/2/",
        "{url}%2e%2e/store/m/2/",
        "{url}m/2/?sv=2021",
        "{url}m/2/#x",
        "{url}m//2/",
        "{url}m\\2/",
        "{url}m/2/\n",
        "{bare}-other/m/2/",
        " {url}m/2/",
    ],
)
def test_nothing_outside_the_store_is_ever_asked_for(store: tuple[Store, str], foreign: str) -> None:
    url = foreign.format(url=store[1], rest=store[1].removeprefix("https"), bare=store[1].rstrip("/"))
    with pytest.raises(Unfit, match="outside the model store"):
        store[0].read(url, "files.json")


def test_a_store_that_does_not_answer_is_away(address: str, tmp_path: Path) -> None:
    stack = Stack(address, tmp_path)
    url = f"https://{stack.address}:1/{ACCOUNT}/store/"
    with pytest.raises(Away, match="did not hand out"):
        BlobStore(url, LaptopCredential(stack)).read(f"{url}m/2/", "files.json")


def test_a_device_that_may_not_read_is_told_which_role_it_needs(azurite_stack: Stack, tmp_path: Path) -> None:
    class Stranger(LaptopCredential):
        def get_token(self, *_: str, **__: object) -> AccessToken:
            return AccessToken(self._identity.token("https://management.azure.com"), int(time.time()) + 3600)

    url = f"https://{azurite_stack.address}:{AZURITE_BLOB_PORT}/{ACCOUNT}/store/"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(azurite_stack.authority))
        with pytest.raises((Unfit, Away), match="m/2/files"):
            BlobStore(url, Stranger(Stack(azurite_stack.address, tmp_path))).read(f"{url}m/2/", "files.json")
