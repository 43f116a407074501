"""A process of its own for pycep, which never ends on some texts: takes paths, prints one line of JSON for each."""

import json
import re
import sys
from pathlib import Path

from lark.exceptions import LarkError
from pycep import BicepParser

UNKNOWN_TO_PYCEP = (  # what the compiler's own formatter writes: pattern, and the same in words that pycep knows
    (r"\s*\n\s*([?:] )", r" \1"),  # a choice over several lines
    (r"(for [^\n]*: )if \(.*\) \{", r"\1{"),  # a condition inside a loop
)


def main(paths: list[str]) -> None:
    """Print `[path, ""]`, or the path and why pycep does not take the file."""
    parser = BicepParser()
    for path in paths:
        try:
            parser.parse(text=_known(Path(path).read_text("utf-8")))
        except LarkError as problem:
            said = str(problem).partition("\n")[0]
        else:
            said = ""
        print(json.dumps([path, said]), flush=True)  # noqa: T201  # what the caller reads


def _known(text: str) -> str:
    for pattern, same in UNKNOWN_TO_PYCEP:
        text = re.sub(pattern, same, text)
    return text


if __name__ == "__main__":
    main(sys.argv[1:])
