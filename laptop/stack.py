"""One stack's address book: where every endpoint of this laptop's Azure listens and keeps its state."""

import socket
from dataclasses import dataclass
from pathlib import Path

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP = "refluent"
GROUP_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
ACCOUNT = "devstoreaccount1"  # Azurite's well-known account, so that any storage tool finds it
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # public
ACCOUNT_ID = f"{GROUP_ID}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
WORKSPACE = "refluent"
WORKSPACE_ID = f"{GROUP_ID}/providers/Microsoft.MachineLearningServices/workspaces/{WORKSPACE}"
HUB = "refluent"
HUB_ID = f"{GROUP_ID}/providers/Microsoft.Devices/IotHubs/{HUB}"
REGISTRY_ID = f"{GROUP_ID}/providers/Microsoft.ContainerRegistry/registries/refluent"
TOPIC = "refluent"
TOPIC_ID = f"{GROUP_ID}/providers/Microsoft.EventGrid/topics/{TOPIC}"

BLOB_PORT, QUEUE_PORT, TABLE_PORT = 10000, 10001, 10002  # Azurite's own, so that defaults keep working
AZURITE_BLOB_PORT = 10010  # Azurite's blob service itself, behind the front that emits events
HOST_PORT = 7071  # func start's own
ML_PORT, HUB_PORT, EVENT_GRID_PORT, IDENTITY_PORT, REGISTRY_PORT = 8441, 8442, 8443, 8444, 8445
CLAIM_PORT = 10099  # no endpoint's: whoever listens on it has the address, also while its endpoints are coming up
MQTT_PORT = 8883  # fixed in azure-iot-device, hence one loopback address per stack
DEVICE_PORTS = (9001, 9002, 9003)  # where devices answer scoring requests
PORTS = (
    BLOB_PORT, QUEUE_PORT, TABLE_PORT, AZURITE_BLOB_PORT, HOST_PORT,
    ML_PORT, HUB_PORT, EVENT_GRID_PORT, IDENTITY_PORT, REGISTRY_PORT, MQTT_PORT, *DEVICE_PORTS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stack:
    """Where one stack lives.

    Args:
        address: The loopback address all its endpoints listen on, such as 127.0.0.1.
        home: The folder that holds its state, certificates and logs.
    """

    address: str
    home: Path

    @property
    def blob_url(self) -> str:
        """Blob service, through the front that emits BlobCreated."""
        return f"https://{self.address}:{BLOB_PORT}/{ACCOUNT}"

    @property
    def queue_url(self) -> str:
        """Queue service (Azurite itself)."""
        return f"https://{self.address}:{QUEUE_PORT}/{ACCOUNT}"

    @property
    def table_url(self) -> str:
        """Table service (Azurite itself)."""
        return f"https://{self.address}:{TABLE_PORT}/{ACCOUNT}"

    @property
    def host_url(self) -> str:
        """The Functions host, with func start's URLs."""
        return f"http://{self.address}:{HOST_PORT}"

    @property
    def ml_url(self) -> str:
        """Azure Machine Learning's control plane."""
        return f"https://{self.address}:{ML_PORT}"

    @property
    def registry_url(self) -> str:
        """Azure Resource Manager, as far as a container registry's tasks go."""
        return f"https://{self.address}:{REGISTRY_PORT}"

    @property
    def hub_hostname(self) -> str:
        """IoT Hub's service API, as the SDK's connection string spells it."""
        return f"{self.address}:{HUB_PORT}"

    @property
    def topic_url(self) -> str:
        """The custom Event Grid topic."""
        return f"https://{self.address}:{EVENT_GRID_PORT}/{TOPIC}/api/events"

    @property
    def event_grid_url(self) -> str:
        """The Event Grid relay itself: its topics, subscriptions and switches."""
        return f"https://{self.address}:{EVENT_GRID_PORT}"

    @property
    def identity_url(self) -> str:
        """The managed-identity endpoint."""
        return f"http://{self.address}:{IDENTITY_PORT}/msi/token"

    @property
    def authority(self) -> Path:
        """Certificate of the stack's own authority, PEM."""
        return self.home / "tls" / "ca.pem"

    @property
    def certificate(self) -> Path:
        """Server certificate for every endpoint, PEM."""
        return self.home / "tls" / "server.pem"

    @property
    def private_key(self) -> Path:
        """Private key of the server certificate, PEM."""
        return self.home / "tls" / "server.key"

    def sdk_environment(self) -> dict[str, str]:
        """Environment that points Microsoft's SDKs, unchanged, at this stack."""
        return {
            "REQUESTS_CA_BUNDLE": str(self.authority),
            "SSL_CERT_FILE": str(self.authority),
            "IDENTITY_ENDPOINT": self.identity_url,
            "IDENTITY_HEADER": "laptop",
            "AZUREML_DEV_URL_MFE": self.ml_url,
        }

    def busy_ports(self) -> list[int]:
        """Ports of this stack that another process listens on."""
        return [port for port in PORTS if not _is_free(self.address, port)]


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
