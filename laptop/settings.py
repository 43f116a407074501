"""The app settings of a stack: what local.settings.sample.json says, for any address."""

from collections.abc import Mapping

from laptop.signing import private_key
from laptop.stack import ACCOUNT, ACCOUNT_ID, ACCOUNT_KEY, HUB_ID, WORKSPACE_ID, Stack


def app_settings(stack: Stack) -> Mapping[str, str]:
    """Everything the function app reads from its settings, under the names it has in Azure."""
    account = f"DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY}"
    endpoints = f"BlobEndpoint={stack.blob_url};QueueEndpoint={stack.queue_url};TableEndpoint={stack.table_url}"
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": f"{account};{endpoints};",
        "DATA_BLOB_ENDPOINT": stack.blob_url,
        "DATA_TABLE_ENDPOINT": stack.table_url,
        "DATA_ACCOUNT_ID": ACCOUNT_ID,
        "AZUREML_WORKSPACE_ID": WORKSPACE_ID,
        "EVENT_TOPIC_ENDPOINT": stack.topic_url,
        "IOTHUB_HOSTNAME": stack.hub_hostname,
        "IOTHUB_ID": HUB_ID,
        "AZURE_RESOURCE_MANAGER_ENDPOINT": stack.registry_url,
        "LOOPS_FOLDER": "loops",
        "LOOP_SCHEDULE": "* * * * * *",
        "RECONCILE_SCHEDULE": "*/15 * * * * *",
        "TELEMETRY_EVENT_HUB": "telemetry",
        "TELEMETRY_CONSUMER_GROUP": "drift",
        "Telemetry__fullyQualifiedNamespace": stack.hub_hostname,
    }


def secret_settings(stack: Stack) -> Mapping[str, str]:
    """What only this stack has, and in Azure a key vault: the key it signs models with, made on first use."""
    return {"MODEL_SIGNING_KEY": private_key(stack)}
