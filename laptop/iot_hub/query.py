"""IoT Hub's query language: target conditions of deployments, and SELECT over device and module twins."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Literal

from laptop.iot_hub import values as logic
from laptop.iot_hub.values import UNDEFINED, Document, Expression, Path, lookup

Json = dict[str, object]


class QueryError(ValueError):
    """The text is no valid query; the message says where and what, as the service's parser does."""


_TOKEN = re.compile(
    r"""(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<number>0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<quoted>\[\[[^\]]+\]\])
    |(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
    |(?P<symbol><>|!=|<=|>=|[=<>(),.\[\]+\-*/%])""",
    re.VERBOSE,
)
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_RESERVED = frozenset((
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "NIN", "TRUE", "FALSE", "NULL", "UNDEFINED", "AS", "TOP",
    "GROUP", "BY", "ORDER",
))  # a property with such a name is written [[name]]  # fmt: skip
_ROOTS = {
    root.lower(): root
    for root in (
        "deviceId", "moduleId", "tags", "properties", "configurations", "capabilities", "status", "connectionState",
        "lastActivityTime", "etag", "version", "managedBy", "authenticationType", "statusUpdateTime", "deviceScope",
    )
}  # fmt: skip
_TARGET_ROOTS = (("deviceId",), ("tags",), ("properties", "reported"))
_SOURCES = ("devices", "devices.modules")


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter over documents.

    Args:
        test: Evaluates the filter on one document.
        paths: Every property it reads.
    """

    test: Expression
    paths: tuple[Path, ...]

    def matches(self, document: Document) -> bool:
        """Whether the document passes: only Boolean true does."""
        return self.test(document) is True

    @property
    def reads_reported(self) -> bool:
        """Whether a change of reported properties can change the outcome."""
        return any(path[:2] == ("properties", "reported") for path in self.paths)


@dataclass(frozen=True, slots=True)
class Column:
    """One element of a projection: a property, or an aggregate of one (of every row when the path is empty)."""

    alias: str
    path: Path
    aggregate: Literal["COUNT", "SUM", "AVG", "MIN", "MAX"] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT: ``columns`` is empty for ``*``, ``top`` and ``group_by`` are None when absent."""

    source: str
    condition: Condition
    columns: tuple[Column, ...]
    top: int | None
    group_by: Path | None

    @property
    def item_type(self) -> str:
        """What the service calls the rows: whole twins, or raw objects."""
        return "raw" if self.columns else "twin"

    def run(self, documents: Iterable[Document]) -> list[Document]:
        """The rows, in the order of the documents (of each group's first document when grouped)."""
        found = [document for document in documents if self.condition.matches(document)]
        if not self.columns:
            rows: list[Document] = found
        elif self.group_by is None and not any(column.aggregate for column in self.columns):
            rows = [_project(self.columns, [document]) for document in found]
        else:
            rows = [_project(self.columns, group) for group in _groups(found, self.group_by)]
        return rows[: self.top]


@lru_cache(maxsize=1024)
def parse_target_condition(text: str) -> Condition:
    """The target condition of a deployment: ``*``, or a filter over deviceId, tags and reported properties.

    Raises:
        QueryError: It does not parse, or it reads something else; the wording of the latter is the service's own.
    """
    if text.strip() == "*":
        return Condition(lambda _: True, ())
    condition = _Parser(text).whole_condition()
    foreign = [path for path in condition.paths if not any(path[: len(root)] == root for root in _TARGET_ROOTS)]
    if foreign or not condition.paths:
        raise QueryError(
            "Invalid targetCondition. It must be a filter condition based on 'deviceId', 'tags', or "
            f"'properties.reported'. It contains: {'.'.join(foreign[0]) if foreign else text.strip()}"
        )
    return condition


@lru_cache(maxsize=1024)
def parse_query(text: str) -> Query:
    """A SELECT over ``devices`` or ``devices.modules``.

    Raises:
        QueryError: It does not parse, or it uses a collection or a clause that is not supported.
    """
    return _Parser(text).whole_query()


