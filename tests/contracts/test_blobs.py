"""What functions/ports.py promises of Blobs."""

import pytest

from functions.ports import BlobFacts
from functions.wiring import Cloud

CONTAINER = "models"
ABSENT = "no-such-container"


def test_a_blob_is_created_once_whoever_comes_second(cloud: Cloud, unique: str) -> None:
    assert cloud.blobs.create(CONTAINER, unique, b"first")
    assert not cloud.blobs.create(CONTAINER, unique, b"second")
    assert not cloud.blobs.create(CONTAINER, unique, b"first")
    assert cloud.blobs.read(CONTAINER, unique) == b"first"


def test_a_blob_that_is_put_replaces_the_older_one(cloud: Cloud, unique: str) -> None:
    cloud.blobs.put(CONTAINER, unique, b"first")
    before = cloud.blobs.facts(CONTAINER, unique)
    cloud.blobs.put(CONTAINER, unique, b"the second")
    after = cloud.blobs.facts(CONTAINER, unique)
    assert cloud.blobs.read(CONTAINER, unique) == b"the second"
    assert before is not None
    assert after is not None
    assert (before.size_bytes, after.size_bytes) == (5, 10)
    assert before.etag != after.etag
    assert '"' not in after.etag


@pytest.mark.parametrize("data", [b"", bytes(range(256)) * 4_000])
def test_bytes_come_back_as_they_went(cloud: Cloud, unique: str, data: bytes) -> None:
    cloud.blobs.create(CONTAINER, unique, data)
    assert cloud.blobs.read(CONTAINER, unique) == data


def test_blobs_are_listed_by_prefix_in_the_order_of_their_names(cloud: Cloud, unique: str) -> None:
    names = [f"{unique}/{name}" for name in ("b/2.json", "a b/ü 100%.json", "b/10.json", "b#1?.json")]
    for name in names:
        cloud.blobs.put(CONTAINER, name, name.encode())
    cloud.blobs.put(CONTAINER, f"{unique}-other/x", b"not ours")
    found = cloud.blobs.list(CONTAINER, f"{unique}/")
    assert [facts.name for facts in found] == sorted(names)
    assert list(found) == [cloud.blobs.facts(CONTAINER, name) for name in sorted(names)]
    assert [cloud.blobs.read(CONTAINER, name) for name in names] == [name.encode() for name in names]
    assert [facts.name for facts in cloud.blobs.list(CONTAINER, f"{unique}/b/1")] == [f"{unique}/b/10.json"]


@pytest.mark.parametrize("container", [CONTAINER, ABSENT])
def test_what_is_not_there_is_said_without_an_error(cloud: Cloud, unique: str, container: str) -> None:
    nothing: list[BlobFacts] = []
    assert cloud.blobs.read(container, unique) is None
    assert cloud.blobs.facts(container, unique) is None
    assert list(cloud.blobs.list(container, unique)) == nothing
