import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.manifests.read import read
from tests.manifests.wild import base, codes, found

TEXT = json.dumps(base(), indent=2)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (TEXT[:-10], "line "),
        (TEXT.replace('"1.1",', '"1.1"', 1), "line 6, column 9: Expecting ',' delimiter"),
        (TEXT.replace('"docker"', "docker", 1), "line 7, column 19: Expecting value"),
        ('{"a": 1,}', "line 1, column "),
        ('{"a": NaN}', "line 1, column 7: NaN is no JSON number"),
        ('{"a": /* never ends', "line 1, column 7: a comment that never ends"),
        ("", "line 1, column 1: Expecting value"),
        ("modulesContent: yes", "line 1, column 1: Expecting value"),
        ("[" * 100_000, "line 1, column 101: more than 100 brackets deep"),
    ],
    ids=lambda text: text[-20:],
)
def test_broken_json_is_told_with_its_line_and_column(text: str, where: str) -> None:
    (one,) = found(text.encode())
    assert (one.code, one.severity, one.pointer) == ("JSON_SYNTAX", "error", "")
    assert one.reason.startswith(where)


def test_bytes_that_are_no_text_are_told_with_their_line() -> None:
    (one,) = found(b'{"a": 1,\n "b": "\xff"}')
    assert one.reason == "line 2, column 8: not utf-8 text"


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "x",
        5,
        None,
        {"resources": []},
        {"content": {"deviceContent": {}}},
        {"content": 1},
        {"content": {"deviceContent": {"a": 1}, "modulesContent": None}},
        {"content": {"moduleContent": {"properties.desired.a": 1}}},
    ],
    ids=str,
)
def test_a_document_without_modules_is_no_deployment(document: object) -> None:
    assert read(json.dumps(document).encode()).kind == "not-a-deployment"
    assert codes(document) == set()


def test_a_misspelt_wrapper_is_an_error() -> None:
    assert codes({"moduleContent": base()["modulesContent"]}) == {"WRAPPER"}


def test_modules_without_anything_in_them_miss_the_agent() -> None:
    assert codes({"modulesContent": {}}) == {"AGENT_MISSING"}
    assert codes({"content": {"modulesContent": {"$edgeHub": {"properties.desired": {}}}}}) >= {"AGENT_MISSING"}


def test_a_name_that_stands_twice_is_told() -> None:
    assert "DUPLICATE_KEY" in codes(TEXT.replace('"edgeHub": {', '"edgeHub": {}, "edgeHub": {').encode(), "warning")


def test_a_broken_deployment_is_still_called_one() -> None:
    assert read(TEXT[:-3].encode()).kind == "base"
    assert read(b'{"modulesContent": {"$edgeAgent": {"properties.desired.modules.a": {').kind == "layered"
    assert read(b"hello").kind == "not-a-deployment"


def test_an_exported_deployment_tells_its_priority_and_target() -> None:
    exported = {"content": base(), "priority": 7, "targetCondition": "tags.a = 'b'"}
    manifest = read(json.dumps(exported).encode())
    assert (manifest.priority, manifest.target, manifest.at) == (7, "tags.a = 'b'", ("content", "modulesContent"))


def test_a_comment_inside_a_text_is_text() -> None:
    assert read(b'{"modulesContent": {"a": "http://x/*y*/"}}').modules == {"a": "http://x/*y*/"}


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:/*$<>\\ab1\n', max_size=60).map(str.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert read(data).kind in ("base", "layered", "not-a-deployment")
    found(data)
