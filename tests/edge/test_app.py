import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from edge.body import ROWS as MOST_ROWS
from tests.edge.device import Bench, rows, until
from tests.edge.models import ROWS, expected, model_folder

ONE = {"temp": 41.0, "carrier": "AA"}


def answer(
    tmp_path: Path, body: bytes, *, model: bool = True, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    async def ask() -> tuple[int, dict[str, Any]]:
        bench = Bench(tmp_path)
        if model:
            bench.deploy(model_folder())
        async with bench.client() as client:
            if model:
                await bench.serves("1")
            reply = await client.post("/score", content=body, headers=headers)
            return reply.status_code, reply.json()

    return asyncio.run(ask())


def refusal(reply: dict[str, Any]) -> tuple[str, str | None]:
    """Code and field of an error answer, which always has a message too."""
    error = reply["error"]
    assert error["message"]
    return error["code"], error.get("field")


def test_rows_are_scored_in_their_order(tmp_path: Path) -> None:
    status, reply = answer(tmp_path, rows(*ROWS))
    assert status == 200
    assert reply == {
        "model": "flight-delays",
        "version": "1",
        "scores": pytest.approx([expected(row) for row in ROWS], abs=1e-5),
    }


def test_one_bare_row_is_scored_too(tmp_path: Path) -> None:
    status, reply = answer(tmp_path, json.dumps(ONE).encode())
    assert (status, reply["scores"]) == (200, pytest.approx([expected(ONE)], abs=1e-5))


def test_whole_numbers_missing_values_and_unseen_categories_are_fine(tmp_path: Path) -> None:
    asked: list[dict[str, object]] = [{"temp": 41, "carrier": None}, {"temp": None, "carrier": "Concorde"}]
    status, reply = answer(tmp_path, rows(*asked))
    assert (status, reply["scores"]) == (200, pytest.approx([expected(row) for row in asked], abs=1e-5))


def test_columns_are_scored_like_the_same_rows(tmp_path: Path) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ("carrier", "temp")}
    status, reply = answer(tmp_path, json.dumps({"columns": columns}).encode())
    assert (status, reply["scores"]) == (200, pytest.approx([expected(row) for row in ROWS], abs=1e-5))


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"temp": [1.0]}, "columns.carrier"),
        ({"temp": [1.0], "carrier": ["AA"], "colour": ["red"]}, "columns.colour"),
        ({"temp": [1.0, "2"], "carrier": ["AA", "AA"]}, "columns.temp[1]"),
        ({"temp": [1.0, 2.0], "carrier": ["AA"]}, "columns.carrier"),
        ({"temp": 1.0, "carrier": "AA"}, "columns.temp"),
        ([1.0], "columns"),
    ],
)
def test_a_column_that_breaks_the_signature_is_named(tmp_path: Path, columns: object, field: str) -> None:
    status, reply = answer(tmp_path, json.dumps({"columns": columns}).encode())
    assert (status, *refusal(reply)) == (400, "BAD_ROW", field)


def test_rows_and_columns_in_one_request_are_not_both_read(tmp_path: Path) -> None:
    both = {"rows": [ONE], "columns": {"temp": [1.0], "carrier": ["AA"]}}
    status, reply = answer(tmp_path, json.dumps(both).encode())
    assert (status, *refusal(reply)) == (400, "BAD_ROW", "columns")


@pytest.mark.parametrize(
    "body",
    [
        b'{"temp": 1.0, "carrier": "AA", "temp": 99.0}',
        b'{"rows": [{"temp": 1.0, "carrier": "A:A", "temp": 99.0}]}',
        b'{"columns": {"temp": [1.0], "carrier": ["AA"], "temp": [99.0]}}',
        b'{"columns": {"temp": [1.0], "carrier": ["AA"]}, "columns": {"temp": [2.0], "carrier": ["AA"]}}',
    ],
)
def test_a_name_given_twice_is_refused_because_nobody_knows_which_value_was_meant(tmp_path: Path, body: bytes) -> None:
    status, reply = answer(tmp_path, body)
    assert (status, *refusal(reply)) == (400, "BAD_ROW", "columns" if b"}, " in body else "temp")


def test_a_name_given_twice_is_found_among_thousands_of_rows(tmp_path: Path) -> None:
    body = rows(*[ONE] * 5_000).replace(b'"temp": 41.0', b'"temp": 41.0, "temp": 99.0', 1)
    status, reply = answer(tmp_path, body)
    assert (status, *refusal(reply)) == (400, "BAD_ROW", "temp")


