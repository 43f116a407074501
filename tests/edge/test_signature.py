import json

import numpy as np
import pytest

from edge.errors import Unfit
from edge.signature import Signature, read_signature

DOCUMENT = {
    "features": [
        {"name": "carrier", "kind": "category", "categories": ["AA", "UA"]},
        {"name": "temp", "kind": "number"},
        {"name": "gate", "kind": "category", "categories": ["A1"]},
    ],
    "input": "features",
    "output": {"name": "probabilities", "column": 1},
}
ROWS = [
    {"carrier": "UA", "temp": 0.1, "gate": None},
    {"carrier": "Concorde", "temp": None, "gate": "A1"},
    {"carrier": "AA", "temp": 3, "gate": ""},
]


def signature() -> Signature:
    return read_signature(json.dumps(DOCUMENT).encode())


def test_numbers_keep_their_digits_and_what_is_missing_or_unknown_is_nan() -> None:
    batch = signature().read(json.dumps({"rows": ROWS, "ids": ["a", "b", "c"]}).encode())
    nan = np.nan
    np.testing.assert_array_equal(batch.values, [[1, nan, 0], [0.1, nan, 3], [nan, 0, nan]])
    assert batch.ids == ["a", "b", "c"]


def test_a_sketch_gets_categories_as_they_were_asked_not_as_the_graph_takes_them() -> None:
    taken = signature()
    named = taken.named(taken.read(json.dumps({"rows": ROWS}).encode()))
    assert [list(named[name]) for name in ("carrier", "gate")] == [["UA", "Concorde", "AA"], [None, "A1", ""]]
    np.testing.assert_array_equal(named["temp"], [0.1, np.nan, 3])


def test_the_graph_takes_a_line_per_row_in_one_piece() -> None:
    taken = signature()
    tensor = taken.tensor(taken.read(json.dumps({"rows": ROWS}).encode()))
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_array_equal(tensor[0], np.array([1, 0.1, np.nan], np.float32))


def test_a_category_that_no_request_could_name_makes_the_model_unfit() -> None:
    novel = {"name": "carrier", "kind": "category", "categories": ["x" * 1_001]}
    with pytest.raises(Unfit, match=r"length <= 1000 - at `\$.features\[0\].categories"):
        read_signature(json.dumps(DOCUMENT | {"features": [novel]}).encode())
