"""The one place where settings become clients and clients become ports."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Protocol

from functions.ports import Announcer, Blobs, Fleet, Images, Registry, Rows, Signer, Trainer
from functions.secrecy import keep_secrets_out_of_logs
from functions.settings import Settings, load

LOGGER = "refluent"  # every logger of the app is below it


class Cloud(Protocol):
    """Everything a trigger may touch."""

    def now(self) -> datetime:
        """The time, aware: the only clock that triggers read."""
        ...

    @property
    def settings(self) -> Settings: ...

    @property
    def rows(self) -> Rows: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def trainer(self) -> Trainer: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def signer(self) -> Signer: ...

    @property
    def fleet(self) -> Fleet: ...

    @property
    def images(self) -> Images | None: ...

    @property
    def announcer(self) -> Announcer: ...


class Azure:
    """The real clients, each imported and built on first use: azure.ai.ml alone takes seconds to import."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def now(self) -> datetime:
        """The computer's clock, in UTC."""
        return datetime.now(UTC)  # noqa: TID251  # the one place that asks it

    @cached_property
    def rows(self) -> Rows:
        """Table Storage of the data account."""
        from functions.cloud.identity import credential
        from functions.cloud.tables import TableRows

        return TableRows(self.settings.table_endpoint, credential(self.settings.identity_client_id))

    @cached_property
    def blobs(self) -> Blobs:
        """Blob Storage of the data account."""
        from functions.cloud.blobs import AccountBlobs
        from functions.cloud.identity import credential

        return AccountBlobs(self.settings.blob_endpoint, credential(self.settings.identity_client_id))

    @cached_property
    def trainer(self) -> Trainer:
        """Azure Machine Learning's jobs."""
        from functions.cloud.identity import credential
        from functions.cloud.ml import WorkspaceTrainer, workspace

        ours = credential(self.settings.identity_client_id)
        return WorkspaceTrainer(workspace(self.settings.workspace_id, ours), ours)

    @cached_property
    def registry(self) -> Registry:
        """Azure Machine Learning's models."""
        from functions.cloud.identity import credential
        from functions.cloud.ml import WorkspaceRegistry, workspace

        return WorkspaceRegistry(workspace(self.settings.workspace_id, credential(self.settings.identity_client_id)))

    @cached_property
    def signer(self) -> Signer:
        """The key that devices trust."""
        from functions.cloud.signing import KeySigner

        key = self.settings.model_signing_key
        return KeySigner(key.get_secret_value() if key else None)

    @cached_property
    def fleet(self) -> Fleet:
        """IoT Hub's automatic deployments."""
        from functions.cloud.identity import credential
        from functions.cloud.iothub import HubFleet

        return HubFleet(self.settings.hub_hostname, credential(self.settings.identity_client_id))

    @cached_property
    def images(self) -> Images | None:
        """Container Registry's builds; None without a registry."""
        from functions.cloud.identity import credential
        from functions.cloud.registry_tasks import RegistryImages

        ours = self.settings
        if ours.registry_id is None:
            return None
        return RegistryImages(
            ours.registry_id,
            ours.registry_login_server,
            manager=ours.manager_endpoint,
            blob_endpoint=ours.blob_endpoint,
            credential=credential(ours.identity_client_id),
        )

    @cached_property
    def announcer(self) -> Announcer:
        """The custom Event Grid topic."""
        from functions.cloud.eventgrid import TopicAnnouncer
        from functions.cloud.identity import credential

        return TopicAnnouncer(self.settings.topic_endpoint, credential(self.settings.identity_client_id))


def tell() -> None:
    """Let traces, metrics and logs of this process go where a setting says; without one they cost nothing."""
    ours = azure().settings
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    keep_secrets_out_of_logs()
    if ours.insights_connection or ours.otlp_endpoint:
        os.environ.setdefault("OTEL_SERVICE_NAME", LOGGER)
    if ours.insights_connection:
        from functions.cloud.identity import credential
        from functions.cloud.insights import tell_insights

        connection = ours.insights_connection.get_secret_value()
        tell_insights(connection, credential(ours.identity_client_id), logger=LOGGER)
    elif ours.otlp_endpoint:
        from functions.cloud.collector import tell_collector

        tell_collector(logger=LOGGER)


_stand_in: ContextVar[Cloud | None] = ContextVar("stand_in", default=None)


def cloud() -> Cloud:
    """The cloud this invocation talks to."""
    return _stand_in.get() or azure()


@contextmanager
def using(stand_in: Cloud) -> Iterator[Cloud]:
    """Talk to `stand_in` inside the block; the only seam that tests need."""
    token = _stand_in.set(stand_in)
    try:
        yield stand_in
    finally:
        _stand_in.reset(token)


@cache
def azure() -> Azure:
    """The real cloud of this process; reading it checks every setting and loop.

    Raises:
        Refused: A setting is missing or unusable, or a loop file is broken.
    """
    return Azure(load())
