"""Azure Blob Storage (azure-storage-blob): documents and models."""

from collections.abc import Sequence

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ExponentialRetry

from functions.cloud.refusals import Service
from functions.errors import Refused
from functions.ports import BlobFacts

STORE = Service(
    name="Blob Storage",
    role="Storage Blob Data Contributor on the data account",
    patience="wait for the redelivery; check DATA_BLOB_ENDPOINT if it persists",
)
BEYOND_THE_END = 416  # also for any range of an empty blob
STORAGE = "https://storage.azure.com/.default"


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
        self._credential = credential

    def create(self, container: str, name: str, data: bytes) -> bool:
        """Write once; False if the blob exists already."""
        return self._write(container, name, data, overwrite=False)

    def put(self, container: str, name: str, data: bytes) -> None:
        """Write, replacing an older version."""
        self._write(container, name, data, overwrite=True)

    def read(self, container: str, name: str) -> bytes | None:
        """The whole blob, or None."""
        with STORE.asked(f"{container}/{name}"):
            try:
                return self._service.get_blob_client(container, name).download_blob().readall()
            except ResourceNotFoundError:
                return None

    def read_version(self, container: str, name: str, etag: str, *, offset: int, length: int) -> bytes | None:
        """A range of one version, or None if the blob is not that version any more."""
        with STORE.asked(f"{container}/{name}"):
            try:
                return (
                    self._service.get_blob_client(container, name)
                    .download_blob(
                        offset,
                        length,
                        etag=f'"{etag}"',
                        match_condition=MatchConditions.IfNotModified,
                        max_concurrency=1,
                    )
                    .readall()
                )
            except (ResourceModifiedError, ResourceNotFoundError):
                return None
            except HttpResponseError as problem:
                if problem.status_code == BEYOND_THE_END:
                    return b""
                raise

    def copy(self, source: tuple[str, str], etag: str, *, to: tuple[str, str]) -> bool:
        """Copy Blob From URL, which is done when it answers; the store reads the source with this app's own token."""
        token = self._credential.get_token(STORAGE).token
        with STORE.asked("/".join(to)):
            try:
                self._service.get_blob_client(*to).start_copy_from_url(
                    self._service.get_blob_client(*source).url,
                    requires_sync=True,
                    source_authorization=f"Bearer {token}",
                    source_etag=f'"{etag}"',
                    source_match_condition=MatchConditions.IfNotModified,
                    match_condition=MatchConditions.IfMissing,
                )
            except ResourceExistsError:
                return True
            except (ResourceModifiedError, ResourceNotFoundError):
                return False
        return True

    def facts(self, container: str, name: str) -> BlobFacts | None:
        """Size and eTag as stored now, or None."""
        with STORE.asked(f"{container}/{name}"):
            try:
                found = self._service.get_blob_client(container, name).get_blob_properties()
            except ResourceNotFoundError:
                return None
        return BlobFacts(name=name, size_bytes=found.size, etag=found.etag.strip('"'))

    def list(self, container: str, prefix: str) -> Sequence[BlobFacts]:
        """Every blob under a prefix, ordered by name; none if the container does not exist."""
        with STORE.asked(f"{container}/{prefix}*"):
            try:
                found = self._service.get_container_client(container).list_blobs(name_starts_with=prefix)
                return [BlobFacts(name=blob.name, size_bytes=blob.size, etag=blob.etag.strip('"')) for blob in found]
            except ResourceNotFoundError:
                return []

    def _write(self, container: str, name: str, data: bytes, *, overwrite: bool) -> bool:
        with STORE.asked(f"{container}/{name}"):
            try:
                self._service.get_blob_client(container, name).upload_blob(data, overwrite=overwrite)
            except ResourceExistsError:
                return False
            except ResourceNotFoundError as problem:
                why, fix = str(problem.message), f"create the container {container} in the data account"
                raise Refused(f"{container}/{name} cannot be written", why=why, fix=fix) from problem
        return True
