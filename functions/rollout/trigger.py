"""Registered models in, edge deployments out."""

from datetime import datetime

import azure.functions as func

from functions.envelope import read_registration
from functions.events import ModelRegistered
from functions.loops import Loop, each
from functions.quarantine import acknowledging
from functions.rollout import decide, perform
from functions.wiring import Cloud, cloud

blueprint = func.Blueprint()


@blueprint.event_grid_trigger(arg_name="message")
def deploy_on_model_registered(message: func.EventGridEvent) -> None:
    """Build the manifest for a model of known lineage and let the first ring have it."""
    here = cloud()
    now = here.now()
    with acknowledging(here, "deploy_on_model_registered", message):
        registered = read_registration(message, here.settings)
        _admit(here, here.settings.loops[registered.model], registered, now)


@blueprint.timer_trigger(arg_name="timer", schedule="%LOOP_SCHEDULE%")
def advance_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Start rollouts whose event was lost; look at every rollout under way, which goes on as the devices report."""
    here = cloud()
    now = here.now()

    def turn(loop: Loop) -> None:
        for registered in perform.overlooked(here, loop):
            _admit(here, loop, registered, now)
        for seen in perform.rolling(here, loop):
            rings, since = loop.rollout.ring, seen.since
            step = decide.step(rings, seen.ring, since=since, progress=seen.progress, newest=seen.newest, now=now)
            perform.go_on(step, here, loop, seen=seen, now=now)

    each(here.settings.loops, turn)


def _admit(here: Cloud, loop: Loop, registered: ModelRegistered, now: datetime) -> None:
    seen = perform.look(here, loop, registered)
    admission = decide.admit(seen.model, job_registered=seen.job_registered, newest=seen.newest)
    perform.admit(admission, here, loop, model=seen.model, now=now)
