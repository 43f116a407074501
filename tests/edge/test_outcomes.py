"""`POST /outcomes`, from the request to the hub."""

import asyncio
import json
from contextlib import suppress
from math import log
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import Refusal
from edge.outcomes import OUTCOMES, read
from tests.edge.device import Bench, rows
from tests.edge.models import ROWS, expected, model_folder
from tests.edge.test_telemetry import on_a_device

ONE = {"temp": -20.0, "carrier": "AA"}
SCORE = expected(ONE)


async def ask(client: httpx.AsyncClient, path: str, document: object) -> tuple[int, dict[str, Any]]:
    reply = await client.post(path, content=document if isinstance(document, bytes) else json.dumps(document).encode())
    return reply.status_code, reply.json()


def test_outcomes_become_sums_by_version_in_the_next_message(tmp_path: Path) -> None:
    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        columns = {"temp": [-20.0, -20.0], "carrier": ["AA", "AA"]}
        assert (await ask(client, "/score", {"rows": [ONE, ONE], "ids": ["a:1", "b"]}))[0] == 200
        assert (await ask(client, "/score", {"columns": columns, "ids": ["c", "d"]}))[0] == 200
        assert (await ask(client, "/score", {**ONE, "id": "e:2"}))[0] == 200
        status, said = await ask(client, "/outcomes", [{"id": "a:1", "label": 1}, {"id": "b", "label": False}])
        assert (status, said["joined"], said["unknown"]) == (200, 2, 0)
        status, said = await ask(client, "/outcomes", {"ids": ["c", "e:2", "b", "x"], "labels": [0, True, 1, 0]})
        assert (status, said) == (
            200,
            {
                "joined": 2,
                "duplicate": 0,
                "conflicting": 1,
                "unknown": 1,
                "conflicting_ids": ["b"],
                "unknown_ids": ["x"],
            },
        )
        text = (await client.get("/metrics")).text
        assert "refluent_edge_outcomes_joined_total 4.0" in text
        assert "refluent_edge_outcomes_conflicting_total 1.0" in text
        assert "refluent_edge_answers_kept 5.0" in text

    (message,) = on_a_device(tmp_path, story)
    (told,) = message["outcomes"]
    assert (told["version"], told["rows"], told["positives"]) == ("1", 4, 2)
    assert told["at"].endswith(":00:00Z")
    assert told["log_loss_sum"] == pytest.approx(-2 * log(SCORE) - 2 * log(1 - SCORE), abs=1e-4)
    assert told["brier_sum"] == pytest.approx(2 * (1 - SCORE) ** 2 + 2 * SCORE**2, abs=1e-4)