def test_a_colon_in_a_value_is_a_colon(tmp_path: Path) -> None:
    status, _ = answer(tmp_path, rows(ONE | {"carrier": 'A": "A:A'}))
    assert status == 200


@pytest.mark.parametrize(
    "kind",
    [
        {"content-type": "text/plain"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/xml"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_a_body_of_another_kind_is_refused_unread(tmp_path: Path, kind: dict[str, str]) -> None:
    status, reply = answer(tmp_path, rows(ONE), headers=kind)
    assert (status, *refusal(reply)) == (415, "UNSUPPORTED_MEDIA_TYPE", None)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_json_however_it_is_spelled(tmp_path: Path, kind: str) -> None:
    status, _ = answer(tmp_path, rows(ONE), headers={"content-type": kind})
    assert status == 200


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"temp": 41.0}, "rows[1].carrier"),
        ({"temp": 41.0, "carrier": "AA", "colour": "red"}, "rows[1].colour"),
        ({"temp": "41", "carrier": "AA"}, "rows[1].temp"),
        ({"temp": True, "carrier": "AA"}, "rows[1].temp"),
        ({"temp": 41.0, "carrier": 7}, "rows[1].carrier"),
        ({"temp": 41.0, "carrier": "x" * 1_001}, "rows[1].carrier"),
        ({"temp": 1e39, "carrier": "AA"}, "rows[1].temp"),
        ({"temp": 10**400, "carrier": "AA"}, "rows[1].temp"),
        ({"temp": [1.0], "carrier": "AA"}, "rows[1].temp"),
        (7, "rows[1]"),
    ],
)
def test_a_row_that_breaks_the_signature_is_named(tmp_path: Path, row: object, field: str) -> None:
    status, reply = answer(tmp_path, json.dumps({"rows": [ONE, row]}).encode())
    assert (status, *refusal(reply)) == (400, "BAD_ROW", field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "rows"),
        (b'{"rows": 7}', "rows"),
        (b'{"rows": [], "more": 1}', "more"),
        (b'{"temp": 1}', "carrier"),
        (b'{"temp": "x", "carrier": "AA"}', "temp"),
        (b"[" * 100_000, None),
        (b'{"rows":' + b"[" * 100_000, "rows[0]"),
    ],
)
def test_a_request_without_usable_rows_is_told_which_field(tmp_path: Path, body: bytes, field: str | None) -> None:
    status, reply = answer(tmp_path, body)
    assert (status, *refusal(reply)) == (400, "BAD_ROW", field)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"rows":[{"temp":1,"carrier":"\xff"}]}',
    ],
)
def test_what_is_not_json_is_refused_as_such(tmp_path: Path, body: bytes) -> None:
    status, reply = answer(tmp_path, body)
    assert (status, *refusal(reply)) == (400, "BAD_JSON", None)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    ("shape", "field"),
    [
        ('{"rows":[{"temp":1,"carrier":"NaN"},{"temp":%s,"carrier":"AA"}]}', "rows[1].temp"),
        ('{"columns":{"temp":[1,%s],"carrier":["AA","AA"]}}', "columns.temp[1]"),
        ('{"temp":%s,"carrier":"AA"}', "temp"),
    ],
)
def test_what_is_no_json_number_is_named(tmp_path: Path, constant: str, shape: str, field: str) -> None:
    status, reply = answer(tmp_path, (shape % constant).encode())
    assert (status, *refusal(reply)) == (400, "BAD_JSON", field)


@pytest.mark.parametrize(("count", "status", "code"), [(0, 400, "NO_ROWS"), (MOST_ROWS + 1, 413, "TOO_MANY_ROWS")])
def test_too_few_and_too_many_rows_are_refused(tmp_path: Path, count: int, status: int, code: str) -> None:
    found, reply = answer(tmp_path, rows(*[ONE] * count))
    assert (found, *refusal(reply)) == (status, code, "rows")


def test_as_many_rows_as_allowed_are_scored(tmp_path: Path) -> None:
    status, reply = answer(tmp_path, rows(*[ONE] * MOST_ROWS))
    assert status == 200
    assert reply["scores"] == pytest.approx([expected(ONE)] * MOST_ROWS, abs=1e-5)


