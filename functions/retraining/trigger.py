"""Uploads and drift in, training jobs out."""

import azure.functions as func

from functions.envelope import read_code_change, read_drift, read_upload
from functions.loops import Loop, each
from functions.quarantine import acknowledging
from functions.retraining.admit import admit_landed
from functions.retraining.decide import decide
from functions.retraining.ledger import admit, count, overlooked, owner
from functions.retraining.look import look, measure
from functions.retraining.perform import describe, let_be, perform
from functions.retraining.poisoned import hold_poisoned
from functions.retraining.settle import settle_transfers
from functions.wiring import cloud
from functions.wishes import ask_for_code, ask_for_drift

blueprint = func.Blueprint()


@blueprint.event_grid_trigger(arg_name="message")
def count_upload_on_blob_created(message: func.EventGridEvent) -> None:
    """Count the upload once; the timer decides when the backlog is worth a job."""
    here = cloud()
    now = here.now()
    with acknowledging(here, "count_upload_on_blob_created", message):
        upload = read_upload(message, here.settings)
        loop = owner(upload, here.settings.loops)
        count(here.rows, loop, admit(upload, loop, now))


@blueprint.event_grid_trigger(arg_name="message")
def request_retraining_on_drift(message: func.EventGridEvent) -> None:
    """Remember that drift asks for a job; the timer decides whether it gets one."""
    here = cloud()
    with acknowledging(here, "request_retraining_on_drift", message):
        drift = read_drift(message, here.settings)
        loop = here.settings.loops[drift.loop]
        ask_for_drift(here.rows, loop, drift)
        let_be(here, loop, drift)


@blueprint.event_grid_trigger(arg_name="message")
def request_retraining_on_code_change(message: func.EventGridEvent) -> None:
    """Remember that new training code asks for a job; the timer decides when it gets one."""
    here = cloud()
    with acknowledging(here, "request_retraining_on_code_change", message):
        changed = read_code_change(message, here.settings)
        ask_for_code(here.rows, here.settings.loops[changed.loop], changed, at=here.now())


@blueprint.timer_trigger(arg_name="timer", schedule="%LOOP_SCHEDULE%")
def retrain_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Re-read the truth of every loop, so that a lost event loses nothing; train if the backlog is worth it."""
    here = cloud()
    now = here.now()

    def turn(loop: Loop) -> None:
        admit_landed(here, loop)
        settle_transfers(here, loop, now=now)
        hold_poisoned(here, loop, now=now)
        seen = look(here.rows, loop)
        decision = decide(seen.backlog, loop.retrain, now)
        measure(loop, seen.backlog, decision, now)
        perform(decision, here, loop, seen=seen, now=now)

    each(here.settings.loops, turn)


@blueprint.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%")
def count_overlooked_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """List what landed and count what no event told of, so that an upload whose event was lost is not."""
    here = cloud()
    now = here.now()

    def turn(loop: Loop) -> None:
        for upload in overlooked(here.rows, here.blobs, loop, now=now):
            count(here.rows, loop, upload)

    each(here.settings.loops, turn)


@blueprint.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%")
def describe_training_sets_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Keep what each accepted job trains on as a data asset, which launching it did not wait for."""
    here = cloud()
    each(here.settings.loops, lambda loop: describe(here, loop))
