"""The workspace's datastores: which container each name means, and moving folders in and out of them."""

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    LinearRetry,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)

from laptop.ml.refusal import not_found, user_error
from laptop.stack import ACCOUNT, ACCOUNT_KEY, RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE_ID, Stack

DATASTORES = {
    "workspaceblobstore": "azureml",
    "workspaceartifactstore": "azureml",
    "landing": "landing",
    "manifests": "manifests",
    "models": "models",
    "outputs": "outputs",
    "versions": "versions",
}
_PATH = re.compile(
    r"azureml://(?:subscriptions/[^/]+/resourcegroups/[^/]+/workspaces/[^/]+/)?datastores/([^/]+)/paths/(.*)",
    re.IGNORECASE,
)
_TRANSFERS = 8  # at once: Azurite's rate stops growing there
_SECRET_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere in the stack's storage account.

    Args:
        container: The container's name.
        path: A blob's name, or a prefix; empty for the whole container.
    """

    container: str
    path: str


def place(uri: str) -> Place:
    """Where a datastore URI points.

    Args:
        uri: ``azureml://datastores/D/paths/P``, with or without the workspace in it.

    Raises:
        Refusal: It is not such a URI, or names no datastore of this workspace.
    """
    match = _PATH.fullmatch(uri)
    if match is None:
        raise user_error(f"The URI {uri} is not supported here; use azureml://datastores/<name>/paths/<path>.")
    name, path = match.groups()
    if name not in DATASTORES:
        raise not_found(f"Could not find datastore: {name}")
    if ".." in path.split("/"):
        raise user_error(f"The URI {uri} leaves its datastore; remove the dot segments.")
    return Place(DATASTORES[name], path)


def datastore(name: str) -> dict[str, Any]:
    """The ARM resource of one datastore.

    Raises:
        Refusal: There is no such datastore.
    """
    if name not in DATASTORES:
        raise not_found(f"Could not find datastore: {name}")
    return {
        "id": f"{WORKSPACE_ID}/datastores/{name}",
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "properties": {
            "description": None,
            "tags": None,
            "properties": None,
            "isDefault": name == "workspaceblobstore",
            "credentials": {"credentialsType": "AccountKey"},
            "subscriptionId": SUBSCRIPTION,
            "resourceGroup": RESOURCE_GROUP,
            "datastoreType": "AzureBlob",
            "accountName": ACCOUNT,
            "containerName": DATASTORES[name],
            "endpoint": "core.windows.net",
            "protocol": "https",
            "serviceDataAccessAuthIdentity": "None",
        },
    }


class Storage:
    """The stack's blob service, as the workspace's own identity sees it.

    Blocking: call it from a thread. It waits up to 20 s for a storage account that is still starting.
    """

    def __init__(self, stack: Stack) -> None:
        self._url = stack.blob_url
        self._blobs = BlobServiceClient(
            stack.blob_url,
            credential={"account_name": ACCOUNT, "account_key": ACCOUNT_KEY},
            connection_verify=str(stack.authority),
            max_single_get_size=32 * 1024 * 1024,
            retry_policy=LinearRetry(backoff=1, retry_total=20, random_jitter_range=0),
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._blobs.close()

    def download(self, source: Place, folder: Path) -> int:
        """Copy every blob below a prefix into a folder.

        Returns:
            How many blobs were copied.

        Raises:
            Refusal: A blob's name would leave the folder.
            azure.core.exceptions.AzureError: The storage account could not be read.
        """
        prefix = f"{source.path.rstrip('/')}/" if source.path else ""
        blobs = self._blobs.get_container_client(source.container)
        names = [name for name in blobs.list_blob_names(name_starts_with=prefix) if not name.endswith("/")]
        with ThreadPoolExecutor(_TRANSFERS) as threads:
            copies = ((Place(source.container, name), folder / name[len(prefix) :].lstrip("/")) for name in names)
            list(threads.map(lambda copy: self.fetch(*copy), copies))
        return len(names)

    def fetch(self, source: Place, target: Path) -> None:
        """Copy one blob into a file.

        Raises:
            Refusal: The blob's name has dot segments.
            azure.core.exceptions.AzureError: The blob could not be read.
        """
        if ".." in source.path.split("/"):
            raise user_error(f"The blob {source.container}/{source.path} has dot segments in its name; rename it.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            self._blobs.get_blob_client(source.container, source.path).download_blob().readinto(file)

    def upload(self, folder: Path, target: Place) -> int:
        """Copy every file of a folder to below a prefix, replacing what is there.

        Returns:
            How many files were copied.
        """
        files = [path for path in folder.rglob("*") if path.is_file()]
        prefix = f"{target.path.rstrip('/')}/" if target.path else ""

        def send(path: Path) -> None:
            self.store(path, Place(target.container, prefix + path.relative_to(folder).as_posix()))

        with ThreadPoolExecutor(_TRANSFERS) as threads:
            list(threads.map(send, files))
        return len(files)

    def store(self, file: Path, target: Place) -> None:
        """Copy one file to a blob, replacing what is there."""
        with file.open("rb") as content:
            self._blobs.get_blob_client(target.container, target.path).upload_blob(content, overwrite=True)

    def ensure(self, container: str) -> str:
        """Create a container unless it exists; its URL."""
        with contextlib.suppress(ResourceExistsError):
            self._blobs.create_container(container)
        return f"{self._url}/{container}"


def container_secret(container: str) -> str:
    """A shared access signature for uploading into one container, valid for an hour."""
    return generate_container_sas(
        ACCOUNT,
        container,
        account_key=ACCOUNT_KEY,
        permission=ContainerSasPermissions(read=True, add=True, create=True, write=True, list=True),
        expiry=datetime.now(UTC) + _SECRET_LIFETIME,
    )


def account_secret() -> str:
    """A shared access signature for the blobs of the account, valid for an hour: what listSecrets gives away."""
    return generate_account_sas(
        ACCOUNT,
        account_key=ACCOUNT_KEY,
        resource_types=ResourceTypes(container=True, object=True),
        permission=AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
        expiry=datetime.now(UTC) + _SECRET_LIFETIME,
    )
