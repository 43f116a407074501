"""What an operator sees of drift: open episodes and what was done about them, and an episode's whole story."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import log

from functions import wishes
from functions.field import DEVICES
from functions.journal import Entry
from functions.ports import Rows, Stored

COLUMNS = ("version", "decision", "reason", "at", "episode", "explanation", "log_evidence", "log_peak", "missing")
MOST_SHOWN = 200  # devices whose newest window is shown in one story
NOW = "Now"  # what a row says at the moment, where the journal has what was decided


def shown(rows: Rows, loop: str, journal: Iterable[Entry]) -> dict[str, str]:
    """Name of each open episode -> how far it reaches, what moved, what was told and done."""
    launched = {link: entry.links[0] for entry in journal if entry.decision == "Launch" for link in entry.links[1:]}
    found = {}
    for stored in rows.find("episodes", loop, over=False):
        name = f"{loop}~{int(stored.key)}"
        found[name] = f"{stored.row['scope']!s}: {stored.row['explanation']!s}; {_done(rows, loop, name, stored)}"
        if name in launched:
            job = rows.get("jobs", loop, launched[name])
            found[name] += f" with {launched[name]}: {job.row['state'] if job else 'starting'!s}"
    return found


def _done(rows: Rows, loop: str, name: str, stored: Stored) -> str:
    told = stored.row.get("told")
    if not told:
        return "waits for further devices before it is told"
    wish = wishes.of_episode(rows, loop, name)
    harm = "harm unknown" if stored.row["harm"] == "unknown" else str(stored.row["harm"])
    asked = (
        "no wish for a job yet"
        if wish is None
        else "asks for a job"
        if wish.row["state"] == wishes.WAITING
        else "answered"
    )
    return f"told {datetime.fromisoformat(str(told)):%d %B %H:%M:%S} UTC; {harm}; {asked}"


def about_episode(rows: Rows, loop: str, name: str, journal: Sequence[Entry]) -> list[Entry]:
    """Windows, evidence, episode, harm, job or not, end: all that was decided about an episode, and what is now."""
    own = [entry for entry in journal if name == entry.subject or name in entry.links]
    models = {link for entry in own for link in entry.links if entry.subject == name and ":" in link}
    devices = {link for entry in own if entry.subject == name for link in entry.links} - models
    begun = [
        entry
        for entry in journal
        if entry.decision == "Drifted" and entry.subject in devices and models & set(entry.links)
    ]
    jobs = {entry.links[0] for entry in own if entry.decision == "Launch"}
    became = [entry for entry in journal if entry.subject in jobs]
    now = [one for device in sorted(devices)[:MOST_SHOWN] for one in about_device(rows, loop, device)]
    return [*begun, *own, *became, *_asked(rows, loop, name), *(now if own else [])]


def about_device(rows: Rows, loop: str, device: str) -> list[Entry]:
    """What a device's newest window says, with its evidence against what an alarm needs; one entry per module."""
    named = [row for row in rows.columns(DEVICES, loop, *COLUMNS) if row.key.partition("/")[0] == device]
    return [_now(loop, device, stored) for stored in named if "at" in stored.row]


def _now(loop: str, device: str, stored: Stored) -> Entry:
    row = stored.row
    model = f"{loop}:{row.get('version', '?')!s}"
    drifts = int(str(row.get("episode", 0)))
    gathered = _power(row.get("log_peak" if drifts else "log_evidence", 0.0))
    said = f"drifts since window {drifts}: {row['explanation']!s}" if drifts else "no drift"
    reason = f"{said}; evidence {gathered}; newest message: {row['reason']!s} (running {model})"
    return Entry(_time(row), loop, "drift", device, NOW, f"{reason}{missing(row)}", (model,))


def missing(row: Mapping[str, object]) -> str:
    """How many of a device's messages did not come yet, to follow what else is said of it."""
    count = int(str(row.get("missing", 0)))
    return f"; {count} message{'s' * (count > 1)} of it did not come yet" if count else ""


def _asked(rows: Rows, loop: str, name: str) -> list[Entry]:
    """The wish, while no job has answered it, with what the retraining timer says to it."""
    wish, note = wishes.of_episode(rows, loop, name), rows.get("generations", loop, "decision")
    if wish is None or wish.row["state"] != wishes.WAITING or note is None:
        return []
    reason = f"a job is asked for; {note.row['decision']!s}: {note.row['reason']!s}"
    return [Entry(_time(note.row), loop, "retraining", name, NOW, reason)]


def _time(row: Mapping[str, object]) -> datetime:
    return datetime.fromisoformat(str(row["at"]))


def _power(logarithm: object) -> str:
    return f"10^{float(str(logarithm)) / log(10):.1f}"