def test_late_outcomes_of_a_replaced_version_are_told_as_its_own_when_nobody_scores(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        await ask(client, "/score", {"rows": [ONE, ONE], "ids": ["a", "b"]})
        bench.deploy(model_folder("2"))
        await bench.serves("2")
        await ask(client, "/outcomes", {"ids": ["a"], "labels": [1]})

    _, second = on_a_device(tmp_path, story)
    assert (second["version"], second["rows"], second["requests"], second["latency_ms_max"]) == ("2", 0, 0, 0)
    assert [(one["version"], one["rows"]) for one in second["outcomes"]] == [("1", 1)]


def test_answers_outlive_a_restart_of_the_device(tmp_path: Path) -> None:
    async def first(_: Bench, client: httpx.AsyncClient) -> None:
        await ask(client, "/score", {"rows": [ONE], "ids": ["a"]})

    async def second(_: Bench, client: httpx.AsyncClient) -> None:
        status, said = await ask(client, "/outcomes", [{"id": "a", "label": 0}])
        assert (status, said["joined"]) == (200, 1)

    (before,) = on_a_device(tmp_path, first)
    assert "outcomes" not in before
    (after,) = on_a_device(tmp_path, second)
    assert after["outcomes"][0]["rows"] == 1


def test_scores_are_the_same_with_ids_as_without(tmp_path: Path) -> None:
    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        plain = (await client.post("/score", content=rows(*ROWS))).json()
        named = await ask(client, "/score", {"rows": ROWS, "ids": [f"id:{place}" for place in range(len(ROWS))]})
        assert named == (200, plain)

    on_a_device(tmp_path, story)


UNREADABLE: list[tuple[object, int, str, str | None]] = [
    ([{"id": "a", "label": 2}], 400, "BAD_OUTCOME", "[0].label"),
    ([{"id": "a", "label": 1}, {"id": "a", "label": "1"}], 400, "BAD_OUTCOME", "[1].label"),
    ([{"id": "a", "label": 1.0}], 400, "BAD_OUTCOME", "[0].label"),
    ([{"id": 7, "label": 1}], 400, "BAD_OUTCOME", "[0].id"),
    ([{"id": "", "label": 1}], 400, "BAD_OUTCOME", "[0].id"),
    ([{"id": "x" * 65, "label": 1}], 400, "BAD_OUTCOME", "[0].id"),
    ([{"id": "a"}], 400, "BAD_OUTCOME", "[0].label"),
    ([{"id": "a", "label": 1, "at": 7}], 400, "BAD_OUTCOME", "[0].at"),
    ({"ids": ["a"]}, 400, "BAD_OUTCOME", "labels"),
    ({"ids": ["a"], "labels": []}, 400, "BAD_OUTCOME", "labels"),
    ({"ids": ["a"], "labels": [None]}, 400, "BAD_OUTCOME", "labels[0]"),
    (7, 400, "BAD_OUTCOME", None),
    ([], 400, "NO_OUTCOMES", None),
    ({"ids": ["a"] * (OUTCOMES + 1), "labels": [0] * (OUTCOMES + 1)}, 413, "TOO_MANY_OUTCOMES", None),
    (b'[{"id": "a", "label": NaN}]', 400, "BAD_JSON", "[0].label"),
    (b'[{"id": "a", "la', 400, "BAD_JSON", None),
    (b"\xff", 400, "BAD_JSON", None),
]


def test_outcomes_that_cannot_be_read_name_the_field(tmp_path: Path) -> None:
    async def tell() -> None:
        async with Bench(tmp_path).client() as client:
            for document, status, code, field in UNREADABLE:
                found, said = await ask(client, "/outcomes", document)
                error = said["error"]
                assert (found, error["code"], error.get("field")) == (status, code, field), document
                assert "fix:" in error["message"]

    asyncio.run(tell())


@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(st.sampled_from(["id", "ids", "label", "labels", "x"]), inner, max_size=3),
            ),
            max_leaves=8,
        ).map(lambda document: json.dumps(document).encode()),
        st.integers(1, 100_000).map(lambda depth: b"[" * depth),
    )
)
def test_whatever_is_posted_is_read_or_refused_with_a_reason(body: bytes) -> None:
    with suppress(Refusal):
        assert all(isinstance(id_, str) and isinstance(label, bool) for id_, label in read(body))


UNFIT: list[tuple[object, str]] = [
    ({"rows": [ONE], "ids": []}, "ids"),
    ({"rows": [ONE], "ids": ["a", "b"]}, "ids"),
    ({"rows": [ONE], "ids": [7]}, "ids[0]"),
    ({"rows": [ONE], "ids": ["x" * 65]}, "ids[0]"),
    ({"rows": [ONE], "ids": "a"}, "ids"),
    ({"rows": [{**ONE, "id": "a"}]}, "rows[0].id"),
    ({**ONE, "id": 7}, "id"),
    ({"id": "a"}, "temp"),
    (b'{"rows":[{"temp":1,"carrier":"AA"}],"ids":["a"],"ids":["b"]}', "ids"),
    (b'{"temp":1,"carrier":"AA","id":"a","id":"b"}', "id"),
]


def test_ids_that_do_not_go_with_the_rows_are_refused_and_nothing_is_scored(tmp_path: Path) -> None:
    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        for document, field in UNFIT:
            status, said = await ask(client, "/score", document)
            assert (status, said["error"]["code"], said["error"]["field"]) == (400, "BAD_ROW", field), document

    (message,) = on_a_device(tmp_path, story)
    assert message["rows"] == 0


def test_a_device_without_a_model_takes_outcomes_and_knows_none(tmp_path: Path) -> None:
    async def tell() -> tuple[int, dict[str, Any]]:
        async with Bench(tmp_path).client() as client:
            assert (await client.get("/outcomes")).headers["allow"] == "POST"
            return await ask(client, "/outcomes", [{"id": "a", "label": 1}])

    reply = asyncio.run(tell())
    assert (reply[0], reply[1]["unknown"], reply[1]["unknown_ids"]) == (200, 1, ["a"])


def test_the_scores_that_are_joined_are_those_that_were_answered(tmp_path: Path) -> None:
    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        names = [f"r{place}" for place in range(len(ROWS))]
        said = (await ask(client, "/score", {"rows": ROWS, "ids": names}))[1]
        await ask(client, "/outcomes", {"ids": names[::-1], "labels": [1] * len(names)})
        scores.extend(said["scores"])

    scores = list[float]()
    (message,) = on_a_device(tmp_path, story)
    (told,) = message["outcomes"]
    assert told["log_loss_sum"] == pytest.approx(-np.log(np.clip(scores, 1e-3, 1 - 1e-3)).sum(), abs=1e-4)
