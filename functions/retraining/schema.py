"""Does a file hold what the loop's file says it must? No file, no network, no SDK: only what was found in it."""

from collections.abc import Mapping
from dataclasses import dataclass

from functions.errors import Poison
from functions.loops import Column, Data

SHOWN = 5  # names or values listed in a reason
NUMBERS = {True: "whole numbers", False: "numbers"}


@dataclass(frozen=True, slots=True)
class Contents:
    """What one column of a file was found to hold.

    Args:
        holds: The type in the file's own words, such as int64.
        serves: Which types of `[data.columns]` such values can be read as.
        times: How often the file has a column of this name.
        rows: Rows that were looked at.
        nulls: Rows of them without a value; not-a-number counts as none.
        least: Smallest number found; None where there is none.
        most: Largest number found, infinity included; None where there is none.
        whole: Whether every number found is whole.
        values: Distinct values; filled only for columns that list theirs.
    """

    holds: str
    serves: frozenset[str]
    times: int = 1
    rows: int = 0
    nulls: int = 0
    least: float | None = None
    most: float | None = None
    whole: bool = True
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class File:
    """What a file was found to hold.

    Args:
        rows: As many rows as it has.
        columns: What its columns hold, by name; declared ones in detail.
        exact: Whether `rows` was counted, or estimated from the head of a large CSV file.
    """

    rows: int
    columns: Mapping[str, Contents]
    exact: bool = True


def check(name: str, found: File, data: Data) -> None:
    """Accept a file whose declared columns hold what they must; other columns are nobody's concern.

    Args:
        name: Of the file, for the reason.
        found: What is in it.
        data: What the loop declares.

    Raises:
        Poison: DATA_ROWS, DATA_SCHEMA, DATA_RANGE, DATA_VALUES or DATA_NULLS; it names column, expected and found.
    """
    if not 0 < found.rows <= data.at_most_rows:
        why = f"expected 1 to {data.at_most_rows:,} rows, found {found.rows:,}"
        raise Poison(f"{name} has no fitting number of rows", why=why, fix=_rows_fix(found.rows), code="DATA_ROWS")
    for column, declared in data.columns.items():
        held = found.columns.get(column)
        _check_type(name, column, declared, held=held, found=found)
        if held:
            _check_range(name, column, declared, held=held)
            _check_values(name, column, declared, held=held)
            _check_nulls(name, column, declared, held=held)


def _check_type(name: str, column: str, declared: Column, *, held: Contents | None, found: File) -> None:
    expected = f"column {column}: expected one that holds a {declared.type}"
    if held is None:
        why = f"{expected}, found only {_some(found.columns)}"
        fix = f"write {column} into the file, or take it out of [data.columns]"
        raise Poison(f"{name} lacks column {column}", why=why, fix=fix, code="DATA_SCHEMA")
    if held.times != 1:
        why, fix = f"{expected}, found {held.times} of that name", "give every column a name of its own"
        raise Poison(f"{name} has {held.times} columns {column}", why=why, fix=fix, code="DATA_SCHEMA")
    if declared.type not in held.serves:
        why, fix = f"{expected}, found {held.holds}", f"write {column} as a {declared.type}: see docs/loops.md"
        raise Poison(f"{name} has another type in column {column}", why=why, fix=fix, code="DATA_SCHEMA")


def _check_range(name: str, column: str, declared: Column, *, held: Contents) -> None:
    if held.least is None or held.most is None:
        return
    lowest = declared.min if declared.min is not None else float("-inf")
    highest = declared.max if declared.max is not None else float("inf")
    finite = held.least != float("-inf") and held.most != float("inf")
    if finite and lowest <= held.least and held.most <= highest and (held.whole or not declared.whole):
        return
    found = f"{held.least:g} to {held.most:g}{'' if held.whole else ', not all whole'}"
    why = f"column {column}: expected {NUMBERS[declared.whole]} from {lowest:g} to {highest:g}, found {found}"
    fix = f"mend what writes {column}, or widen its range in [data.columns]"
    raise Poison(f"{name} is out of range in column {column}", why=why, fix=fix, code="DATA_RANGE")


def _check_values(name: str, column: str, declared: Column, *, held: Contents) -> None:
    strange = held.values - frozenset(declared.values) if declared.values else frozenset()
    if strange:
        why = f"column {column}: expected one of {_some(declared.values)}, found {_some(strange)}"
        fix = f"mend what writes {column}, or add the value to [data.columns]"
        raise Poison(f"{name} has unknown values in column {column}", why=why, fix=fix, code="DATA_VALUES")


def _check_nulls(name: str, column: str, declared: Column, *, held: Contents) -> None:
    share = held.nulls / held.rows if held.rows else 0.0
    if share > declared.nulls:
        why = f"column {column}: expected at most {declared.nulls:.1%} of the rows without a value, found {share:.1%}"
        fix = f"find out why {column} is missing there, or raise its nulls in [data.columns]"
        raise Poison(f"{name} misses too much of column {column}", why=why, fix=fix, code="DATA_NULLS")


def _rows_fix(rows: int) -> str:
    return "split it into several files, or raise at_most_rows in [data]" if rows else "send files that have rows"


def _some(names: Mapping[str, object] | frozenset[str] | list[str]) -> str:
    """A few of them, in order, each short: a stranger's text in a reason."""
    every = sorted(names)
    shown = ", ".join(repr(name[:40]) for name in every[:SHOWN]) or "none"
    return f"{shown} and {len(every) - SHOWN} more" if len(every) > SHOWN else shown
