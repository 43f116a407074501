"""IoT Hub's query language: what it accepts, what it means, and how it says no."""

from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop.iot_hub.query import QueryError, parse_query, parse_target_condition

CANARY: dict[str, object] = {
    "deviceId": "edge-1",
    "tags": {"site": "lga", "ring": "canary", "floor": 3, "spare": False, "my-tag": "x"},
    "properties": {"desired": {}, "reported": {"load": 0.5, "model": {"version": "2"}}},
}
PLAIN: dict[str, object] = {"deviceId": "edge-2", "tags": {"site": "jfk"}, "properties": {"reported": {}}}


def matches(text: str, document: Mapping[str, object] = CANARY) -> bool:
    return parse_target_condition(text).matches(document)


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "tags.site = 'lga'",
        'tags.site="lga"',
        "TAGS.site = 'lga' and deviceid = 'edge-1'",
        "tags.site IN ['jfk', 'lga']",
        "tags.site NIN ['jfk','ewr']",
        "tags.site NOT IN ['jfk']",
        "NOT tags.site = 'jfk'",
        "tags.site = 'jfk' OR tags.ring = 'canary' AND tags.floor = 3",
        "(tags.site = 'jfk' OR tags.ring = 'canary') AND tags.floor >= 3",
        "tags.floor + 1 = 2 * 2 AND tags.floor % 2 = 1 AND tags.floor - 5 = -2 AND tags.floor = 0x3",
        "tags.spare = false AND tags.floor <> 4 AND tags.floor != 4",
        "IS_DEFINED(tags.ring) AND NOT is_defined(tags.other)",
        "STARTSWITH(deviceId, 'edge-')",
        "tags.[[my-tag]] = 'x'",
        "properties.reported.model.version = '2' AND properties.reported.load < 1",
    ],
)
def test_a_condition_that_holds_matches(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "tags.ring = 'canary'",
        "tags.ring != 'canary'",
        "NOT tags.ring = 'canary'",
        "tags.ring NIN ['canary']",
        "tags.site > 3",
        "tags.site",
        "tags.site AND tags.site = 'jfk'",
    ],
)
def test_a_property_that_is_missing_or_of_another_type_matches_nothing_either_way(text: str) -> None:
    assert not matches(text, PLAIN)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Line 1:0 Unexpected input '<EOF>'"),
        ("tags.site == 'lga'", "Line 1:11"),
        ("tags.site = 'lga", "Unexpected character"),
        ("tags.site = 'lga' tags.x = 1", "expecting end of query"),
        ("tags.site IN []", "expecting a constant"),
        ("tags.site IN ('lga')", "expecting '['"),
        ("UPPER(tags.site) = 'LGA'", "Function 'UPPER' is not supported on twins"),
        ("tags.site = 'lga' AND\n  (deviceId = 'x'", "Line 2:"),
        ("tags.order = 1 AND ORDER = 2", "expecting a property"),
        ("edgeDeviceVM", "based on 'deviceId', 'tags', or 'properties.reported'. It contains: edgeDeviceVM"),
        ("properties.desired.x = 1", "It contains: properties.desired.x"),
        ("true", "It contains: true"),
    ],
)
def test_a_broken_target_condition_says_where_and_what(text: str, says: str) -> None:
    with pytest.raises(QueryError) as refused:
        parse_target_condition(text)
    assert says in str(refused.value)


def test_strings_take_the_documented_escapes() -> None:
    condition = parse_target_condition(r"tags.site = 'it\'s \"\\A'")
    assert condition.matches({"tags": {"site": "it's \"\\A"}})


def test_only_a_condition_on_reported_properties_says_that_it_reads_them() -> None:
    assert parse_target_condition("properties.reported.x = 1").reads_reported
    assert not parse_target_condition("tags.x = 1").reads_reported


