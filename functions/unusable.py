"""What is said of an input that can never be used."""

from functions.errors import Poison

SHOWN = 500  # characters of a stranger's text in a reason


def unusable(kind: str, name: str, *, why: str, code: str) -> Poison:
    """The poison of an input, with a stranger's text made harmless."""
    fix = "look at the original in the quarantine container; docs/events.md shows what is expected"
    return Poison(f"{kind} {shown(name)} is not usable", why=shown(why), fix=fix, code=code)


def shown(text: str) -> str:
    """A stranger's text as one line of a log, a journal or an event: short, and without control characters."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:SHOWN])
