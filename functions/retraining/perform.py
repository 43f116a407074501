"""Carry out a retraining decision. Every step may happen twice."""

from contextlib import AbstractContextManager
from datetime import datetime

from functions import wishes
from functions.errors import Refused
from functions.events import DriftDetected, TrainingLaunched
from functions.jobs import JOBS, champion
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import JobOrder, Row
from functions.retraining import job, ledger
from functions.retraining.choice import choose
from functions.retraining.decide import Decision, HoldForBudget, Launch, Resume, Retry, Wait
from functions.retraining.look import CURRENT, GENERATIONS, NOTE, SEALED, STARTED, Look, opened
from functions.tracing import TRACEPARENT, following
from functions.wiring import Cloud


def perform(decision: Decision, here: Cloud, loop: Loop, *, seen: Look, now: datetime) -> None:
    """Seal and launch, finish a launch, start a job once more, or write down why not."""
    match decision:
        case Launch(trigger=trigger, reason=reason):
            row: Row = {**seen.generation.row, "state": SEALED, "trigger": trigger, "reason": reason}
            if here.rows.replace(GENERATIONS, loop.name, stored=seen.generation, row=row):
                _finish(here, loop, seen, now)
        case Resume():
            _finish(here, loop, seen, now)
        case Retry(job=name, reason=reason):
            _start_again(here, loop, seen, name, reason=reason, now=now)
        case Wait(reason=reason) | HoldForBudget(reason=reason):
            kind, subject = type(decision).__name__, f"{loop.name}#{seen.backlog.generation}"
            record(here.rows, Entry(now, loop.name, "retraining", subject, kind, reason))
            _note(here, loop, seen, kind=kind, reason=reason, now=now)


def let_be(here: Cloud, loop: Loop, drift: DriftDetected) -> None:
    """Write down that a drift trains nothing, where the loop trains for harmful drift only and this one is not."""
    if loop.retrain.on_drift == "when harmful" and drift.harm == "harmless":
        reason, model = f"drifted, harmless: {drift.explanation}; {drift.harm_reason}", f"{loop.name}:{drift.version}"
        links = (model, *([drift.episode] if drift.episode else []))
        record(here.rows, Entry(drift.at, loop.name, "retraining", drift.device, "LetBe", reason, links))


def describe(here: Cloud, loop: Loop) -> None:
    """Keep the training set of every job that was accepted as a data asset: for lineage, so after the launch."""
    for started in list(here.rows.find(JOBS, loop.name, described=False)):
        manifest = job.read_manifest(here.blobs, loop, int(str(started.row["generation"])))
        here.trainer.describe(_order(here, loop, manifest))
        here.rows.change(JOBS, loop.name, keys=[started.key], values={"described": True})


def _finish(here: Cloud, loop: Loop, seen: Look, now: datetime) -> None:
    """Manifest, job, rows, next generation: in this order, so that a crash anywhere is resumed, never repeated."""
    sealed = here.rows.get(GENERATIONS, loop.name, CURRENT)
    if sealed is None or sealed.row["state"] != SEALED:
        return
    number, trigger, reason = int(str(sealed.row["number"])), sealed.row["trigger"], str(sealed.row["reason"])
    chosen = choose(ledger.pending(here.rows, loop), loop.retrain)
    wanted = job.Manifest(
        generation=number,
        trigger=job.as_trigger(trigger),
        reason=reason,
        blobs=job.entries(chosen),
        requests=tuple(wish.key for wish in wishes.waiting(here.rows, loop)),
        traces=job.traces(chosen),
    )
    manifest = job.write_manifest(here.blobs, loop, wanted)
    with _traced(manifest):
        _launch(here, loop, seen, manifest, now)
    here.rows.replace(GENERATIONS, loop.name, stored=sealed, row=opened(number + 1))


