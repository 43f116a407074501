"""A profile's text back into blocks; whatever is unsound in it is refused, with the reason."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn, TypeGuard

import numpy as np

from sketch.blocks import Blocks
from sketch.calibration import Calibration
from sketch.contexts import MOST_CONTEXTS, Contexts, Key
from sketch.features import (
    CELLS,
    MOST_CATEGORIES,
    SMALLEST_WIDTH,
    CategoryFeature,
    Feature,
    NumberFeature,
    PairFeature,
    Side,
    in_utf8,
)

VERSION = 2
LONGEST_JSON = 4 * 1024 * 1024  # characters; a profile of 25 features and 24 contexts has about 100,000
MOST_ROWS = 2**53  # Beyond it a count is no longer exact as a float.
_LARGEST_WHOLE = 2**53

type Content = Mapping[str, object]


def read_blocks(text: str) -> Blocks:
    """Read the canonical text, or any other spelling of the same JSON.

    Raises:
        ValueError: Anything unsound: not JSON, another version, a grid without width, counts that do not add up.
    """
    content = _content(text)
    rows, features, pairs = content.get("rows"), content.get("features"), content.get("pairs")
    if type(rows) is not int or not 1 <= rows <= MOST_ROWS:
        raise ValueError(f"a profile has a number of rows, 1 to {MOST_ROWS}")
    if not isinstance(features, list) or not features or not isinstance(pairs, list):
        raise ValueError("a profile has lists of features and of pairs")
    found = tuple(_feature(feature, rows) for feature in features)
    named = {feature.name: feature for feature in found}
    if len(named) != len(found):
        raise ValueError("two features of the profile have one name")
    bare = Blocks(
        rows=rows,
        features=found,
        scores=_number(content.get("scores"), rows),
        pairs=tuple(_pair(pair, rows, named) for pair in pairs),
        calibration=Calibration.from_dict(content["calibration"]) if content.get("calibration") else None,
    )
    return replace(bare, contexts=_contexts(content["contexts"], bare)) if content.get("contexts") else bare


def _content(text: str) -> Content:
    if len(text) > LONGEST_JSON:
        raise ValueError(f"a profile has at most {LONGEST_JSON} characters; got {len(text)}")
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as problem:
        raise ValueError("a profile is not nested this deeply") from problem
    found = _object(content, "a profile")
    if (version := found.get("version")) != VERSION:
        raise ValueError(f"the profile has version {version!r:.20}; this reader knows {VERSION}: train the model again")
    return found


def _object(content: object, what: str) -> Content:
    if not isinstance(content, Mapping):
        raise ValueError(f"{what} is not a JSON object")  # noqa: TRY004 - a reader has one kind of refusal
    return content


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of a profile")


def _feature(content: object, rows: int) -> Feature:
    if isinstance(content, dict) and content.get("kind") == "category":
        return _category(content, rows)
    return _number(content, rows)


def _number(content: object, rows: int) -> NumberFeature:
    if not isinstance(content, dict) or content.get("kind") != "number":
        raise ValueError("a feature of a profile is a number or a category")
    return _grid(content, rows)


def _grid(content: Content, rows: int) -> NumberFeature:
    name = _text(content.get("name"), "a feature of a profile has a name")
    low, width = _finite(content.get("low"), name), _finite(content.get("width"), name)
    if width < SMALLEST_WIDTH:
        raise ValueError(f"the cells of feature {name!r} are {width} wide; at least {SMALLEST_WIDTH} is needed")
    counts = _counts(content.get("counts"), name, length=CELLS + 3, rows=rows)
    edges = _whole(content.get("edges"), f"the edges of feature {name!r}")
    if sorted(set(edges)) != list(edges) or not all(1 <= edge < CELLS for edge in edges):
        raise ValueError(f"the edges of feature {name!r} do not ascend within 1..{CELLS - 1}")
    return NumberFeature(name, low, width, counts, edges, _correlation(content, name))


def _pair(content: object, rows: int, named: Mapping[str, Feature]) -> PairFeature:
    if not isinstance(content, dict) or content.get("kind") != "pair":
        raise ValueError("the pairs of a profile are pairs")
    grid = _grid(content, rows)
    left, right = (_side(content.get(side), grid.name) for side in ("left", "right"))
    if not all(isinstance(named.get(side.name), NumberFeature) for side in (left, right)):
        raise ValueError(f"the pair {grid.name!r} is not of two features that are numbers")
    return PairFeature(
        grid.name, grid.low, grid.width, grid.counts, grid.edges, grid.autocorrelation, left=left, right=right
    )


def _side(content: object, pair: str) -> Side:
    found = _object(content, f"a side of the pair {pair!r}")
    name = _text(found.get("name"), f"a side of the pair {pair!r} has no name")
    low, high, mean, deviation = (_finite(found.get(part), pair) for part in ("low", "high", "mean", "deviation"))
    if not low <= mean <= high or deviation < SMALLEST_WIDTH:
        raise ValueError(f"the pair {pair!r} has a side without a mean within its range, or without a deviation")
    return Side(name, low, high, mean, deviation)


def _category(content: Content, rows: int) -> CategoryFeature:
    name = _text(content.get("name"), "a feature of a profile has a name")
    categories = content.get("categories")
    if not isinstance(categories, list) or not all(_is_text(category) for category in categories):
        raise ValueError(f"feature {name!r} has no list of categories")
    if len(categories) > MOST_CATEGORIES or len(set(categories)) != len(categories):
        raise ValueError(f"feature {name!r} has repeated categories, or more than {MOST_CATEGORIES}")
    counts = _counts(content.get("counts"), name, length=len(categories) + 2, rows=rows)
    return CategoryFeature(name, tuple(categories), counts, _correlation(content, name))


def _contexts(content: object, bare: Blocks) -> Contexts:
    parts = _object(content, "the contexts of a profile")
    columns, keys, coarse = parts.get("columns"), parts.get("keys"), parts.get("coarse")
    if not isinstance(columns, list) or not columns or len(set(map(str, columns))) != len(columns):
        raise ValueError("the contexts of a profile name their columns, each once")
    names = tuple(_text(name, "a context's column has a name") for name in columns)
    if not isinstance(keys, list) or len(keys) > MOST_CONTEXTS:
        raise ValueError(f"the contexts of a profile are at most {MOST_CONTEXTS}")
    found = tuple(_key(key, len(names)) for key in keys)
    if len(set(found)) != len(found) or any(
        len({type(value) for value in column}) > 1 for column in zip(*found, strict=True)
    ):
        raise ValueError("the contexts of a profile repeat, or mix text and numbers in one column")
    counts = _counts(parts.get("counts"), "contexts", length=len(found) + 1, rows=bare.rows)
    if not isinstance(coarse, list) or len(coarse) != len(found):
        raise ValueError("the profile does not have coarse counts for every context")
    lines = tuple(_line(line, bare, rows) for line, rows in zip(coarse, counts[:-1], strict=True))
    return Contexts(names, found, counts, lines)


def _key(content: object, length: int) -> Key:
    if not isinstance(content, list) or len(content) != length:
        raise ValueError("a context has a value for each of its columns")
    if not all(_is_text(value) or (type(value) is int and abs(value) <= _LARGEST_WHOLE) for value in content):
        raise ValueError("a context's values are text or whole numbers")
    return tuple(content)


def _line(content: object, bare: Blocks, rows: int) -> tuple[int, ...]:
    """The coarse counts of one context; each block's add up to the context's rows."""
    line = _whole(content, "the coarse counts of a context")
    if len(line) != len(bare.stretches) or max(line) > MOST_ROWS:
        raise ValueError("a context does not have a count for every stretch of cells")
    firsts = [cells.start for _, cells in bare.watched]
    if (np.add.reduceat(np.array(line, np.int64), np.searchsorted(bare.stretches, firsts)) != rows).any():
        raise ValueError("the coarse counts of a context do not add up to its rows")
    return line


def _counts(content: object, name: str, *, length: int, rows: int) -> tuple[int, ...]:
    counts = _whole(content, f"the counts of feature {name!r}")
    if len(counts) != length or sum(counts) != rows:
        raise ValueError(f"feature {name!r} needs {length} counts that add up to {rows} rows")
    return counts


def _whole(content: object, what: str) -> tuple[int, ...]:
    if not isinstance(content, list) or not all(type(count) is int and count >= 0 for count in content):
        raise ValueError(f"{what} are not whole numbers from 0")
    return tuple(content)


def _correlation(content: Content, name: str) -> float:
    found = content.get("autocorrelation")
    if type(found) is not float or not 0 <= found < 1:
        raise ValueError(f"the autocorrelation of feature {name!r} is not within 0..1, 1 excluded")
    return found


def _finite(content: object, name: str) -> float:
    if type(content) is not float or not math.isfinite(content):
        raise ValueError(f"feature {name!r} has no finite grid")
    return content


def _text(content: object, problem: str) -> str:
    if not _is_text(content):
        raise ValueError(problem)
    return content


def _is_text(content: object) -> TypeGuard[str]:
    return isinstance(content, str) and in_utf8(content)
