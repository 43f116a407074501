"""What functions/ports.py promises of Announcer."""

from datetime import UTC, datetime

import httpx
import pytest

from functions.events import DriftDetected, RolloutAdvanced
from functions.wiring import Cloud
from laptop.stack import Stack
from laptop.tls import client_context
from tests.fakes.cloud import FakeCloud

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def arrived(cloud: Cloud, request: pytest.FixtureRequest, id_: str) -> list[dict[str, object]]:
    """The CloudEvents with that id, as a subscriber gets them."""
    if isinstance(cloud, FakeCloud):
        return [message for message in cloud.announcer.messages if message["id"] == id_]
    stack: Stack = request.getfixturevalue("stack")
    with httpx.Client(verify=client_context(stack), trust_env=False) as client:
        recent = client.get(f"{stack.event_grid_url}/laptop/events").json()["events"]
    return [one["event"] for one in recent if one["event"]["id"] == id_]


def test_an_event_arrives_under_its_name_its_subject_and_our_id(
    cloud: Cloud, unique: str, request: pytest.FixtureRequest
) -> None:
    event = RolloutAdvanced(loop="l", version="2", ring="canary", deployment="l-2", reason="all 3 „Geräte“ serve it")
    cloud.announcer.announce(event, subject="l:2", id=unique)
    (message,) = arrived(cloud, request, unique)
    assert message["type"] == "Refluent.RolloutAdvanced"
    assert message["subject"] == "l:2"
    assert message["source"] == "/refluent"
    assert message["data"] == event.model_dump(mode="json")


def test_a_repeat_carries_the_same_id_so_that_it_is_recognised(
    cloud: Cloud, unique: str, request: pytest.FixtureRequest
) -> None:
    event = DriftDetected(loop="l", device="lga", version="1", feature="temp", explanation="temp: 12 % → 61 %", at=AT)
    for _ in range(2):
        cloud.announcer.announce(event, subject="lga", id=unique)
    first, second = arrived(cloud, request, unique)
    assert first["data"] == second["data"] == event.model_dump(mode="json")
    assert DriftDetected.model_validate(first["data"]) == event
