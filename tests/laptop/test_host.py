"""The host as Event Grid, browsers and operators meet it: func start's URLs, statuses and answers."""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from laptop.stack import Stack
from tests.laptop.hosting import RunningHost, running_host
from tests.laptop.serving import eventually

pytestmark = pytest.mark.enable_socket
YEARLY = "0 0 0 1 1 *"


@pytest.fixture(scope="module")
def host(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    home = tmp_path_factory.mktemp("home")
    status = {"Last": None, "Next": "2001-01-01T00:00:00+00:00", "LastUpdated": "2000-12-31T23:59:00+00:00"}
    (home / "host").mkdir()
    (home / "host" / "timer~every_year.json").write_text(json.dumps(status))  # off when this timer was due
    with running_host("events", Stack(address, home), YEARLY=YEARLY) as host:
        yield host


def grid_event(id_: str, **changes: object) -> dict[str, Any]:
    return {
        "id": id_,
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
        "subject": "/blobServices/default/containers/landing/blobs/a.parquet",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-11-22T10:00:00.1234567Z",
        "dataVersion": "",
        "data": {"contentLength": 3},
    } | changes


def test_a_notification_runs_the_function_once_per_event(host: RunningHost) -> None:
    before = host.figures("on_event")
    answer = host.notify("on_event", [grid_event("n1"), grid_event("n2")])
    assert (answer.status_code, answer.content) == (202, b"")
    after = host.figures("on_event")
    assert after["succeeded"] - before["succeeded"] == 2
    assert after["p50_ms"] <= after["p99_ms"]
    event = grid_event("n1")
    time = "2026-11-22 10:00:00.123456+00:00"
    told = ["n1", event["eventType"], event["subject"], event["topic"], {"contentLength": 3}, time]
    assert told in host.seen()["seen"]


def test_a_single_event_outside_an_array_is_taken_too(host: RunningHost) -> None:
    assert host.notify("on_event", grid_event("alone")).status_code == 202
    assert "alone" in str(host.seen())


def test_a_cloud_event_arrives_as_one(host: RunningHost) -> None:
    event = {
        "specversion": "1.0", "id": "c1", "source": "/ml/refluent",
        "type": "Microsoft.MachineLearningServices.RunCompleted",
        "subject": "experiments/e/runs/r", "time": "2026-11-22T10:00:00Z", "data": {"runId": "r"},
    }  # fmt: skip
    assert host.notify("on_cloud_event", [event]).status_code == 202
    assert ["c1", event["type"], event["source"], event["subject"], event["data"], "2026-11-22 10:00:00+00:00"] in (
        host.seen()["seen"]
    )


def test_one_failing_event_fails_the_whole_batch_but_its_neighbours_ran(host: RunningHost) -> None:
    before = host.figures("on_event")
    answer = host.notify("on_event", [grid_event("f1", subject="fails"), grid_event("f2"), grid_event("f3")])
    after = host.figures("on_event")
    assert answer.status_code == 500
    assert "Functions.on_event" in answer.text
    assert (after["failed"] - before["failed"], after["succeeded"] - before["succeeded"]) == (1, 2)


@pytest.mark.parametrize("body", [["not an object"], [{}], [{"specversion": 1, "data": 3}], [[]]])
def test_an_event_that_is_no_event_never_stops_the_host(host: RunningHost, body: object) -> None:
    assert host.notify("on_event", body).status_code in {202, 500}
    assert host.notify("on_event", [grid_event("after")]).status_code == 202


@pytest.mark.parametrize(
    ("kind", "body"),
    [("Notification", "{not json"), ("SubscriptionValidation", "[]"), ("SubscriptionValidation", "{}")],
)
def test_a_call_that_cannot_be_read_fails_and_its_connection_lives_on(host: RunningHost, kind: str, body: str) -> None:
    door = http.client.HTTPConnection(host.url.removeprefix("http://"))
    path, headers = "/runtime/webhooks/eventgrid?functionName=on_event", {"aeg-event-type": kind}
    door.connect()
    connection = door.sock
    for _ in range(3):
        door.request("POST", path, body, headers)
        with door.getresponse() as answer:
            assert (answer.status, answer.read()) == (500, b"")
    assert door.sock is connection
    door.close()


@pytest.mark.parametrize("door", ["eventgrid", "EventGrid"])
def test_the_validation_handshake_returns_the_code(host: RunningHost, door: str) -> None:
    event = {
        "id": "v",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "123"},
    }
    path = f"/runtime/webhooks/{door}?functionName=on_event"
    answer = host.post(path, [event], aeg_event_type="SubscriptionValidation")
    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "123"})


