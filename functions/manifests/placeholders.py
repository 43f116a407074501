"""Values that a template leaves open: `${NAME}`, `$NAME`, `<Name>`, `{{name}}`, `#{name}#`, `__NAME__`."""

import re

# Names with a dollar that mean something to the runtime itself are no placeholders
_OURS = r"(?!(?:upstream|edgeAgent|edgeHub|iothub|body|twin|connection\w*|dt)\b)"
_FRAMED = (
    r"\$\{[^{}]*\}|\$\([A-Za-z_][\w.]*\)|<[A-Za-z][\w .\-]*>"
    r"|\{\{[^{}]+\}\}|#\{[^{}]+\}#?|\b__\w+__\b|%[A-Z_]{2,}%"
)
_OPEN = re.compile(rf"{_FRAMED}|\$(?i:{_OURS})[A-Za-z_]\w*")
_SURELY = re.compile(rf"{_FRAMED}|\$[A-Z_][A-Z0-9_]\w*")
_BARE = re.compile(r"\$\{[^{}\s]*\}|\$[A-Za-z_]\w*|<[A-Za-z][\w.\-]*>|\{\{[^{}\n]+\}\}|#\{[^{}\n]+\}#?")


def holds(value: object) -> bool:
    """Whether a text has a part that somebody fills in later."""
    return isinstance(value, str) and bool(_OPEN.search(value))


def holds_surely(text: str) -> bool:
    """The same where a dollar and a small name have a meaning of their own: in routes, and in names."""
    return bool(_SURELY.search(text))


def is_open(value: object) -> bool:
    """Whether a value is nothing but a placeholder, and so may become anything."""
    return isinstance(value, str) and bool(_OPEN.fullmatch(value.strip()))


def bare(text: str, at: int) -> int:
    """End of the placeholder that stands at a position outside of quotes; the position itself if there is none."""
    match = _BARE.match(text, at)
    return match.end() if match else at
