"""Where a picture may be written, and what to say where none can be drawn; matplotlib is optional."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from functions.errors import Refused

ENDINGS = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Refuse a picture that could not be written, before there is work to lose.

    Raises:
        Refused: Its folder is not there, or its name has no picture's ending.
    """
    if path.suffix not in ENDINGS:
        why, fix = "by its name it is no picture", f"give a path that ends in {', '.join(ENDINGS)}"
        raise Refused(f"the picture {path} cannot be written", why=why, fix=fix)
    if not path.parent.is_dir():
        why, fix = f"there is no folder {path.parent}", "make it, or name another"
        raise Refused(f"the picture {path} cannot be written", why=why, fix=fix)


@contextmanager
def drawing() -> Iterator[None]:
    """Import in the block what draws.

    Raises:
        Refused: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        fix = "install matplotlib, or ask for no picture"
        raise Refused("a picture cannot be drawn here", why=str(problem), fix=fix) from problem