def _launch(here: Cloud, loop: Loop, seen: Look, manifest: job.Manifest, now: datetime) -> None:
    order, number = _order(here, loop, manifest), manifest.generation
    _start(here, loop, seen, order, now=now)
    _started(here, loop, manifest, order)
    ledger.take(here.rows, loop, [str(blob["key"]) for blob in manifest.blobs], generation=number)
    wishes.answer(here.rows, loop, manifest.requests)
    subject = f"{loop.name}#{number}"
    links = (order.name, *wishes.episodes(here.rows, loop, manifest.requests))
    record(here.rows, Entry(now, loop.name, "retraining", subject, "Launch", manifest.reason, links))
    _note(here, loop, seen, kind="Launch", reason=manifest.reason, now=now)


def _start_again(here: Cloud, loop: Loop, seen: Look, name: str, *, reason: str, now: datetime) -> None:
    """The same generation and training set under a second name; its row is what says that this was done."""
    failed = here.rows.get(JOBS, loop.name, name)
    assert failed is not None  # noqa: S101  # it was seen, and rows of jobs are never deleted
    manifest = job.read_manifest(here.blobs, loop, int(str(failed.row["generation"])))
    order = _order(here, loop, manifest, attempt=2)
    with _traced(manifest):
        _start(here, loop, seen, order, now=now)
        record(here.rows, Entry(now, loop.name, "retraining", name, "Retry", reason, (order.name,)))
        _note(here, loop, seen, kind="Retry", reason=reason, now=now)
        _started(here, loop, manifest, order)


def _traced(manifest: job.Manifest) -> AbstractContextManager[None]:
    return following(manifest.carried.get(TRACEPARENT), "launch", also=manifest.traces[1:])


def _start(here: Cloud, loop: Loop, seen: Look, order: JobOrder, *, now: datetime) -> None:
    try:
        here.trainer.start(order)
    except Refused as refusal:
        _note(here, loop, seen, kind="Refused", reason=f"{refusal.what}: {refusal.why}; {refusal.fix}", now=now)
        raise


def _order(here: Cloud, loop: Loop, manifest: job.Manifest, *, attempt: int = 1) -> JobOrder:
    training_set = job.write_training_set(here.blobs, here.rows, loop, manifest)
    pipeline, best = wishes.pipeline(here.rows, loop), champion(here.rows, loop)
    return job.order(loop, manifest, training_set, pipeline=pipeline, champion=best, attempt=attempt)


def _started(here: Cloud, loop: Loop, manifest: job.Manifest, order: JobOrder) -> None:
    best = order.champion.rpartition("/")[2] if order.champion else ""
    event = TrainingLaunched(
        loop=loop.name,
        generation=manifest.generation,
        job=order.name,
        trigger=manifest.trigger,
        files=len(manifest.blobs),
        reason=manifest.reason,
    )
    here.announcer.announce(event, subject=order.name, id=order.name)  # before the row, which ends a second attempt
    at = here.now()  # however long the start took: a budget that counts a job from before it began is exceeded
    row: Row = {"generation": manifest.generation, "state": STARTED, "launched_at": at, "champion": best}
    how: Row = {"pipeline": order.pipeline, "attempt": order.attempt, "described": order.attempt > 1}
    here.rows.insert(JOBS, loop.name, order.name, row={**row, **how, **manifest.carried})


def _note(here: Cloud, loop: Loop, seen: Look, *, kind: str, reason: str, now: datetime) -> None:
    """Keep the newest decision where `status` finds it: the journal says each only once, and not since when."""
    said = (kind, reason, seen.backlog.generation)
    row: Row = {"decision": kind, "reason": reason, "number": seen.backlog.generation, "at": now}
    if seen.note is None:
        here.rows.insert(GENERATIONS, loop.name, NOTE, row=row)
    elif said != tuple(seen.note.row[name] for name in ("decision", "reason", "number")):
        here.rows.replace(GENERATIONS, loop.name, stored=seen.note, row=row)
