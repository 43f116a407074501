"""Azure Blob Storage (azure-storage-blob): documents and models."""

from collections.abc import Sequence

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ExponentialRetry

from functions.errors import Refused, Transient
from functions.ports import BlobFacts


class AccountBlobs:
    """Blobs of the data account; only its own containers are ever addressed, never a URL from outside.

    Args:
        endpoint: Blob service URL of the data account.
        credential: Identity with Storage Blob Data Contributor.
    """

    def __init__(self, endpoint: str, credential: TokenCredential) -> None:
        # The SDK's own first back-off of 15 s would eat Event Grid's 30 s answer window
        patient = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3, random_jitter_range=1)
        self._service = BlobServiceClient(account_url=endpoint, credential=credential, retry_policy=patient)

    def create(self, container: str, name: str, data: bytes) -> bool:
        """Write once; False if the blob exists already."""
        try:
            self._write(container, name, data, overwrite=False)
        except ResourceExistsError:
            return False
        return True

    def put(self, container: str, name: str, data: bytes) -> None:
        """Write, replacing an older version."""
        self._write(container, name, data, overwrite=True)

    def read(self, container: str, name: str) -> bytes | None:
        """The whole blob, or None."""
        try:
            return self._service.get_blob_client(container, name).download_blob().readall()
        except ResourceNotFoundError:
            return None
        except AzureError as problem:
            raise _translated(problem, f"{container}/{name}") from problem

    def facts(self, container: str, name: str) -> BlobFacts | None:
        """Size and eTag as stored now, or None."""
        try:
            found = self._service.get_blob_client(container, name).get_blob_properties()
        except ResourceNotFoundError:
            return None
        except AzureError as problem:
            raise _translated(problem, f"{container}/{name}") from problem
        return BlobFacts(name=name, size_bytes=found.size, etag=found.etag.strip('"'))

    def list(self, container: str, prefix: str) -> Sequence[BlobFacts]:
        """Every blob under a prefix, ordered by name; none if the container does not exist."""
        try:
            found = self._service.get_container_client(container).list_blobs(name_starts_with=prefix)
            return [BlobFacts(name=blob.name, size_bytes=blob.size, etag=blob.etag.strip('"')) for blob in found]
        except ResourceNotFoundError:
            return []
        except AzureError as problem:
            raise _translated(problem, f"{container}/{prefix}*") from problem

    def _write(self, container: str, name: str, data: bytes, *, overwrite: bool) -> None:
        try:
            self._service.get_blob_client(container, name).upload_blob(data, overwrite=overwrite)
        except ResourceExistsError:
            raise
        except ResourceNotFoundError as problem:
            why, fix = str(problem.message), f"create the container {container} in the data account"
            raise Refused(f"{container}/{name} cannot be written", why=why, fix=fix) from problem
        except AzureError as problem:
            raise _translated(problem, f"{container}/{name}") from problem


def _translated(problem: AzureError, what: str) -> Transient | Refused:
    if isinstance(problem, HttpResponseError) and problem.status_code in (401, 403):
        return Refused(
            f"{what}: Blob Storage rejected our identity",
            why=str(problem.message),
            fix="give the app's identity Storage Blob Data Contributor on the data account",
        )
    return Transient(
        f"{what}: Blob Storage did not answer as expected",
        why=str(problem.message),
        fix="wait for the redelivery; check DATA_BLOB_ENDPOINT if it persists",
    )