def _project(columns: Iterable[Column], group: list[Document]) -> Json:
    row = {column.alias: _cell(column, group) for column in columns}
    return {alias: value for alias, value in row.items() if value is not UNDEFINED}


def _cell(column: Column, group: list[Document]) -> object:
    if column.aggregate == "COUNT":
        return len(group)
    values = [lookup(document, column.path) for document in group]
    if column.aggregate is None:
        return values[0] if values else UNDEFINED
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers:
        return UNDEFINED
    fold: Mapping[str, Callable[[list[float]], float]] = {"SUM": sum, "AVG": fmean, "MIN": min, "MAX": max}
    return fold[column.aggregate](numbers)


def _groups(documents: list[Document], path: Path | None) -> list[list[Document]]:
    if path is None:
        return [documents]
    groups: dict[str, list[Document]] = {}
    for document in documents:
        groups.setdefault(repr(lookup(document, path)), []).append(document)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "name" else ""


class _Parser:
    """Recursive descent: one method per rule of the grammar, loosest binding first."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._scan())
        self.next = 0
        self.paths: list[Path] = []

    def whole_condition(self) -> Condition:
        condition = self._condition()
        self._end()
        return condition

    def whole_query(self) -> Query:
        self._expect("SELECT")
        top = self._top() if self._take("TOP") else None
        columns = () if self._take("*") else self._columns()
        self._expect("FROM")
        source = self._source()
        condition = self._condition() if self._take("WHERE") else Condition(lambda _: True, ())
        group_by = self._group_by() if self._take("GROUP") else None
        self._end()
        return Query(source, condition, columns, top, group_by)

    def _condition(self) -> Condition:
        self.paths.clear()
        return Condition(self._or(), tuple(self.paths))

    def _scan(self) -> Iterable[_Token]:
        at = _SPACE.match(self.text).end()  # type: ignore[union-attr]  # the empty match always succeeds
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self._error(at, f"Unexpected character at input '{self.text[at]}'")
            yield _Token(match.lastgroup or "", match.group(), at)
            at = _SPACE.match(self.text, match.end()).end()  # type: ignore[union-attr]  # as above
        yield _Token("end", "<EOF>", at)

    def _error(self, at: int, what: str) -> QueryError:
        line, start = self.text.count("\n", 0, at) + 1, self.text.rfind("\n", 0, at) + 1
        return QueryError(f"Line {line}:{at - start} {what}")

    @property
    def _token(self) -> _Token:
        return self.tokens[self.next]

    def _unexpected(self, expected: str) -> QueryError:
        return self._error(self._token.at, f"Unexpected input '{self._token.text}', expecting {expected}")

    def _take(self, *wanted: str) -> str:
        """Consume the next token if it is one of these keywords or symbols; say which."""
        token = self._token
        text = token.word or (token.text if token.kind == "symbol" else "")
        if text not in wanted or not text:
            return ""
        self.next += 1
        return text

    def _expect(self, wanted: str) -> None:
        if not self._take(wanted):
            raise self._unexpected(f"'{wanted}'")

    def _end(self) -> None:
        if self._token.kind != "end":
            raise self._unexpected("end of query")

    def _top(self) -> int:
        token = self._token
        if token.kind != "number" or not token.text.isdigit():
            raise self._unexpected("a whole number")
        self.next += 1
        return int(token.text)

    def _columns(self) -> tuple[Column, ...]:
        columns = [self._column()]
        while self._take(","):
            columns.append(self._column())
        return tuple(columns)

    def _column(self) -> Column:
        word, after = self._token.word, self.tokens[self.next + 1] if self._token.kind != "end" else self._token
        if after.text == "(" and word in ("COUNT", "SUM", "AVG", "MIN", "MAX"):
            self.next += 2
            path = () if word == "COUNT" else self._path()
            self._expect(")")
            return Column(self._alias() or f"{word.lower()}", path, word)  # type: ignore[arg-type]  # one of the five
        path = self._path()
        return Column(self._alias() or path[-1], path)

    def _alias(self) -> str:
        return self._path()[0] if self._take("AS") else ""

    def _source(self) -> str:
        source = ".".join(self._path(roots={})).lower()
        if source not in _SOURCES:
            raise QueryError(f"Collection '{source}' is not supported here: use one of {', '.join(_SOURCES)}")
        return source

    def _group_by(self) -> Path:
        self._expect("BY")
        return self._path()

    def _path(self, roots: Mapping[str, str] = _ROOTS) -> Path:
        names = [self._name()]
        names[0] = roots.get(names[0].lower(), names[0])
        while self._take("."):
            names.append(self._name())
        return tuple(names)

    def _name(self) -> str:
        token = self._token
        if token.kind == "quoted":
            self.next += 1
            return token.text[2:-2]
        if token.kind != "name" or token.word in _RESERVED:
            raise self._unexpected("a property")
        self.next += 1
        return token.text

    def _or(self) -> Expression:
        left = self._and()
        while self._take("OR"):
            left = logic.either(left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._not()
        while self._take("AND"):
            left = logic.both(left, self._not())
        return left

    def _not(self) -> Expression:
        return logic.negated(self._not()) if self._take("NOT") else self._comparison()

    def _comparison(self) -> Expression:
        left = self._sum()
        if symbol := self._take("=", "!=", "<>", "<", ">", "<=", ">="):
            return logic.compared(left, symbol, self._sum())
        if self._take("IN"):
            return logic.contained(left, self._array())
        if self._take("NIN"):
            return logic.negated(logic.contained(left, self._array()))
        if self._token.word == "NOT" and self.tokens[self.next + 1].word == "IN":
            self.next += 2
            return logic.negated(logic.contained(left, self._array()))
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while symbol := self._take("+", "-"):
            left = logic.calculated(left, symbol, self._product())
        return left

    def _product(self) -> Expression:
        left = self._operand()
        while symbol := self._take("*", "/", "%"):
            left = logic.calculated(left, symbol, self._operand())
        return left

    def _operand(self) -> Expression:
        if self._take("("):
            inner = self._or()
            self._expect(")")
            return inner
        if self._token.kind == "name" and self.tokens[self.next + 1].text == "(":
            return self._function()
        if self._token.text == "-" or self._token.kind in ("string", "number") or self._token.word in _CONSTANTS:
            value = self._constant()
            return lambda _: value
        path = self._path()
        self.paths.append(path)
        return lambda document: lookup(document, path)

    def _function(self) -> Expression:
        word = self._token.word
        if word not in ("IS_DEFINED", "STARTSWITH"):
            raise self._error(self._token.at, f"Function '{self._token.text}' is not supported on twins")
        self.next += 2
        first = self._operand()
        if word == "IS_DEFINED":
            self._expect(")")
            return lambda document: first(document) is not UNDEFINED
        self._expect(",")
        second = self._operand()
        self._expect(")")
        return logic.starting(first, second)

    def _array(self) -> list[object]:
        self._expect("[")
        values = [self._constant()]
        while self._take(","):
            values.append(self._constant())
        self._expect("]")
        return values

    def _constant(self) -> object:
        sign = -1 if self._take("-") else 1
        token = self._token
        if token.kind == "number":
            self.next += 1
            number = int(token.text, 16) if token.text[:2] in ("0x", "0X") else float(token.text)
            return sign * number
        if sign == 1 and token.kind == "string":
            self.next += 1
            return _ESCAPE.sub(_unescaped, token.text[1:-1])
        if sign == 1 and token.word in _CONSTANTS:
            self.next += 1
            return _CONSTANTS[token.word]
        raise self._unexpected("a constant")


_CONSTANTS: Mapping[str, object] = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1)
    return chr(int(code[1:], 16)) if len(code) > 1 else code
