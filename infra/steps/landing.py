"""Says in which containers uploads land, by the loop files: what the subscription to uploads is filtered by.

Usage: ``python -m infra.steps.landing``; the loops are in LOOPS_FOLDER, `loops` by default.
"""

import os
import sys
from pathlib import Path

from functions.errors import Refused
from functions.loops import load


def landing(folder: Path) -> list[str]:
    """Each container that a loop takes uploads from, once, ordered.

    Raises:
        Refused: A loop file is broken.
    """
    return sorted({loop.data.container for loop in load(folder).values()})


def main() -> int:
    """Print the containers, separated by commas; 1 with a sentence when a loop file is broken."""
    try:
        print(",".join(landing(Path(os.environ.get("LOOPS_FOLDER", "loops")))))
    except Refused as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