def test_a_body_beyond_any_sense_is_refused_while_it_arrives(tmp_path: Path) -> None:
    status, reply = answer(tmp_path, b" " * (17 * 1024 * 1024))
    assert (status, *refusal(reply)) == (413, "TOO_LARGE", None)


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(tmp_path: Path) -> None:
    status, reply = answer(tmp_path, b"{}", headers={"content-length": "9" * 30})
    assert (status, *refusal(reply)) == (413, "TOO_LARGE", None)


def test_large_bodies_wait_for_their_turn_and_small_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.app.LARGE", 1)
    large = rows(*[ONE] * 3_000)

    async def tell() -> None:
        bench, go_on, read = Bench(tmp_path), asyncio.Event(), list[str]()
        bench.deploy(model_folder())

        async def asks(name: str) -> int:
            parts, status = [large[:80_000], large[80_000:]], list[int]()

            async def receive() -> MutableMapping[str, Any]:
                if len(parts) == 1:
                    read.append(name)
                    await go_on.wait()
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

            async def send(message: MutableMapping[str, Any]) -> None:
                status.append(message.get("status", 0))

            await bench.app({"type": "http", "method": "POST", "path": "/score", "headers": []}, receive, send)
            return status[0]

        async with bench.client() as client, asyncio.TaskGroup() as strangers:
            await bench.serves("1")
            asked = [strangers.create_task(asks(name)) for name in ("first", "second")]
            await until(lambda: read)
            assert (await client.post("/score", content=rows(ONE))).status_code == 200
            assert read == ["first"]
            go_on.set()
            assert [await one for one in asked] == [200, 200]

    asyncio.run(tell())


def test_before_the_first_model_scoring_says_so(tmp_path: Path) -> None:
    status, reply = answer(tmp_path, rows(ONE), model=False)
    assert (status, *refusal(reply)) == (503, "NO_MODEL", None)


def test_a_device_is_alive_at_once_and_ready_with_its_first_model(tmp_path: Path) -> None:
    async def ask() -> None:
        bench = Bench(tmp_path)
        async with bench.client() as client:
            assert (await client.get("/health")).status_code == 200
            assert (await client.get("/ready")).status_code == 503
            bench.deploy(model_folder())
            await bench.serves("1")
            assert (await client.get("/ready")).json() == {"status": "ready", "model": "flight-delays", "version": "1"}

    asyncio.run(ask())


def test_other_paths_and_methods_get_an_error_of_the_same_shape(tmp_path: Path) -> None:
    async def ask() -> None:
        async with Bench(tmp_path).client() as client:
            absent, wrong = await client.get("/admin"), await client.get("/score")
            assert (absent.status_code, absent.json()["error"]["code"]) == (404, "NOT_FOUND")
            assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "NOT_ALLOWED")

    asyncio.run(ask())


def test_metrics_count_what_happened(tmp_path: Path) -> None:
    async def ask() -> str:
        bench = Bench(tmp_path)
        bench.deploy(model_folder())
        async with bench.client() as client:
            await bench.serves("1")
            await client.post("/score", content=rows(ONE, ONE))
            await client.post("/score", content=b"{")
            return (await client.get("/metrics")).text

    text = asyncio.run(ask())
    for line in (
        "refluent_edge_requests_total 2.0",
        'refluent_edge_failures_total{code="BAD_JSON"} 1.0',
        "refluent_edge_rows_total 2.0",
        "refluent_edge_score_seconds_count 1.0",
        'refluent_edge_model_info{model="flight-delays",version="1"} 1.0',
        "refluent_edge_swaps_total 1.0",
        "refluent_edge_hub_connected 1.0",
    ):
        assert line in text.splitlines()


def test_a_client_that_hangs_up_in_the_middle_is_counted_and_disturbs_nobody(tmp_path: Path) -> None:
    async def ask() -> str:
        bench = Bench(tmp_path)
        bench.deploy(model_folder())
        async with bench.client() as client:
            await bench.serves("1")
            half: list[MutableMapping[str, Any]] = [
                {"type": "http.request", "body": b'{"ro', "more_body": True},
                {"type": "http.disconnect"},
            ]
            answers: list[MutableMapping[str, Any]] = []

            async def receive() -> MutableMapping[str, Any]:
                return half.pop(0)

            async def send(message: MutableMapping[str, Any]) -> None:
                answers.append(message)

            scope = {"type": "http", "method": "POST", "path": "/score", "headers": [], "query_string": b""}
            await bench.app(scope, receive, send)
            assert answers[0]["status"] == 400
            return (await client.get("/metrics")).text

    assert 'refluent_edge_failures_total{code="INCOMPLETE"} 1.0' in asyncio.run(ask())
