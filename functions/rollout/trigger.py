"""Registered models in, edge deployments out."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import azure.functions as func

from functions.envelope import read_registration
from functions.errors import Full, Poison, Throttled
from functions.events import ModelRegistered
from functions.loops import Loop, each
from functions.quarantine import acknowledging, set_aside
from functions.rollout import decide, images, perform, pins, quota, stalled
from functions.rollout.records import FALLING, standing
from functions.wiring import Cloud, cloud

blueprint = func.Blueprint()


@blueprint.event_grid_trigger(arg_name="message")
def deploy_on_model_registered(message: func.EventGridEvent) -> None:
    """Build the manifest for a model of known lineage and let the first ring have it."""
    here = cloud()
    now = here.now()
    with acknowledging(here, "deploy_on_model_registered", message):
        registered = read_registration(message, here.settings)
        loop = here.settings.loops[registered.model]
        with _patient(here, loop, now):
            _admit(here, loop, registered, now)


@blueprint.timer_trigger(arg_name="timer", schedule="%LOOP_SCHEDULE%")
def advance_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Obey pins; finish rollbacks; start rollouts nobody told of; look at every rollout; tell of those that stall."""
    here = cloud()
    now = here.now()

    def turn(loop: Loop) -> None:
        if not quota.is_exhausted(here, now):
            with _patient(here, loop, now):
                _turn(here, loop, now)

    each(here.settings.loops, turn)


def _turn(here: Cloud, loop: Loop, now: datetime) -> None:
    told = standing(here.rows, loop.name)
    pins.obey(here, loop, told, now)
    for one in told.records:
        if one.state == FALLING:
            perform.fall(here, loop, one, now=now)
    for registered in perform.untold(here, loop, told):
        try:
            _admit(here, loop, registered, now)
        except Poison as poison:
            set_aside(here, "advance_on_timer", f"{registered.model}:{registered.version}".encode(), poison=poison)
    told, rollout = standing(here.rows, loop.name), loop.rollout
    for seen, so_far in perform.trials(here, loop, told, now):
        end = decide.try_out(rollout.ring[0], so_far, at_least=rollout.shadow_for, limit=rollout.shadow_may_differ)
        perform.end_trial(end, here, loop, seen=seen, told=told, now=now)
    for seen, at in perform.rolling(here, loop, told):
        step = decide.step(loop.rollout.ring, at, now=now)
        perform.go_on(step, here, loop, seen=seen, told=told, now=now)
    told = standing(here.rows, loop.name)
    stalled.tell(here, loop, told, now)
    images.build(here, loop, told, now)


def _admit(here: Cloud, loop: Loop, registered: ModelRegistered, now: datetime) -> None:
    candidate = perform.look(here, loop, registered)
    admission = decide.admit(candidate, hours=loop.rollout.hours, now=now)
    perform.admit(admission, here, loop, model=candidate.model, now=now)


@contextmanager
def _patient(here: Cloud, loop: Loop, now: datetime) -> Iterator[None]:
    """What the hub has no room or no time for goes on with a later turn: it is written down, and no failure."""
    try:
        yield
    except Throttled as throttled:
        quota.exhaust(here, now, throttled)
    except Full as full:
        quota.tell(here, loop, now, full)
        stalled.tell(here, loop, standing(here.rows, loop.name), now)  # somebody has to make room
