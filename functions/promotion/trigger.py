"""Ended runs in, registered models out."""

import azure.functions as func

from functions.envelope import read_run
from functions.loops import Loop, each
from functions.ports import Stored
from functions.promotion.aftermath import aftermath
from functions.promotion.decide import decide
from functions.promotion.perform import look, perform, started
from functions.quarantine import acknowledging
from functions.tracing import TRACEPARENT, following
from functions.wiring import Cloud, cloud

blueprint = func.Blueprint()


@blueprint.event_grid_trigger(arg_name="message")
def judge_on_run_ended(message: func.EventGridEvent) -> None:
    """Judge the job that a run event names, if it is one of ours."""
    here = cloud()
    with acknowledging(here, "judge_on_run_ended", message):
        _judge(here, run=read_run(message, here.settings).run)


@blueprint.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%")
def judge_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Follow every started job to its end, so that a lost event loses nothing."""
    _judge(cloud(), run=None)


def _judge(here: Cloud, *, run: str | None) -> None:
    def judge(loop: Loop) -> None:
        for job in started(here, loop):
            if run in (None, job.key):
                with following(job.row.get(TRACEPARENT), "judge"):
                    _follow(here, loop, job)

    each(here.settings.loops, judge)


def _follow(here: Cloud, loop: Loop, job: Stored) -> None:
    seen = look(here, loop, job)
    now = here.now()
    ran, limit = now - seen.launched, loop.retrain.job_at_most
    badly = aftermath(seen.outcome, attempt=seen.attempt, ran=ran, limit=limit)
    decision = badly or decide(seen.outcome, seen.report, loop.gate, rival=seen.rival, champion=seen.champion)
    perform(decision, here, loop, seen=seen, now=now)
