"""`make fuzz`: atheris lets coverage guide it through one parser; whatever it breaks is printed with its bytes."""

import argparse
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["functions.envelope", "functions.telemetry", "functions.drift.rows", "sketch"]
):
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz one target for some seconds; the process ends with an error at the first crash."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of inputs; it grows")
    given = parser.parse_args()
    folder = given.corpus / given.target
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()[given.target]):
        (folder / f"seed-{number}").write_bytes(data)
    options = [
        f"-max_total_time={given.seconds}",
        "-max_len=4096",
        f"-artifact_prefix={given.corpus}/crash-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[given.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
