"""The app's one credential (azure-identity): managed identity in Azure, its local endpoint on a laptop."""

from functools import cache

from azure.identity import DefaultAzureCredential


@cache
def credential(client_id: str | None) -> DefaultAzureCredential:
    """The credential every client of this process shares, so that tokens are fetched once.

    Args:
        client_id: Of a user-assigned identity; None for the system-assigned one.
    """
    return DefaultAzureCredential(managed_identity_client_id=client_id)
