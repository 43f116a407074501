"""Bicep text to tokens. Own code, for tree-sitter's grammar binds `.` looser than `?:`, `&&` and `==`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.infra.bicep.syntax import At

PATTERN = re.compile(
    r"""(?P<blank>[ \t\r]+|//[^\n]*|\#[^\n]*|/\*.*?\*/)
      |(?P<line>\n)
      |(?P<block>'''.*?'''(?!'))
      |(?P<quote>')
      |(?P<number>\d+)
      |(?P<word>[A-Za-z_]\w*)
      |(?P<sign>\.\.\.|\.\?|\?\?|::|=>|==|!=|=~|!~|<=|>=|&&|\|\||[{}\[\](),:?.!=<>+\-*/%@|])""",
    re.VERBOSE | re.DOTALL,
)
PLAIN = re.compile(r"(?:[^'\\$\n]|\$(?!\{)|\\u\{[0-9a-fA-F]+\}|\\[\\'nrt$])*")
ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|(.))")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Unreadable(Exception):
    """A file is no Bicep, or uses what no test here can follow; the message says where."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a file.

    Args:
        kind: line, block, text, number, word, sign or end.
        text: As it is written; of a text, without what is interpolated.
        at: Where it begins.
        parts: Of a text: its plain parts, unescaped, and the tokens of each interpolation.
        begin: Its first character, counted from 0.
    """

    kind: str
    text: str
    at: At
    begin: int
    parts: tuple["str | tuple[Token, ...]", ...] = ()


def tokens(path: str, source: str) -> tuple[Token, ...]:
    """Every token of a file, an end behind them.

    Raises:
        Unreadable: Something is no token, or a bracket or text stays open.
    """
    return tuple(_Lexer(path, source).run(nested=False))


class _Lexer:
    def __init__(self, path: str, source: str) -> None:
        self._path, self._source, self._place = path, source, 0
        self._line, self._counted = 1, 0

    def run(self, *, nested: bool) -> Iterator[Token]:
        open_braces = 0
        while self._place < len(self._source):
            match = PATTERN.match(self._source, self._place)
            if match is None:
                raise Unreadable(f"{self._at()}: {self._source[self._place]!r} stands where no token begins")
            kind, text, begin = str(match.lastgroup), match[0], self._place
            if nested and text == "}" and not open_braces:
                return
            open_braces += {"{": 1, "}": -1}.get(text, 0)
            if kind == "quote":
                yield self._text()
                continue
            at = self._at()
            self._place = match.end()
            if kind != "blank":
                yield Token(kind, text, at, begin)
        if nested:
            raise Unreadable(f"{self._at()}: an interpolation is never closed")
        yield Token("end", "", self._at(), self._place)

    def _text(self) -> Token:
        at, begin = self._at(), self._place
        self._place += 1
        parts: list[str | tuple[Token, ...]] = []
        while True:
            match = PLAIN.match(self._source, self._place)
            plain = match[0] if match else ""
            self._place += len(plain)
            if plain:
                parts.append(ESCAPE.sub(_meant, plain))
            if self._source.startswith("${", self._place):
                self._place += 2
                parts.append((*self.run(nested=True), Token("end", "", self._at(), self._place)))
                self._place += 1
                continue
            if not self._source.startswith("'", self._place):
                raise Unreadable(f"{at}: a text is not closed on its line, or escapes what cannot be escaped")
            self._place += 1
            return Token("text", self._source[begin : self._place], at, begin, tuple(parts))

    def _at(self) -> At:
        self._line += self._source.count("\n", self._counted, self._place)
        self._counted = self._place
        return At(self._path, self._line)


def _meant(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else ESCAPES.get(match[2], match[2])
