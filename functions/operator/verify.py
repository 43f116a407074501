"""`refluent verify`: is what lies in a site's local share what the store has? For whoever runs the site."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from functions.errors import Refused
from functions.loops import Loop
from functions.ports import BlobFacts, Blobs, Row, Rows
from functions.wiring import cloud

type Found = Literal["same", "missing there", "missing here", "different"]

PIECE_BYTES = 8 * 2**20
COLOURS: Mapping[Found, str] = {"same": "green", "missing there": "red", "missing here": "yellow", "different": "red"}


@dataclass(frozen=True, slots=True)
class File:
    """One file, here and there.

    Args:
        name: Relative to the share, and to the site's folder.
        found: What the comparison found.
        detail: What differs.
        state: What became of it there; empty if it was never counted.
    """

    name: str
    found: Found
    detail: str = ""
    state: str = ""


def verify(
    site: Annotated[str, typer.Argument(help="A site, or <loop>/<site> where several loops have it.")],
    share: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The site's local share.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,  # noqa: FBT002  # typer's flags
) -> None:
    """Compare a site's local share with the store, file by file; exit code 1 if they differ."""
    here = cloud()
    loop, name = _site(site, here.settings.loops)
    names = {found.relative_to(share).as_posix(): found for found in share.rglob("*") if found.is_file()}
    stored = Stored(here.blobs, here.rows, loop, name)
    todo = sorted({*names, *stored.listed})
    console = Console(highlight=False, markup=False, emoji=False)
    files = list(stored.compared(names, track(todo, "comparing", console=Console(stderr=True), transient=True)))
    if as_json:
        summary = {kind: sum(one.found == kind for one in files) for kind in COLOURS}
        typer.echo(json.dumps({"loop": loop.name, "site": name, "summary": summary, "files": [*map(asdict, files)]}))
    else:
        console.print(_table(f"{share} and {loop.name}/{name}", files))
        console.print(_summary(files))
    if any(one.found != "same" for one in files):
        raise typer.Exit(1)


class Stored:
    """What the store and the ledger know of one site.

    Args:
        blobs: The store.
        rows: The ledger.
        loop: Whose site.
        site: Which one.
    """

    def __init__(self, blobs: Blobs, rows: Rows, loop: Loop, site: str) -> None:
        self._blobs, self._container, self._folder = blobs, loop.data.container, f"{loop.name}/{site}/"
        found = blobs.list(self._container, self._folder)
        self.listed = {facts.name.removeprefix(self._folder): facts for facts in found}
        self._ledger: dict[str, dict[str, Row]] = {}
        tables = [rows.find(table, loop.name, site=site) for table in ("uploads", "transfers")]
        for row in sorted((stored.row for table in tables for stored in table), key=_at):
            name = str(row["blob"]).removeprefix(self._folder)
            self._ledger.setdefault(name, {})[str(row["etag"])] = row

    def compared(self, here: Mapping[str, Path], names: Iterable[str]) -> Iterator[File]:
        """Compare each file; content is read there only where size and ledger do not decide."""
        for name in names:
            path, facts = here.get(name), self.listed.get(name)
            if path is None:
                yield File(name, "missing here", state=self._state(name, facts))
            else:
                yield self._one(name, path, facts)

    def _one(self, name: str, path: Path, facts: BlobFacts | None) -> File:
        state, digest = self._state(name, facts), self._known(name, facts)
        if facts is None and not digest:
            return File(name, "missing there", state=state)
        if facts and facts.size_bytes != path.stat().st_size:
            detail = f"{path.stat().st_size:,} bytes here, {facts.size_bytes:,} there"
            return File(name, "different", detail, state)
        with path.open("rb") as content:
            ours = file_digest(content, "sha256").hexdigest()
        theirs = digest or (self._digest(facts) if facts else "")
        if ours == theirs:
            return File(name, "same", "" if facts else "taken, and no longer in the landing container", state)
        return File(name, "different", f"sha256 {ours[:12]}… here, {theirs[:12]}… there", state)

    def _known(self, name: str, facts: BlobFacts | None) -> str:
        """The digest that admission measured: of the listed version or, of an expired file, of the one that trained."""
        versions = self._ledger.get(name, {})
        if facts:
            return str(versions.get(facts.etag, {}).get("sha256", ""))
        taken = [str(row.get("sha256", "")) for row in versions.values() if row.get("state") == "taken"]
        return taken[-1] if taken else ""

    def _state(self, name: str, facts: BlobFacts | None) -> str:
        versions = self._ledger.get(name, {})
        row = versions.get(facts.etag) if facts else next(reversed(versions.values()), None)
        if row is None:
            return ""
        return f"{row['state']!s}: {row['reason']!s}" if row["reason"] else str(row["state"])

    def _digest(self, facts: BlobFacts) -> str:
        digest = sha256()
        for offset in range(0, facts.size_bytes, PIECE_BYTES):
            piece = self._blobs.read_version(self._container, facts.name, facts.etag, offset=offset, length=PIECE_BYTES)
            if piece is None:
                return "overwritten while it was read"
            digest.update(piece)
        return digest.hexdigest()


def _site(given: str, loops: Mapping[str, Loop]) -> tuple[Loop, str]:
    wanted, _, site = given.strip("/").rpartition("/")
    found = [loop for loop in loops.values() if site in loop.loop.sites and wanted in ("", loop.name)]
    if len(found) != 1:
        known = ", ".join(f"{loop.name}/{name}" for loop in loops.values() for name in loop.loop.sites)
        why = f"{len(found)} loops have it; the sites are {known}"
        raise Refused(f"{given} is not one site", why=why, fix="name it as <loop>/<site>")
    return found[0], site


def _at(row: Row) -> datetime:
    return datetime.fromisoformat(str(row["at"]))


def _table(title: str, files: Iterable[File]) -> Table:
    table = Table("file", "", "what differs", "there", title=title, title_justify="left")
    for one in files:
        if one.found != "same" or one.state.startswith(("quarantined", "incomplete", "held")):
            table.add_row(one.name, one.found, one.detail, one.state, style=COLOURS[one.found])
    return table


def _summary(files: Iterable[File]) -> str:
    counted = Counter(one.found for one in files)
    return ", ".join(f"{counted[kind]} {kind}" for kind in COLOURS if counted[kind]) or "no file here, none there"
