"""What the real SDKs make of a response that is lost after the request was carried out, as the simulation assumes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport

from functions.errors import Transient
from functions.events import ModelRejected
from functions.wiring import Azure

pytestmark = pytest.mark.enable_socket
TABLE = "contract"


@dataclass
class Wire:
    """Loses the answers to some requests, which the service has carried out.

    Args:
        lose: How many answers are lost next.
    """

    lose: int = 0
    carried_out: list[str] = field(default_factory=list)


@pytest.fixture
def wire(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The transport under every SDK; nobody waits between two tries."""
    assert azure
    wire, send = Wire(), RequestsTransport.send

    def lossy(self: RequestsTransport, request: Any, **options: Any) -> Any:  # noqa: ANN401 # as the SDK's own
        answer = send(self, request, **options)
        if wire.lose and request.method != "GET":
            wire.lose -= 1
            wire.carried_out.append(f"{request.method} {answer.status_code}")
            getattr(answer, "internal_response", answer).close()
            raise ServiceResponseError("the answer was lost")
        return answer

    monkeypatch.setattr(RequestsTransport, "send", lossy)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    yield wire
    assert not wire.lose


def test_an_inserted_row_whose_answer_was_lost_is_there_whatever_the_caller_hears(
    azure: Azure, unique: str, wire: Wire
) -> None:
    assert azure.rows.insert(TABLE, unique, "warm", row={"n": 0})  # the table exists
    wire.lose = 1
    assert _tried(lambda: azure.rows.insert(TABLE, unique, "k", row={"n": 1})) in (False, Transient)
    assert not azure.rows.insert(TABLE, unique, "k", row={"n": 2})
    stored = azure.rows.get(TABLE, unique, "k")
    assert stored is not None
    assert dict(stored.row) == {"n": 1}


def test_a_replaced_row_whose_answer_was_lost_counts_as_done(azure: Azure, unique: str, wire: Wire) -> None:
    azure.rows.insert(TABLE, unique, "k", row={"n": 1})
    seen = azure.rows.get(TABLE, unique, "k")
    assert seen is not None
    wire.lose = 1
    assert azure.rows.replace(TABLE, unique, stored=seen, row={"n": 2})
    assert not azure.rows.replace(TABLE, unique, stored=seen, row={"n": 3})


def test_changed_rows_whose_answer_was_lost_are_changed_once_more_or_by_the_next_try(
    azure: Azure, unique: str, wire: Wire
) -> None:
    for key in ("a", "b"):
        azure.rows.insert(TABLE, unique, key, row={"n": 1})
    wire.lose = 1
    _tried(lambda: azure.rows.change(TABLE, unique, keys=["a", "b"], values={"n": 2}))
    assert [stored.row["n"] for stored in azure.rows.find(TABLE, unique)] == [2, 2]


def test_a_created_blob_whose_answer_was_lost_is_taken_for_another_s_and_is_ours(
    azure: Azure, unique: str, wire: Wire
) -> None:
    wire.lose = 1
    assert not azure.blobs.create("models", unique, b"ours")
    assert wire.carried_out == ["PUT 201"]
    assert azure.blobs.read("models", unique) == b"ours"


def test_an_announcement_whose_answer_was_lost_is_sent_again_or_said_to_have_failed(
    azure: Azure, unique: str, wire: Wire
) -> None:
    wire.lose = 1
    event = ModelRejected(loop="l", job=unique, reason="worse")
    assert _tried(lambda: azure.announcer.announce(event, subject=unique, id=unique)) in (None, Transient)
    assert wire.carried_out == ["POST 200"]


def _tried(act: Callable[[], object]) -> object:
    try:
        return act()
    except Transient:
        return Transient
