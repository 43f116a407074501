"""What every test stands on: a fence around the loopback, an address and an Azurite of its own for each worker."""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer  # type: ignore[import-untyped] # ships no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped] # ships no types

from laptop.processes import FENCE
from laptop.stack import Stack
from laptop.storage.front import running_azurite
from laptop.tls import write_certificates
from tests.addresses import claimed_address

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # for tests that import ONNX Runtime themselves: decision 0084

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # a property is right or wrong, not fast or slow: a busy machine fails no test


TOGETHER = {  # by a fixture that takes seconds to make, or by what takes most of the cores; the longest first
    "tests/loop/": ("tests/loop/",),
    "tests/contracts/": ("tests/contracts/",),
    "azurite_stack": (
        "tests/edge/test_process.py",
        "tests/edge/test_store.py",
        "tests/laptop/test_event_grid.py",
        "tests/laptop/test_host_app.py",
        "tests/laptop/test_host_stores.py",
        "tests/laptop/test_identity.py",
        "tests/laptop/test_ml_jobs.py",
        "tests/laptop/test_ml_restart.py",
        "tests/laptop/test_ml_workspace.py",
        "tests/laptop/test_replay.py",
        "tests/laptop/test_storage.py",
        "tests/laptop/test_tls.py",
        "tests/rollout/test_fleet_of_processes.py",
        "tests/training/test_components.py",  # for azure.ai.ml, which that worker imports anyway
    ),
    "trained": ("tests/training/",),
}


class OutsideLoopback(RuntimeError):
    """A test, or what it tests, tried to reach another computer."""


def _stay_on_loopback(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # anything else is a unix socket
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if host and not _is_loopback(str(host)):
        raise OutsideLoopback(f"{event} {host}: a test talks to nobody but this computer")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


sys.addaudithook(_stay_on_loopback)


@pytest.fixture(scope="session", autouse=True)
def _no_test_sees_the_stack_of_this_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REFLUENT_HOME", str(tmp_path_factory.mktemp("no-stack")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _children_stay_on_loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    log = tmp_path_factory.mktemp("fence") / "outside.log"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(FENCE), prepend=os.pathsep)
        environment.setenv("REFLUENT_FENCE_LOG", str(log))
        yield
    assert not log.exists(), f"a process that a test started looked beyond this computer:\n{log.read_text()}"


class Together(LoadScopeScheduling):  # type: ignore[misc] # likewise
    """Gives a worker whole files, and all files that share a fixture; pytest-xdist's own groups need pytest < 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start what takes longest first, so that no worker ends long after the other."""
    order = list(TOGETHER)
    items.sort(key=lambda item: order.index(group) if (group := _group(item.nodeid)) in TOGETHER else len(order))
    for item in items:
        alone = isinstance(item, pytest.Function) and set(item.fixturenames) & set(TOGETHER) - {_group(item.nodeid)}
        if alone:
            raise pytest.UsageError(f"{item.nodeid} uses {', '.join(alone)}: name its file in TOGETHER, in {__file__}")


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays anyway: every module that the tests import."""
    gc.collect()
    gc.freeze()


def _group(nodeid: str) -> str:
    return next((name for name, files in TOGETHER.items() if nodeid.startswith(files)), nodeid.partition("::")[0])


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A loopback address that only this worker listens on."""
    with claimed_address(tmp_path_factory.mktemp("address")) as address:
        yield address


@pytest.fixture(scope="session")
def azurite_stack(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with certificates and a running Azurite."""
    stack = Stack(address, tmp_path_factory.mktemp("stack"))
    write_certificates(stack)
    with running_azurite(stack):
        yield stack


@pytest.fixture
def stack(azurite_stack: Stack, tmp_path: Path) -> Stack:
    """The same Azurite and certificates under an empty home, for state that a test must not inherit."""
    shutil.copytree(azurite_stack.home / "tls", tmp_path / "tls")
    return Stack(azurite_stack.address, tmp_path)
