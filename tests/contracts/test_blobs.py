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


def test_a_version_is_read_in_ranges_until_it_is_overwritten(cloud: Cloud, unique: str) -> None:
    cloud.blobs.put(CONTAINER, unique, b"0123456789")
    facts = cloud.blobs.facts(CONTAINER, unique)
    assert facts is not None
    assert cloud.blobs.read_version(CONTAINER, unique, facts.etag, offset=0, length=10) == b"0123456789"
    assert cloud.blobs.read_version(CONTAINER, unique, facts.etag, offset=3, length=4) == b"3456"
    assert cloud.blobs.read_version(CONTAINER, unique, facts.etag, offset=8, length=40) == b"89"
    assert cloud.blobs.read_version(CONTAINER, unique, facts.etag, offset=10, length=40) == b""
    cloud.blobs.put(CONTAINER, unique, b"another version")
    assert cloud.blobs.read_version(CONTAINER, unique, facts.etag, offset=0, length=10) is None
    assert cloud.blobs.read_version(CONTAINER, f"{unique}-absent", facts.etag, offset=0, length=10) is None
    cloud.blobs.put(CONTAINER, unique, b"")
    empty = cloud.blobs.facts(CONTAINER, unique)
    assert empty is not None
    assert cloud.blobs.read_version(CONTAINER, unique, empty.etag, offset=0, length=10) == b""


def test_a_version_is_copied_once_and_never_another_one_in_its_place(cloud: Cloud, unique: str) -> None:
    source, copy = (CONTAINER, f"{unique}/source 1"), ("versions", f"{unique}/copy 1")
    cloud.blobs.put(*source, b"the first")
    first = cloud.blobs.facts(*source)
    assert first is not None
    assert cloud.blobs.copy(source, first.etag, to=copy)
    assert cloud.blobs.copy(source, first.etag, to=copy)
    cloud.blobs.put(*source, b"the second")
    second = cloud.blobs.facts(*source)
    assert second is not None
    assert not cloud.blobs.copy(source, first.etag, to=("versions", f"{unique}/other"))
    assert cloud.blobs.copy(source, second.etag, to=copy)
    assert not cloud.blobs.copy((CONTAINER, f"{unique}/absent"), first.etag, to=("versions", f"{unique}/other"))
    assert cloud.blobs.read(*copy) == b"the first"
    assert cloud.blobs.read("versions", f"{unique}/other") is None
