"""A hub that allows twenty operations a minute: what is too much is said at once, written down, and goes on later."""

import time
from collections.abc import Callable, Iterator

import pytest
from azure.identity import DefaultAzureCredential

from functions.cloud.iothub import HubFleet
from functions.errors import Throttled
from functions.rollout.trigger import advance_on_timer, deploy_on_model_registered
from functions.wiring import using
from laptop.iot_hub.throttle import Throttle
from tests.fakes.cloud import FakeCloud
from tests.laptop.hub_running import RunningHub, running_hub
from tests.messages import registered
from tests.rollout.fleet import made, state

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub"), units=1) as hub:
        yield hub


@pytest.fixture
def here(hub: RunningHub) -> Iterator[FakeCloud]:
    here = FakeCloud()
    with DefaultAzureCredential() as credential, using(here):
        here.fleet = HubFleet(hub.stack.hub_hostname, credential)  # type: ignore[assignment] # the real one
        yield here


def asked_too_often(question: Callable[[], object]) -> None:
    for _ in range(30):
        question()


def test_the_hub_s_word_on_when_to_come_back_is_passed_on_without_waiting_for_it(here: FakeCloud) -> None:
    with pytest.raises(Throttled) as configurations:
        asked_too_often(lambda: here.fleet.progress("nobody"))
    with pytest.raises(Throttled) as queries:
        asked_too_often(lambda: here.fleet.devices("tags.fleet = 'new-york'"))
    assert 0 < configurations.value.after_s <= 60
    assert 0 < queries.value.after_s <= 60


def test_a_rollout_goes_on_when_the_hub_has_time_again_and_nothing_failed(hub: RunningHub, here: FakeCloud) -> None:
    with pytest.raises(Throttled):
        asked_too_often(lambda: here.fleet.progress("nobody"))
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    for _ in range(3):
        advance_on_timer(None)
    assert here.rows.get("rollouts", "flight-delays", "000000001") is None
    hub.hub._throttle = Throttle(None, time.monotonic)  # a minute later
    until = here.rows.get("rollouts", "#hub", "throttled until")
    assert until
    here.rows.change("rollouts", "#hub", keys=[until.key], values={"until": here.now()})
    advance_on_timer(None)
    assert state(here, "1") == ("rolling", 0)
