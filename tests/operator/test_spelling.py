"""How a file writes numbers as text, decided by all of a column's texts."""

import numpy as np
import pyarrow as pa
import pytest

from functions.operator.drift.spelling import Mark, Written, both_written, numbers_in, share_of_numbers

COLUMNS: dict[str, tuple[list[str], Mark | None]] = {
    "decimal points": (["1.5", "2.25", "17"], "."),
    "decimal commas": (["1,5", "2,25", "17"], ","),
    "thousands and a point": (["1,234.50", "987.10"], "."),
    "thousands and a comma": (["1.234,50", "987,10", "1.234"], ","),
    "two groups": (["1,234,567", "23,288"], "."),
    "three decimals from nought": (["0,123", "1,234"], ","),
    "small numbers without a comma, large ones with": (["23,288", "987", "1,002"], "."),
    "large numbers without a comma as well": (["23,288", "9875", "12"], None),
    "always three digits": (["23,288", "1,234"], None),
    "whole numbers": (["23288", "1234", "7"], None),
    "points in threes and one comma": (["1.459", "1.379", "1,4"], "."),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_what_parts_decimals_is_told_by_the_column(name: str) -> None:
    texts, mark = COLUMNS[name]
    assert Written.by(pa.chunked_array([texts])).mark == mark


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1.5", 1.5, None),
        ("1,5", None, 1.5),
        (" 28,913  ", 28913, 28.913),
        ("-1,234.5", -1234.5, None),
        ("1.234.567,25", None, 1234567.25),
        ("1,23,456", None, None),
        ("0,123", None, 0.123),
        ("1234,567", None, 1234.567),
        ("+.5e-3", 0.0005, None),
        ("2,5E2", None, 250),
        ("17", 17, 17),
        ("inf", np.inf, np.inf),
        ("1,234 km", None, None),
        ("", None, None),
    ],
)
def test_a_number_is_read_with_either_mark_or_not_at_all(text: str, point: float | None, comma: float | None) -> None:
    texts = pa.array([text])
    assert numbers_in(texts, ".").to_pylist() == [point]
    assert numbers_in(texts, ",").to_pylist() == [comma]
    assert share_of_numbers(texts, ".") == (point is not None)


def test_columns_without_a_comma_or_of_another_type_say_nothing() -> None:
    assert both_written(pa.chunked_array([["1.5"]]), pa.chunked_array([[1.5]])) == (Written(), Written())
    assert both_written(pa.chunked_array([[[1]]]), pa.chunked_array([["1,5", None]]))[1].mark == ","