def test_unsubscribing_is_acknowledged(host: RunningHost) -> None:
    path = "/runtime/webhooks/eventgrid?functionName=on_event"
    assert host.post(path, {}, aeg_event_type="Unsubscribe").status_code == 202


def test_the_cloud_events_handshake_allows_the_caller(host: RunningHost) -> None:
    path = "/runtime/webhooks/eventgrid?functionName=on_event"
    from_someone = host.send("OPTIONS", path, WebHook_Request_Origin="relay.local")
    assert (from_someone.status_code, from_someone.headers["Webhook-Allowed-Origin"]) == (200, "relay.local")
    assert host.send("OPTIONS", path).headers["Webhook-Allowed-Origin"] == "eventgrid.azure.net"


@pytest.mark.parametrize("headers", [{}, {"aeg_event_type": "Something"}])
def test_a_post_without_a_known_event_type_is_refused(host: RunningHost, headers: dict[str, str]) -> None:
    assert host.post("/runtime/webhooks/eventgrid?functionName=on_event", [], **headers).status_code == 400


@pytest.mark.parametrize("name", ["nobody", "thing", ""])
def test_only_event_grid_functions_are_found_at_the_webhook(host: RunningHost, name: str) -> None:
    answer = host.notify(name, [])
    assert (answer.status_code, answer.text) == (404, f"cannot find function: '{name}'")


def test_an_http_function_gets_the_request_and_gives_the_response(host: RunningHost) -> None:
    answer = host.send("POST", "/API/things/7/a/b%20c?q=1&q=2&empty=", "body", X_Mine="m")
    assert (answer.status_code, answer.headers["x-yours"]) == (201, "b")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "method": "POST",
        "url": f"{host.url}/API/things/7/a/b%20c?q=1&q=2&empty=",
        "route": {"id": "7", "rest": "a/b c"},
        "query": {"q": "1,2", "empty": ""},
        "header": "m",
        "body": "body",
    }


def test_a_route_with_another_method_or_a_wrong_parameter_is_not_found(host: RunningHost) -> None:
    assert host.send("PUT", "/api/things/7").status_code == 404
    assert host.get("/api/things/seven").status_code == 404
    assert host.get("/things/7").status_code == 404


def test_a_function_sets_cookies(host: RunningHost) -> None:
    assert host.get("/api/cookie").headers["set-cookie"] == "a=1"


def test_a_failing_http_function_answers_500_without_its_reason(host: RunningHost) -> None:
    answer = host.get("/api/fails")
    assert (answer.status_code, answer.content) == (500, b"")


def test_an_invocation_that_takes_too_long_fails(host: RunningHost) -> None:
    assert host.get("/api/slow?seconds=1.5").status_code == 500
    assert "exceeded by function 'Functions.slow'" in host.log()


def test_a_timer_that_was_due_while_the_host_was_off_fires_once_and_says_so(host: RunningHost) -> None:
    eventually(lambda: host.figures("every_year")["succeeded"], "the missed timer did not fire")
    past = [entry for entry in host.seen()["seen"] if entry[0] == "every_year"]
    assert past[0][1] is True
    assert past[0][2]["Next"] == "2001-01-01T00:00:00+00:00"
    status = json.loads((host.home / "host" / "timer~every_year.json").read_text())
    assert status["Next"] > status["Last"]


