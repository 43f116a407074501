"""Registered models in, edge deployments out."""

from datetime import UTC, datetime

import azure.functions as func

from functions.envelope import read_registration
from functions.quarantine import acknowledging
from functions.rollout import decide, perform
from functions.wiring import cloud

blueprint = func.Blueprint()


@blueprint.event_grid_trigger(arg_name="message")
def deploy_on_model_registered(message: func.EventGridEvent) -> None:
    """Build the manifest for a model of known lineage and let the first ring have it."""
    here, now = cloud(), datetime.now(UTC)
    with acknowledging(here, "deploy_on_model_registered", message):
        registered = read_registration(message, here.settings)
        loop = here.settings.loops[registered.model]
        seen = perform.look(here, loop, registered)
        admission = decide.admit(seen.model, job_registered=seen.job_registered, newest=seen.newest)
        perform.admit(admission, here, loop, model=seen.model, now=now)


@blueprint.timer_trigger(arg_name="timer", schedule="%LOOP_SCHEDULE%")
def advance_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Look at every rollout under way; ring by ring, it goes on as the devices report."""
    here, now = cloud(), datetime.now(UTC)
    for loop in here.settings.loops.values():
        for seen in perform.rolling(here, loop):
            rings, since = loop.rollout.ring, seen.since
            step = decide.step(rings, seen.ring, since=since, progress=seen.progress, newest=seen.newest, now=now)
            perform.go_on(step, here, loop, seen=seen, now=now)
