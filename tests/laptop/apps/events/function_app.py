"""Event Grid, HTTP and timers: each function notes what it was given, and GET /api/seen tells."""

import json
import logging
import sys
import time
from http.cookies import SimpleCookie

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
SEEN: list[object] = []


@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent) -> None:
    """Note one event; the subject `fails` does not succeed."""
    logging.getLogger("mine").info("looking at %s", event.id)
    SEEN.append([event.id, event.event_type, event.subject, event.topic, event.get_json(), str(event.event_time)])
    if event.subject == "fails":
        raise ValueError("this one cannot be handled")


@app.event_grid_trigger(arg_name="event")
async def on_cloud_event(event: func.CloudEvent) -> None:
    """Note one CloudEvent."""
    SEEN.append([event.id, event.type, event.source, event.subject, event.get_json(), str(event.time)])


@app.timer_trigger(arg_name="timer", schedule="%YEARLY%", run_on_startup=False)
def every_year(timer: func.TimerRequest) -> None:
    """Note that the timer fired."""
    SEEN.append(["every_year", timer.past_due, status_of(timer)])


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True, use_monitor=False)
def at_start(timer: func.TimerRequest) -> None:
    """Note that the host started."""
    SEEN.append(["at_start", timer.past_due, status_of(timer)])


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
def fails_twice(timer: func.TimerRequest, context: func.Context) -> None:  # noqa: ARG001 - every timer takes one
    """Succeed at the third attempt."""
    SEEN.append(["fails_twice", context.retry_context.retry_count, context.retry_context.max_retry_count])
    if context.retry_context.retry_count < context.retry_context.max_retry_count:
        raise ValueError("not yet")


@app.route(route="things/{id:int}/{*rest}", methods=["GET", "POST"])
async def thing(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with the request."""
    told = {
        "method": req.method,
        "url": req.url,
        "route": dict(req.route_params),
        "query": dict(req.params),
        "header": req.headers.get("X-Mine"),
        "body": req.get_body().decode(),
    }
    return func.HttpResponse(json.dumps(told), status_code=201, headers={"X-Yours": "b"}, mimetype="application/json")


@app.route(route="cookie")
def cookie(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - every HTTP function takes one
    """Set a cookie."""
    crumbs = SimpleCookie("a=1")
    return func.HttpResponse("", headers={"Set-Cookie": crumbs["a"].OutputString()})


@app.route(route="fails")
def fails(req: func.HttpRequest) -> func.HttpResponse:
    """Fail."""
    raise ValueError(req.url)


@app.route(route="slow")
def slow(req: func.HttpRequest) -> func.HttpResponse:
    """Answer after a while."""
    SEEN.append("slow began")
    time.sleep(float(req.params["seconds"]))
    return func.HttpResponse("done")


def status_of(timer: func.TimerRequest) -> object:
    """The schedule's status, which the library's public type does not declare."""
    return getattr(timer, "schedule_status", None)


@app.route(route="seen")
def seen(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - every HTTP function takes one
    """Tell what was noted so far, and which heavy modules are loaded."""
    heavy = [name for name in ("azure.ai.ml", "azure.identity", "azure.storage", "httpx") if name in sys.modules]
    return func.HttpResponse(json.dumps({"seen": SEEN, "heavy": heavy}, default=str))
