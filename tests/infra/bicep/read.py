"""Bicep tokens to syntax: one method for each thing that the language has."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from tests.infra.bicep.syntax import (
    Array,
    At,
    Call,
    Choice,
    Condition,
    Declared,
    Decorator,
    Expression,
    Function,
    Index,
    Lambda,
    Literal,
    Loop,
    Member,
    Module,
    Name,
    Nested,
    Object,
    Operation,
    Output,
    Parameter,
    Resource,
    Template,
    Text,
    Variable,
)
from tests.infra.bicep.tokens import Token, Unreadable, tokens

STRENGTH = {
    "*": 7, "/": 7, "%": 7, "+": 6, "-": 6, "<": 5, ">": 5, "<=": 5, ">=": 5,
    "==": 4, "!=": 4, "=~": 4, "!~": 4, "&&": 3, "||": 2, "??": 1,
}  # fmt: skip
CONSTANTS = {"true": True, "false": False, "null": None}


@lru_cache(maxsize=512)
def template(path: str, source: str) -> Template:
    """Read one file.

    Args:
        path: Its name, relative to the folder of templates: for messages, and for the modules it names.
        source: What it says.

    Raises:
        Unreadable: It is no Bicep, or uses what no test here can follow.
    """
    return _Reader(path, source).template()


class _Reader:
    def __init__(self, path: str, source: str) -> None:
        self._path, self._source, self._left, self._next = path, source, tokens(path, source), 0
        self._declared: dict[str, Declared] = {}
        self._outputs: dict[str, Output] = {}

    def template(self) -> Template:
        """The whole file."""
        scope = "resourceGroup"
        while self._skip_lines().kind != "end":
            decorators = self._decorators()
            word = self._take("word")
            if word.text == "targetScope":
                self._take("=")
                scope = self._plain()
            elif word.text == "metadata":
                self._take("word")
                self._take("=")
                self._expression()
            elif word.text == "output":
                self._add(self._outputs, self._output(decorators, word.at))
            else:
                self._add(self._declared, self._declaration(word, decorators))
            if self._peek().kind not in ("line", "end"):
                raise self._unexpected("a new line")
        return Template(self._path, scope, self._declared, self._outputs)

    def _add[Kind: Declared | Output](self, known: dict[str, Kind], made: Kind) -> None:
        if made.name in known:
            raise Unreadable(f"{made.at}: {made.name} is declared twice")
        known[made.name] = made

    def _declaration(self, word: Token, decorators: tuple[Decorator, ...]) -> Declared:
        readers: Mapping[str, Callable[[At, tuple[Decorator, ...]], Declared]] = {
            "param": self._parameter,
            "var": self._variable,
            "resource": self._resource,
            "module": self._module,
            "func": self._function,
        }
        if word.text not in readers:
            raise Unreadable(f"{word.at}: no test here can follow {word.text!r}")
        return readers[word.text](word.at, decorators)

    def _parameter(self, at: At, decorators: tuple[Decorator, ...]) -> Parameter:
        name, kind = self._take("word").text, self._type()
        default = self._expression() if self._took("=") else None
        return Parameter(name, kind.removesuffix("?"), kind.endswith("?"), default, decorators, at)

    def _variable(self, at: At, _decorators: tuple[Decorator, ...]) -> Variable:
        name = self._take("word").text
        self._take("=")
        return Variable(name, self._expression(), at)

    def _output(self, decorators: tuple[Decorator, ...], at: At) -> Output:
        name, kind = self._take("word").text, self._type()
        self._take("=")
        return Output(name, kind, self._expression(), decorators, at)

    def _resource(self, at: At, _decorators: tuple[Decorator, ...]) -> Resource:
        name = self._take("word").text
        kind, _, api = self._plain().partition("@")
        existing = self._took("existing")
        self._take("=")
        return Resource(name, kind, api, existing, self._body(), at)

    def _module(self, at: At, _decorators: tuple[Decorator, ...]) -> Module:
        name, path = self._take("word").text, self._plain()
        self._take("=")
        return Module(name, path, self._body(), at)

    def _function(self, at: At, _decorators: tuple[Decorator, ...]) -> Function:
        name = self._take("word").text
        self._take("(")
        names: list[str] = []
        while not self._took(")"):
            names.append(self._take("word").text)
            self._type()
            self._took(",")
        self._type()
        self._take("=>")
        return Function(name, tuple(names), self._expression(), at)

    def _decorators(self) -> tuple[Decorator, ...]:
        made: list[Decorator] = []
        while self._took("@"):
            call = self._expression()
            if not isinstance(call, Call):
                raise self._unexpected("a decorator, which is a call")
            made.append(Decorator(call.function, call.arguments))
            self._skip_lines()
        return tuple(made)

    def _type(self) -> str:
        """A written type, as it stands: up to the end of the line, `=`, `=>`, `,` or `)` outside all brackets."""
        begin, depth = self._peek().begin, 0
        while True:
            token = self._peek()
            ends = token.kind in ("line", "end") or token.text in ("=", "=>", ",", ")")
            if depth == 0 and ends:
                return self._source[begin : token.begin].split("//")[0].strip()
            depth += {"{": 1, "[": 1, "(": 1, "}": -1, "]": -1, ")": -1}.get(token.text, 0)
            self._advance()

    def _body(self) -> Expression:
        at = self._peek().at
        if self._took("if"):
            self._take("(")
            condition = self._expression()
            self._take(")")
            return Condition(condition, self._body(), at)
        return self._expression()

    def _expression(self) -> Expression:
        condition = self._binary(1)
        after = self._peek_over_lines()
        if after.text != "?":
            return condition
        self._skip_lines()
        self._take("?")
        self._skip_lines()
        yes = self._expression()
        self._skip_lines()
        self._take(":")
        self._skip_lines()
        return Choice(condition, yes, self._expression(), condition.at)

    def _binary(self, weakest: int) -> Expression:
        left = self._unary()
        while (strength := STRENGTH.get(self._peek().text, 0)) >= weakest and self._peek().kind == "sign":
            operator = self._advance().text
            self._skip_lines()
            left = Operation(operator, (left, self._binary(strength + 1)), left.at)
        return left

    def _unary(self) -> Expression:
        token = self._peek()
        if token.kind == "sign" and token.text in ("!", "-"):
            self._advance()
            return Operation(token.text, (self._unary(),), token.at)
        return self._postfix(self._primary())

    def _postfix(self, of: Expression) -> Expression:
        while True:
            token = self._peek()
            if token.text in (".", ".?"):
                self._advance()
                of = Member(of, self._take("word").text, token.text == ".?", token.at)
            elif token.text == "[":
                self._advance()
                safe = self._took("?")
                of = Index(of, self._expression(), safe, token.at)
                self._take("]")
            elif token.text == "::":
                self._advance()
                of = Nested(of, self._take("word").text, token.at)
            elif token.text == "(":
                of = Call(_dotted(of), self._arguments(), of.at)
            elif token.text == "!":
                self._advance()  # says that it is not null; the value is the same
            else:
                return of

    def _arguments(self) -> tuple[Expression, ...]:
        self._take("(")
        self._skip_lines()
        found: list[Expression] = []
        while not self._took(")"):
            found.append(self._expression())
            self._skip_lines()
            if self._peek().text != ")":
                self._take(",")
                self._skip_lines()
        return tuple(found)

    def _primary(self) -> Expression:
        token = self._peek()
        brackets = {"(": self._parenthesis, "[": self._array, "{": self._object}
        if token.kind == "sign" and token.text in brackets:
            return brackets[token.text]()
        leaves: Mapping[str, Callable[[Token], Expression]] = {
            "number": lambda number: Literal(int(number.text), number.at),
            "text": self._interpolated,
            "block": lambda block: Text((block.text[3:-3].removeprefix("\r").removeprefix("\n"),), block.at),
            "word": self._word,
        }
        if token.kind not in leaves:
            raise self._unexpected("an expression")
        return leaves[token.kind](self._advance())

    def _word(self, token: Token) -> Expression:
        if token.text in CONSTANTS:
            return Literal(CONSTANTS[token.text], token.at)
        if self._took("=>"):
            return Lambda((token.text,), self._expression(), token.at)
        return Name(token.text, token.at)

    def _interpolated(self, token: Token) -> Text:
        parts: list[str | Expression] = []
        for part in token.parts:
            if isinstance(part, str):
                parts.append(part)
                continue
            inner = _Reader.__new__(_Reader)
            inner._path, inner._source, inner._left, inner._next = self._path, self._source, part, 0
            parts.append(inner._expression())
            if inner._peek().kind != "end":
                raise inner._unexpected("the end of an interpolation")
        return Text(tuple(parts), token.at)

    def _parenthesis(self) -> Expression:
        at, begin = self._take("(").at, self._next
        names: list[str] = []
        while self._peek().kind == "word":
            names.append(self._advance().text)
            if not self._took(","):
                break
        if self._took(")") and self._took("=>"):
            return Lambda(tuple(names), self._expression(), at)
        self._next = begin
        self._skip_lines()
        inner = self._expression()
        self._skip_lines()
        self._take(")")
        return inner

    def _array(self) -> Expression:
        at = self._take("[").at
        if self._skip_lines().text == "for" and self._peek().kind == "word":
            return self._loop(at)
        items: list[Expression] = []
        while self._skip_lines().text != "]":
            items.append(self._expression())
            self._separated("]")
        self._take("]")
        return Array(tuple(items), at)

    def _loop(self, at: At) -> Expression:
        self._take("for")
        index = None
        if self._took("("):
            item = self._take("word").text
            self._take(",")
            index = self._take("word").text
            self._take(")")
        else:
            item = self._take("word").text
        self._take("in")
        over = self._expression()
        self._take(":")
        self._skip_lines()
        body = self._body()
        self._skip_lines()
        self._take("]")
        return Loop(item, index, over, body, at)

    def _object(self) -> Expression:
        at = self._take("{").at
        items: list[tuple[Text, Expression]] = []
        nested: list[Resource] = []
        while self._skip_lines().text != "}":
            self._decorators()
            token = self._advance()
            if token.text == "resource" and self._peek().kind == "word":
                nested.append(self._resource(token.at, ()))
            else:
                key = self._interpolated(token) if token.kind == "text" else Text((token.text,), token.at)
                if token.kind not in ("word", "text") or key.parts in [known.parts for known, _ in items]:
                    raise Unreadable(f"{token.at}: {token.text!r} is no property's name, or is there twice")
                self._take(":")
                self._skip_lines()
                items.append((key, self._expression()))
            self._separated("}")
        self._take("}")
        return Object(tuple(items), tuple(nested), at)

    def _separated(self, close: str) -> None:
        if self._peek().text != close and not self._took(",") and self._peek().kind != "line":
            raise self._unexpected(f"a comma, a new line or {close}")

    def _plain(self) -> str:
        token = self._take("text")
        if any(not isinstance(part, str) for part in token.parts):
            raise Unreadable(f"{token.at}: this text may hold no expression")
        return "".join(str(part) for part in token.parts)

    def _peek(self) -> Token:
        return self._left[self._next]

    def _peek_over_lines(self) -> Token:
        return next(token for token in self._left[self._next :] if token.kind != "line")

    def _skip_lines(self) -> Token:
        while self._peek().kind == "line":
            self._advance()
        return self._peek()

    def _advance(self) -> Token:
        token = self._peek()
        if token.kind == "end":
            raise Unreadable(f"{token.at}: the file ends in the middle")
        self._next += 1
        return token

    def _took(self, text: str) -> bool:
        found = self._peek().text == text and self._peek().kind in ("word", "sign")
        self._next += found
        return found

    def _take(self, wanted: str) -> Token:
        token = self._peek()
        if wanted not in (token.kind, token.text):
            raise self._unexpected(wanted)
        return self._advance()

    def _unexpected(self, wanted: str) -> Unreadable:
        token = self._peek()
        return Unreadable(f"{token.at}: {wanted} is wanted, and there is {token.text!r}")


def _dotted(of: Expression) -> str:
    match of:
        case Name(name=name):
            return name
        case Member(of=Name(name="az" | "sys"), name=name):
            return name
        case Member(of=inner, name=name):
            return f"{_dotted(inner)}.{name}"
    raise Unreadable(f"{of.at}: only a name can be called")
