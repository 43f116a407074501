"""Look at a whole loop's devices, and carry episodes of drift on. Every step may happen twice."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from functions.drift import records
from functions.drift.episodes import Patience, Seen, decide, follow, joining
from functions.drift.records import ENDING, EPISODES, TELLING, Device, Episode
from functions.drift.verdict import judged, judged_again
from functions.errors import LoopError
from functions.events import DriftDetected, DriftResolved
from functions.field import DEVICES
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Rows
from functions.wiring import Cloud
from functions.wishes import ask_for_drift

log = logging.getLogger("refluent.drift")
MOST_TOLD = 1_000  # devices that an event names
MOST_LINKED = 100  # devices that a decision in the journal is linked to
STEPS = 6  # of one episode in one turn: opened, noted, telling, told
TAKEN_BACK = ("rolling back", "rolled back")  # states of a version, as functions/rollout writes them into `rollouts`


def judge(here: Cloud, loop: Loop, now: datetime) -> None:
    """Open, widen, tell and end the loop's episodes, as its devices' rows and its versions say now.

    Episodes are read before devices, and an episode's number is taken by inserting it: of two turns at once, one opens.

    Raises:
        Transient: The hub did not say where devices are, and nothing was opened or widened; the next turn asks again.
    """
    patience = patience_of(loop)
    seen = look(here.rows, loop)
    if not seen.episodes and not any(device.episode for device in seen.devices):
        return
    seen = replace(seen, gone=gone(here.rows, loop))
    if joining(seen, patience, now):
        seen = replace(seen, sites=here.fleet.sites())
    _keep(here.rows, loop, decide(seen, patience, now))
    again = [judged_again(here, loop, one) for one in episodes(here.rows, loop)]
    _keep(here.rows, loop, [one for one in again if one])
    for _ in range(STEPS):
        steps = [(one, then) for one in episodes(here.rows, loop) if (then := follow(one, patience, now))]
        for before, then in steps:  # each said a moment later than the last, for the journal is read in order of time
            _say(here, loop, before, now=here.now())
            _keep(here.rows, loop, [judged(here, loop, before, then)])
        if not steps:
            return


def judge_alarmed(here: Cloud, loops: Iterable[str], now: datetime) -> None:
    """Judge loops in which a device has just raised an alarm; what fails is left to the timer, which looks anyway."""
    for name in sorted(loops):
        try:
            judge(here, here.settings.loops[name], now)
        except LoopError as problem:  # the messages are counted: their redelivery would not bring the judgement back
            log.warning("the drift of loop %s is judged by the timer: %s", name, problem)


def patience_of(loop: Loop) -> Patience:
    """How long the loop waits for what."""
    return Patience(
        false_alarm_every=loop.drift.false_alarm_every,
        tell_after=loop.drift.tell_after,
        silent_after=loop.drift.calm_windows * loop.drift.window_at_most + loop.drift.lateness,
    )


def look(rows: Rows, loop: Loop) -> Seen:
    """Episodes and devices, in this order; what is gone, and where devices are, is asked only if it matters."""
    numbers = [int(stored.key) for stored in rows.columns(EPISODES, loop.name, "over")]
    open_ones = episodes(rows, loop) if numbers else []
    found = rows.columns(DEVICES, loop.name, *records.COLUMNS)
    devices = [device for stored in found if (device := Device.of(stored))]
    return Seen(open_ones, max(numbers, default=0), devices, gone={}, sites={})


def episodes(rows: Rows, loop: Loop) -> list[Episode]:
    """Those that are not over."""
    return [Episode.of(stored) for stored in rows.find(EPISODES, loop.name, over=False)]


def gone(rows: Rows, loop: Loop) -> dict[str, str]:
    """Version -> why devices should not serve it any more; what an operator pinned, they should."""
    states = {int(stored.key): str(stored.row["state"]) for stored in rows.find("rollouts", loop.name)}
    done = max((version for version, state in states.items() if state == "done"), default=0)
    replaced = {str(one): f"version {done} has replaced version {one}" for one in range(1, done)}
    taken_back = {str(one): f"version {one} was taken back" for one, state in states.items() if state in TAKEN_BACK}
    pin = rows.get("pins", loop.name, "pin")
    pinned = {str(pin.row["version"])} if pin else set()
    return {version: why for version, why in {**replaced, **taken_back}.items() if version not in pinned}


def _keep(rows: Rows, loop: Loop, changed: list[Episode]) -> None:
    """Write each down if nobody changed it meanwhile; else the next turn looks again."""
    for one in changed:
        if one.stored:
            rows.replace(EPISODES, loop.name, stored=one.stored, row=one.row)
        else:
            rows.insert(EPISODES, loop.name, one.key, row=one.row)


def _say(here: Cloud, loop: Loop, one: Episode, *, now: datetime) -> None:
    """What an episode's row says is to be said: into the journal, and as an event to everybody."""
    name = records.name(loop.name, one.number)
    links = (f"{loop.name}:{one.version}", *one.devices[:MOST_LINKED])
    if not one.noted:
        record(here.rows, Entry(now, loop.name, "drift", name, one.change, one.reason, links))
        if one.change == "Judge":  # the event was told once; the wish for a job hears the newer word
            ask_for_drift(here.rows, loop, _detected(loop, one, name).model_copy(update={"at": now}))
    elif one.state == TELLING:
        record(here.rows, Entry(now, loop.name, "drift", name, "Tell", _told(one), links))
        here.announcer.announce(_detected(loop, one, name), subject=one.device, id=name)
    elif one.state == ENDING:
        here.announcer.announce(_resolved(loop, one, name, now=now), subject=name, id=f"{name}-resolved")


def _told(one: Episode) -> str:
    harm = f"{one.harm}: {one.harm_reason}" if one.harm_reason else f"harm is {one.harm}"
    return f"{one.scope}: {one.explanation}; {harm}"


def _detected(loop: Loop, one: Episode, name: str) -> DriftDetected:
    return DriftDetected.model_validate({
        "loop": loop.name,
        "device": one.device,
        "version": one.version,
        "feature": one.feature,
        "explanation": one.explanation,
        "at": one.opened,
        "scope": one.scope,
        "devices": one.devices[:MOST_TOLD],
        "episode": name,
        "harm": one.harm,
        "harm_reason": one.harm_reason,
    })  # fmt: skip


def _resolved(loop: Loop, one: Episode, name: str, *, now: datetime) -> DriftResolved:
    return DriftResolved(
        loop=loop.name,
        episode=name,
        version=one.version,
        scope=one.scope,
        devices=len(one.members),
        reason=one.reason,
        at=now,
    )
