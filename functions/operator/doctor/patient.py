"""What is examined: settings, loops, and the services behind them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from functions.cloud.asking import Asker, Manager
from functions.cloud.identity import credential
from functions.loops import Loop
from functions.operator.doctor.finding import Right
from functions.settings import Settings
from functions.wiring import Azure

STORAGE = "https://storage.azure.com"
MANAGEMENT = "https://management.azure.com"
STUDIO = "https://ml.azure.com"
EVENT_GRID = "https://eventgrid.azure.net"
IOT_HUB = "https://iothubs.azure.net"
EVENT_HUBS = "https://eventhubs.azure.net"
AUDIENCES = (STORAGE, MANAGEMENT, STUDIO, EVENT_GRID, IOT_HUB, EVENT_HUBS)


@dataclass(frozen=True)
class Patient:
    """One app.

    Args:
        environment: Where its settings stand.
        settings: Those of the app itself, sound.
        loops: Its loops, as far as their files are sound.
    """

    environment: Mapping[str, str]
    settings: Settings
    loops: Mapping[str, Loop]

    @cached_property
    def here(self) -> Azure:
        """Its ports."""
        return Azure(self.settings)

    @cached_property
    def asker(self) -> Asker:
        """Who asks: the app's identity, or the person's who runs this."""
        return Asker(credential(self.settings.identity_client_id))

    @cached_property
    def manager(self) -> Manager:
        """What knows what was deployed."""
        return Manager(self.asker, self.settings.manager_endpoint)

    @cached_property
    def oid(self) -> str:
        """Object id of who asks.

        Raises:
            Refused: There is no token to be had.
        """
        return str(self.asker.claims(STORAGE).get("oid", "unknown"))

    @property
    def group(self) -> str:
        """ARM id of the resource group of the data account, where everything else is too."""
        return self.settings.account_id.partition("/providers/")[0]

    def right(self, role: str, scope: str) -> Right:
        """What who asks must be allowed."""
        return Right(role, scope, self.oid)