DEVICES = [
    {"deviceId": "a", "tags": {"site": "lga", "n": 1}, "properties": {"reported": {"load": 1.0}}},
    {"deviceId": "b", "tags": {"site": "jfk", "n": 5}, "properties": {"reported": {"load": 5.0}}},
    {"deviceId": "c", "tags": {"site": "lga"}, "properties": {"reported": {}}},
]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT * FROM devices WHERE tags.site = 'jfk'", [DEVICES[1]]),
        ("select TOP 2 deviceId from devices", [{"deviceId": "a"}, {"deviceId": "b"}]),
        ("SELECT properties.reported.load, deviceId AS id FROM devices.modules WHERE deviceId IN ['b', 'c']",
         [{"load": 5.0, "id": "b"}, {"id": "c"}]),
        ("SELECT COUNT() AS n FROM devices WHERE tags.site = 'ewr'", [{"n": 0}]),
        ("SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site",
         [{"site": "lga", "n": 2}, {"site": "jfk", "n": 1}]),
        ("SELECT SUM(tags.n) AS s, AVG(tags.n), MIN(tags.n), MAX(tags.n) FROM devices",
         [{"s": 6, "avg": 3, "min": 1, "max": 5}]),
        ("SELECT AVG(tags.none) FROM devices", [{}]),
    ],
)  # fmt: skip
def test_a_query_returns_its_rows(text: str, rows: list[object]) -> None:
    assert parse_query(text).run(DEVICES) == rows


def test_whole_twins_are_of_another_item_type_than_projections() -> None:
    assert parse_query("SELECT * FROM devices").item_type == "twin"
    assert parse_query("SELECT deviceId FROM devices").item_type == "raw"


@pytest.mark.parametrize(
    "text",
    [
        "SELEC 1",
        "SELECT * FROM",
        "SELECT * FROM devices.jobs",
        "SELECT * FROM devices WHERE",
        "SELECT * FROM devices ORDER BY deviceId",
        "SELECT deviceId, FROM devices",
        "SELECT TOP 1.5 * FROM devices",
        "SELECT COUNT( FROM devices",
        "SELECT",
    ],
)
def test_a_broken_query_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_query(text)


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["x", "it's", 'q"\\', ""]))
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=3).map(lambda tags: {"tags": tags})
Tree = tuple[object, ...]
TREES = st.recursive(
    st.tuples(st.just("="), NAMES, VALUES) | st.tuples(st.just("defined"), NAMES),
    lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), inner, inner) | st.tuples(st.just("NOT"), inner),
    max_leaves=12,
)


def written(tree: Tree) -> str:
    match tree:
        case ("=", name, bool(value)):
            return f"tags.{name} = {str(value).lower()}"
        case ("=", name, int(value)):
            return f"tags.{name} = {value}"
        case ("=", name, str(value)):
            quoted = value.replace("\\", r"\\").replace("'", r"\'")
            return f"tags.{name} = '{quoted}'"
        case ("defined", name):
            return f"IS_DEFINED(tags.{name})"
        case ("NOT", tuple(inner)):
            return f"NOT ({written(inner)})"
        case (str(symbol), tuple(left), tuple(right)):
            return f"({written(left)}) {symbol} ({written(right)})"
    raise AssertionError(tree)


def meant(tree: Tree, tags: Mapping[str, object]) -> bool | None:
    """Three-valued logic, where None is undefined."""
    match tree:
        case ("=", str(name), value):
            known = name in tags and (type(tags[name]) is type(value))
            return tags[name] == value if known else None
        case ("defined", name):
            return name in tags
        case ("NOT", tuple(inner)):
            truth = meant(inner, tags)
            return None if truth is None else not truth
        case (symbol, tuple(left), tuple(right)):
            sides, decisive = (meant(left, tags), meant(right, tags)), symbol == "OR"
            return decisive if decisive in sides else None if None in sides else not decisive
    raise AssertionError(tree)


@given(TREES, DOCUMENTS)
def test_every_condition_means_what_three_valued_logic_says(tree: Tree, document: dict[str, dict[str, object]]) -> None:
    assert parse_target_condition(written(tree)).matches(document) == (meant(tree, document["tags"]) is True)


@given(st.text(alphabet="tags.=('\"[]<>!AND ORNIx1\\*-", max_size=30))
def test_any_text_is_parsed_or_refused_and_never_breaks(text: str) -> None:
    for parse in (parse_target_condition, parse_query):
        with suppress(QueryError):
            parse(text)