def test_a_timer_may_fire_at_startup_and_has_no_status_without_a_monitor(host: RunningHost) -> None:
    eventually(lambda: host.figures("at_start")["succeeded"], "the startup timer did not fire")
    assert ["at_start", False, {}] in host.seen()["seen"]


def test_an_operator_fires_a_timer_and_posts_an_event(host: RunningHost) -> None:
    before = host.figures("every_year")["succeeded"]
    assert host.invoke("every_year", "").status_code == 202
    eventually(lambda: host.figures("every_year")["succeeded"] > before, "the timer did not fire")
    assert host.invoke("on_event", json.dumps(grid_event("by hand"))).status_code == 202
    eventually(lambda: "by hand" in str(host.seen()), "the event did not arrive")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/admin/functions/nobody", {"input": ""}, 404),
        ("/admin/functions/on_event", {"input": {"an": "object"}}, 400),
        ("/admin/functions/on_event", ["no order"], 400),
        ("/admin/functions/thing", {"input": ""}, 400),
    ],
)
def test_what_an_operator_cannot_run_is_refused(host: RunningHost, path: str, body: object, status: int) -> None:
    assert host.post(path, body).status_code == status


def test_the_host_says_that_it_runs(host: RunningHost) -> None:
    status = host.get("/admin/host/status").json()
    assert status["state"] == "Running"
    assert status["id"]


def test_the_function_list_names_bindings_and_addresses(host: RunningHost) -> None:
    functions = {page["name"]: page for page in host.get("/admin/functions").json()}
    assert functions["thing"]["invoke_url_template"] == f"{host.url}/api/things/{{id:int}}/{{*rest}}"
    assert functions["every_year"]["config"]["bindings"][0]["schedule"] == YEARLY
    assert host.get("/admin/functions/thing").json() == functions["thing"]
    assert host.get("/admin/functions/nobody").status_code == 404


def test_the_log_tells_start_end_and_what_functions_log(host: RunningHost) -> None:
    host.notify("on_event", [grid_event("logged"), grid_event("logged badly", subject="fails")])
    log = host.log()
    assert "Executing 'Functions.on_event' (Reason=" in log
    assert "Executed 'Functions.on_event' (Succeeded, Id=" in log
    assert "[Function.on_event.User] mine: looking at logged" in log
    assert "Executed 'Functions.on_event' (Failed, Id=" in log
    assert "ValueError: this one cannot be handled" in log


def test_nothing_heavy_is_loaded_for_events_and_http(host: RunningHost) -> None:
    assert host.notify("on_event", [grid_event("light")]).status_code == 202
    assert host.seen()["heavy"] == []


def test_a_timer_is_tried_again_as_its_retry_policy_says(host: RunningHost) -> None:
    eventually(lambda: host.figures("fails_twice")["succeeded"], "the function did not succeed")
    tries = [entry[1:] for entry in host.seen()["seen"] if entry[0] == "fails_twice"]
    assert tries == [[0, 2], [1, 2], [2, 2]]


def test_a_stopping_host_finishes_what_runs(address: str, tmp_path: Path) -> None:
    with running_host("events", Stack(address, tmp_path), YEARLY=YEARLY) as host:
        with ThreadPoolExecutor() as threads:
            answer = threads.submit(host.get, "/api/slow?seconds=0.5")
            eventually(lambda: "slow began" in host.seen()["seen"], "the function did not begin")
            host.process.send_signal(signal.SIGINT)
            assert answer.result().text == "done"
        assert host.process.wait(20) == 0


def test_a_process_leaves_with_its_parent() -> None:
    child = "from laptop.host.lifetime import leave_with_parent as leave; leave(1); print('up', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]); input()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=-1, stdout=-1, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        started.kill()
        assert started.stdout.read() == ""  # ends when the last process that could write has ended: the child
