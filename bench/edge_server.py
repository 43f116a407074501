"""`python -m bench.edge_server FOLDER ADDRESS PORT`: the endpoint as the slim image serves it, without a cloud.

FOLDER has a model per version, `1/`, `2/`, …; each SIGUSR1 asks for the next one, round and round.
"""

import asyncio
import signal
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from edge.server import server
from tests.edge.device import Bench
from tests.edge.models import Folder, folder


def _folders(models: Path) -> Iterator[Folder]:
    for version in sorted(path.name for path in models.iterdir()):
        files = {path.name: path.read_bytes() for path in (models / version).iterdir()}
        profile = files.pop("profile").decode()
        yield folder(version, files, profile=profile)


async def _serve(models: Path, address: str, port: int, home: Path) -> None:
    bench = Bench(home)
    folders = cycle(_folders(models))

    def deploy() -> None:
        for kept in (bench.hub.messages, bench.hub.ids, bench.hub.reports):  # for tests; here it would be memory
            kept.clear()
        bench.deploy(next(folders))

    deploy()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, deploy)
    await server(bench.app, host=address, port=port).serve()


if __name__ == "__main__":
    with TemporaryDirectory() as home:
        uvloop.run(_serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(home)))
