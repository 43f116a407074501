"""No bytes break a parser: hypothesis in every run of the tests, and atheris as long as one likes, by `make fuzz`."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

SEEDS = seeds()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["rows", "AA", "1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_begins_with_is_read(name: str) -> None:
    for data in SEEDS[name]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=400))
@example(data=b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
@example(data=b"x\x9c")
def test_no_bytes_break_a_parser(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_no_damage_to_a_sound_input_breaks_a_parser(name: str, data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(SEEDS[name])))
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, len(whole)))
        whole[first : first + data.draw(st.integers(0, 9))] = data.draw(
            st.binary(max_size=9) | st.sampled_from([b"null", b"1e999", b"NaN", b"[[", b"{}", b'"', b"-0.0"])
        )
    TARGETS[name](bytes(whole))


@pytest.mark.parametrize("name", ["events", "telemetry"])
@given(data=st.data())
def test_no_member_of_another_kind_breaks_a_parser(name: str, data: st.DataObject) -> None:
    whole = json.loads(data.draw(st.sampled_from(SEEDS[name])))
    place = whole["data"] if name == "events" and data.draw(st.booleans()) else whole
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    TARGETS[name](json.dumps(whole).encode())
