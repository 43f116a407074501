"""How a file writes numbers as text: whether a comma parts decimals or thousands, decided once per column and file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

type Mark = Literal[".", ","]

_OTHER: Mapping[Mark, Mark] = {".": ",", ",": "."}
_SMALL = r"^[+-]?\d{1,3}$"
_LARGE = r"^[+-]?\d{4,}$"


def _pattern(mark: Mark) -> str:
    """A number whose decimals follow this mark; the other one may part thousands."""
    decimal, other = rf"\{mark}", rf"\{_OTHER[mark]}"
    whole = rf"[1-9]\d{{0,2}}({other}\d{{3}})+|\d+"
    return rf"^[+-]?(({whole})({decimal}\d*)?|{decimal}\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity|nan)$"


_PATTERNS: Mapping[Mark, str] = {".": _pattern("."), ",": _pattern(",")}


_IS_MARKED = r"\d,\d|\.\d{3}\."  # Where no text is so, a point parts decimals.


@dataclass(frozen=True, slots=True)
class Written:
    """How some texts of one column write numbers.

    Attributes:
        points: Texts that are numbers with a decimal point alone: 1.5, 1,234.5, 1,234,567.
        commas: With a decimal comma alone: 1,5, 1.234,5, 0,123.
        dots: Texts such as 1.234, which may be either.
        groups: Texts such as 1,234, which may be either.
        small: Whole numbers of up to three digits.
        large: Whole numbers of more digits, without a mark.
        example: One of the `groups`; empty without one.
    """

    points: int = 0
    commas: int = 0
    dots: int = 0
    groups: int = 0
    small: int = 0
    large: int = 0
    example: str = ""

    @staticmethod
    def by(texts: pa.ChunkedArray) -> "Written":
        """Look at some texts; what is missing says nothing."""
        known = _trimmed(texts.drop_null().combine_chunks())
        point, comma = (_matches(known, _PATTERNS[mark]) for mark in (".", ","))
        has_comma = _matches(known, ",")
        groups = point & comma & has_comma
        return Written(
            points=int((point & ~comma).sum()),
            commas=int((comma & ~point).sum()),
            dots=int((point & comma & ~has_comma & _matches(known, r"\.")).sum()),
            groups=int(groups.sum()),
            small=int(_matches(known, _SMALL).sum()),
            large=int(_matches(known, _LARGE).sum()),
            example=known[int(groups.argmax())].as_py() if groups.any() else "",
        )

    @property
    def mark(self) -> Mark | None:
        """What parts decimals; None where these texts do not say.

        Where every comma has three digits behind it, numbers below 1,000 have none and larger ones do, commas part
        thousands: of numbers with decimals some would have fewer.
        """
        if self.commas > self.points + self.dots:
            return ","
        if self.points or self.dots or (self.groups and self.small and not self.large):
            return "."
        return None

    @property
    def is_guess(self) -> bool:
        """Whether no single text shows what its commas are."""
        return bool(self.groups) and not (self.points or self.commas)


def both_written(one: pa.ChunkedArray, other: pa.ChunkedArray) -> tuple[Written, Written]:
    """How the texts of one column write numbers in two files; values of another type say nothing."""
    texts = [
        pc.cast(values, pa.string()) if is_text(values.type) else pa.chunked_array([], pa.string())
        for values in (one, other)
    ]
    if not any(pc.any(pc.match_substring_regex(values, _IS_MARKED)).as_py() for values in texts):
        return Written(), Written()
    return Written.by(texts[0]), Written.by(texts[1])


def share_of_numbers(texts: pa.ChunkedArray | pa.Array, mark: Mark) -> float:
    """Share of texts that are numbers with this decimal mark, 0..1; 0 of none."""
    found = pc.mean(pc.cast(pc.match_substring_regex(_trimmed(texts), _PATTERNS[mark]), pa.float64())).as_py()
    return float(found or 0.0)


def numbers_in(texts: pa.Array, mark: Mark) -> pa.Array:
    """The numbers, null where a text is none."""
    trimmed = _trimmed(texts)
    is_number = pc.match_substring_regex(trimmed, _PATTERNS[mark])
    plain = pc.replace_substring(trimmed, _OTHER[mark], "")
    if mark == ",":
        plain = pc.replace_substring(plain, ",", ".")
    return pc.cast(pc.if_else(is_number, plain, None), pa.float64())


def is_text(held: pa.DataType) -> bool:
    """Whether values of this type are texts, kept once each or not."""
    one = held.value_type if pa.types.is_dictionary(held) else held
    return any(is_one(one) for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _trimmed(texts: pa.Array) -> pa.Array:
    return pc.utf8_trim_whitespace(texts)


def _matches(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    return np.asarray(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False), np.bool_)
