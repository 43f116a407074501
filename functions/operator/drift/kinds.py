"""What a column holds, and its values as numbers, names or times: whatever the file calls its type."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sketch.features import Coded
from sketch.features import Column as Values

type Kind = Literal["number", "category", "time"]

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$|^\s*[+-]?(?i:inf|infinity|nan)\s*$"
_COMMA = r"^\s*[+-]?\d+,\d+\s*$|^\s*[+-]?\d+\s*$"
_CODE = r"^\s*0\d+\s*$"
_FLAG = r"^\s*(?i:true|false)\s*$"
_TIME = r"^\s*\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?\s*$"
_ZONE = r"(Z|[+-]\d\d:?\d\d)\s*$"
_MOSTLY = 0.95  # Of a column's values: what they are, the column is; the others count as missing.
_NAMES = 0.5  # A text column with more distinct values than this share of its rows names rows.
_MANY = 100
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is read.

    Attributes:
        name: Its name.
        kind: What it holds.
        note: What a reader should know, for a person; empty for nothing.
        is_flag: Whether its names are "true" and "false", however either file spells them.
    """

    name: str
    kind: Kind
    note: str = ""
    is_flag: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that is not compared.

    Attributes:
        name: Its name.
        reason: Why.
        asked: How it is read where a person asks for it all the same; None where it cannot be.
    """

    name: str
    reason: str
    asked: Reading | None = None


def infer(name: str, sample: pa.ChunkedArray) -> Reading | LeftOut:
    """Find out what a column holds, by its type and a sample of its values.

    Args:
        name: Its name.
        sample: Some of its values, in their order.
    """
    held = sample.type.value_type if pa.types.is_dictionary(sample.type) else sample.type
    if _is_text(held):
        return _text(name, pc.cast(sample, pa.string()))
    if pa.types.is_boolean(held):
        return Reading(name, "category", is_flag=True)
    if pa.types.is_timestamp(held) or pa.types.is_date(held):
        return Reading(name, "time")
    if pa.types.is_integer(held) and _counts_rows(sample):
        return LeftOut(name, "it rises from row to row, like an id", Reading(name, "number"))
    if _is_number(held):
        return Reading(name, "number")
    return LeftOut(name, f"it holds {str(held)[:60]}, which is neither number, text nor time")


def _is_number(held: pa.DataType) -> bool:
    asked = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null, pa.types.is_time)
    return any(is_one(held) for is_one in asked) or pa.types.is_duration(held)


def _counts_rows(sample: pa.ChunkedArray) -> bool:
    values = sample.drop_null().to_numpy()
    return len(values) == len(sample) >= _MANY and bool((values[1:] > values[:-1]).all())


def _text(name: str, sample: pa.ChunkedArray) -> Reading | LeftOut:
    known = sample.drop_null()
    if not len(known):
        return Reading(name, "number")
    if _share(known, _CODE) == 0:
        share = max(_share(known, pattern) for pattern in (_NUMBER, _COMMA))
        if share >= _MOSTLY:
            return _numbers(name, known, share)
    if _share(known, _TIME) >= _MOSTLY:
        return Reading(name, "time")
    if _share(known, _FLAG) == 1:
        return Reading(name, "category", is_flag=True)
    distinct = pc.count_distinct(known).as_py()
    if distinct > max(_MANY, _NAMES * len(known)):
        why = f"it names rows: {distinct} different texts in {len(known)} rows"
        return LeftOut(name, why, Reading(name, "category"))
    return Reading(name, "category")


def _numbers(name: str, known: pa.ChunkedArray, share: float) -> Reading | LeftOut:
    note = "" if share == 1 else f"{100 * (1 - share):.2g} % of {name}'s values are no numbers, and count as missing"
    reading = Reading(name, "number", note)
    whole = numbers_of(known.combine_chunks())
    if share == 1 and len(whole) >= _MANY and (whole == np.floor(whole)).all() and (whole[1:] > whole[:-1]).all():
        return LeftOut(name, "it rises from row to row, like an id", reading)
    return reading


def _share(known: pa.ChunkedArray | pa.Array, pattern: str) -> float:
    share = pc.mean(pc.cast(pc.match_substring_regex(known, pattern), pa.float64())).as_py()
    return float(share or 0.0)


def values_of(array: pa.Array, reading: Reading) -> Values:
    """A column's values as its reading says; what cannot be read so is missing.

    Returns:
        Numbers as float64 with NaN where missing; names coded or as a list, None where missing.
    """
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if reading.kind == "number":
        return numbers_of(plain)
    return names_of(_flags(plain) if reading.is_flag else plain)


def numbers_of(array: pa.Array) -> NDArray[np.float64]:
    """Numbers, NaN where there is none, shape (rows,); text may have a decimal comma, if most of it has."""
    held = array.type
    if _is_text(held):
        plain = pc.utf8_trim_whitespace(pc.cast(array, pa.string()))
        if _share(plain, _NUMBER) < _share(plain, _COMMA):
            plain = pc.replace_substring(plain, ",", ".", max_replacements=1)
        numbers = pc.cast(pc.if_else(pc.match_substring_regex(plain, _NUMBER), plain, None), pa.float64())
    elif pa.types.is_time(held) or pa.types.is_duration(held):
        wide = pc.cast(array, pa.duration("us") if pa.types.is_duration(held) else pa.time64("us"), safe=False)
        numbers = pc.divide(pc.cast(pc.cast(wide, pa.int64()), pa.float64(), safe=False), float(_MICROSECONDS))
    elif _is_number(held) or pa.types.is_boolean(held):
        numbers = pc.cast(pc.cast(array, pa.uint8()) if pa.types.is_boolean(held) else array, pa.float64(), safe=False)
    else:
        return np.full(len(array), np.nan)
    return np.asarray(pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False), np.float64)


def names_of(array: pa.Array) -> Coded | list[str | None]:
    """Names, None where there is none."""
    if _is_text(array.type):
        coded = array.dictionary_encode()
        codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
        return Coded(codes.astype(np.intp), coded.dictionary.to_pylist())
    if pa.types.is_floating(array.type):  # as a code is written where no value is missing
        whole = [None if value is None or value != value else value for value in array.to_pylist()]  # noqa: PLR0124 - NaN
        return [None if value is None else str(int(value) if value.is_integer() else value) for value in whole]
    if pa.types.is_integer(array.type) or pa.types.is_boolean(array.type) or pa.types.is_decimal(array.type):
        return [value if value is None else str(value).lower() for value in array.to_pylist()]
    return [None] * len(array)


def _flags(array: pa.Array) -> pa.Array:
    """Truth as the texts "true" and "false": of True, TRUE and 1; whatever else it is stays what it is."""
    if not (_is_text(array.type) or pa.types.is_boolean(array.type) or _is_number(array.type)):
        return array
    text = pc.utf8_lower(pc.utf8_trim_whitespace(pc.cast(array, pa.string())))
    for told, spelled in (("true", ["1", "1.0"]), ("false", ["0", "0.0"])):
        text = pc.if_else(pc.is_in(text, pa.array(spelled)), told, text)
    return text


def times_of(array: pa.Array) -> NDArray[np.datetime64]:
    """Times in microseconds since 1970, UTC where the file says a zone; NaT where there is none, shape (rows,)."""
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if _is_text(plain.type):
        text = pc.utf8_trim_whitespace(pc.cast(plain, pa.string()))
        text = pc.if_else(pc.match_substring_regex(text, _TIME), text, None)
        zoned = pc.match_substring_regex(text, _ZONE)
        far = _stamps(pc.if_else(zoned, text, None), "UTC")
        near = _stamps(pc.if_else(zoned, None, text), None)
        plain = pc.coalesce(far, near)
    elif pa.types.is_timestamp(plain.type) or pa.types.is_date(plain.type):
        plain = pc.cast(plain, pa.timestamp("us", getattr(plain.type, "tz", None)), safe=False)
    else:
        return np.full(len(plain), np.datetime64("NaT", "us"), "datetime64[us]")
    stamps = pc.cast(plain, pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(stamps, "datetime64[us]")


def _stamps(text: pa.Array, zone: str | None) -> pa.Array:
    """Parse ISO texts; one that is of that form and no time, such as 2013-02-30, is missing."""
    try:
        stamps = pc.cast(text, pa.timestamp("us", zone))
    except pa.ArrowInvalid:
        stamps = pa.array([_stamp(one, zone) for one in text.to_pylist()], pa.timestamp("us", zone))
    return pc.cast(stamps, pa.timestamp("us"), safe=False)


def _stamp(text: str | None, zone: str | None) -> object:
    try:
        return pc.cast(pa.scalar(text, pa.string()), pa.timestamp("us", zone)).as_py()
    except pa.ArrowInvalid:
        return None


def _is_text(held: pa.DataType) -> bool:
    return any(is_one(held) for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
