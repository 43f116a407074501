"""What a column holds, and its values as numbers, names or times: whatever the file calls its type."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from functions.operator.drift.spelling import Mark, is_text, numbers_in, share_of_numbers
from sketch.features import Coded
from sketch.features import Column as Values

type Kind = Literal["number", "category", "time"]

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


def infer(name: str, sample: pa.ChunkedArray, mark: Mark) -> Reading | LeftOut:
    """Find out what a column holds, by its type and a sample of its values.

    Args:
        name: Its name.
        sample: Some of its values, in their order.
        mark: What parts decimals where numbers are texts.
    """
    held = sample.type.value_type if pa.types.is_dictionary(sample.type) else sample.type
    if is_text(held):
        return _text(name, pc.cast(sample, pa.string()), mark)
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


def _text(name: str, sample: pa.ChunkedArray, mark: Mark) -> Reading | LeftOut:
    known = sample.drop_null()
    if not len(known):
        return Reading(name, "number")
    if _share(known, _CODE) == 0:
        share = share_of_numbers(known, mark)
        if share >= _MOSTLY:
            return _numbers(name, known, share, mark)
    if _share(known, _TIME) >= _MOSTLY:
        return Reading(name, "time")
    if _share(known, _FLAG) == 1:
        return Reading(name, "category", is_flag=True)
    distinct = pc.count_distinct(known).as_py()
    if distinct > max(_MANY, _NAMES * len(known)):
        why = f"it names rows: {distinct} different texts in {len(known)} rows"
        return LeftOut(name, why, Reading(name, "category"))
    return Reading(name, "category")


def _numbers(name: str, known: pa.ChunkedArray, share: float, mark: Mark) -> Reading | LeftOut:
    note = "" if share == 1 else f"{100 * (1 - share):.2g} % of {name}'s values are no numbers, and count as missing"
    reading = Reading(name, "number", note)
    whole = numbers_of(known.combine_chunks(), mark)
    if share == 1 and len(whole) >= _MANY and (whole == np.floor(whole)).all() and (whole[1:] > whole[:-1]).all():
        return LeftOut(name, "it rises from row to row, like an id", reading)
    return reading


def _share(known: pa.ChunkedArray | pa.Array, pattern: str) -> float:
    share = pc.mean(pc.cast(pc.match_substring_regex(known, pattern), pa.float64())).as_py()
    return float(share or 0.0)


def values_of(array: pa.Array, reading: Reading, mark: Mark) -> Values:
    """A column's values as its reading says; what cannot be read so is missing.

    Args:
        array: The values.
        reading: What they are.
        mark: What parts decimals where numbers are texts.

    Returns:
        Numbers as float64 with NaN where missing; names coded or as a list, None where missing.
    """
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if reading.kind == "number":
        return numbers_of(plain, mark)
    return names_of(_flags(plain) if reading.is_flag else plain)


def numbers_of(array: pa.Array, mark: Mark) -> NDArray[np.float64]:
    """Numbers, NaN where there is none, shape (rows,); of texts those whose decimals follow the mark."""
    held = array.type
    if is_text(held):
        numbers = numbers_in(pc.cast(array, pa.string()), mark)
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
    if is_text(array.type):
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
    if not (is_text(array.type) or pa.types.is_boolean(array.type) or _is_number(array.type)):
        return array
    text = pc.utf8_lower(pc.utf8_trim_whitespace(pc.cast(array, pa.string())))
    for told, spelled in (("true", ["1", "1.0"]), ("false", ["0", "0.0"])):
        text = pc.if_else(pc.is_in(text, pa.array(spelled)), told, text)
    return text


def times_of(array: pa.Array) -> NDArray[np.datetime64]:
    """Times in microseconds since 1970, UTC where the file says a zone; NaT where there is none, shape (rows,)."""
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if is_text(plain.type):
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


def zones_of(values: pa.ChunkedArray) -> set[bool]:
    """Whether times have a time zone: of those that there are, some, all or none."""
    if is_text(values.type):
        texts = pc.utf8_trim_whitespace(pc.cast(values.drop_null(), pa.string()))
        times = texts.filter(pc.match_substring_regex(texts, _TIME))
        return set(pc.unique(pc.match_substring_regex(times, _ZONE)).to_pylist())
    return {getattr(values.type, "tz", None) is not None} if len(values.drop_null()) else set()


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
