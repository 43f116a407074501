"""Who may do what, on what, and because of what: operations, the permissions they take, the roles that give them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tests.infra.estate import CASES

BLOB = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
BOX = "Microsoft.Storage/storageAccounts/blobServices/containers"
TABLE = "Microsoft.Storage/storageAccounts/tableServices/tables"
FILE = "Microsoft.Storage/storageAccounts/fileServices/fileshares/files"
ML, HUB, ACR = (
    "Microsoft.MachineLearningServices/workspaces",
    "Microsoft.Devices/IotHubs",
    "Microsoft.ContainerRegistry/registries",
)


@dataclass(frozen=True, slots=True)
class Role:
    """A built-in role, as far as it matters here.

    Args:
        name: As the portal calls it.
        gives: Patterns of actions and data actions.
        but: What it does not give.

    Source: Microsoft's list of built-in roles.
    """

    name: str
    gives: tuple[str, ...]
    but: tuple[str, ...] = ()

    def covers(self, action: str) -> bool:
        """Whether it gives an action, in whatever case."""
        wanted = action.lower()
        return any(fnmatchcase(wanted, one.lower()) for one in self.gives) and not any(
            fnmatchcase(wanted, one.lower()) for one in self.but
        )


ROLES: Mapping[str, Role] = {  # by GUID; a role that is not here may not be given
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": Role("AcrPull", (f"{ACR}/pull/read",)),
    "f6c7c914-8db3-469d-8ca1-694a8f32e121": Role(
        "AzureML Data Scientist",
        # `workspaces/*/write` stands for `workspaces/write` too, or the role would not except that; so does its `read`
        (f"{ML}/read", *(f"{ML}/*/{verb}" for verb in ("read", "action", "delete", "write"))),
        (f"{ML}/delete", f"{ML}/write", f"{ML}/computes/*/write", f"{ML}/computes/*/delete", f"{ML}/listKeys/action"),
    ),
    "b556d68e-0be0-4f35-a333-ad7ee1ce17ea": Role(
        "Azure AI Enterprise Network Connection Approver",
        ("*/privateEndpointConnectionsApproval/action", "*/privateEndpointConnections/*", "*/read"),
    ),
    "a638d3c7-ab3a-418d-83e6-5f17a39d4fde": Role(
        "Azure Event Hubs Data Receiver",
        ("Microsoft.EventHub/*/receive/action", "Microsoft.EventHub/*/eventhubs/consumergroups/read"),
    ),
    "2b629674-e913-4c01-ae53-ef4638d8f975": Role("Azure Event Hubs Data Sender", ("Microsoft.EventHub/*/send/action",)),
    "d5a91429-5739-47e2-a06b-3470a27159e7": Role("EventGrid Data Sender", ("Microsoft.EventGrid/events/send/action",)),
    "4fc6c259-987e-4a07-842e-c321cc9d413f": Role("IoT Hub Data Contributor", (f"{HUB}/*",)),
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": Role("Key Vault Secrets Officer", ("Microsoft.KeyVault/vaults/secrets/*",)),
    "4633458b-17de-408a-b874-0445c86b69e6": Role(
        "Key Vault Secrets User",
        tuple(f"Microsoft.KeyVault/vaults/secrets/{what}/action" for what in ("getSecret", "readMetadata")),
    ),
    "3913510d-42f4-4e42-8a64-420c390055eb": Role(
        "Monitoring Metrics Publisher", ("Microsoft.Insights/Metrics/Write", "Microsoft.Insights/Telemetry/Write")
    ),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": Role(
        "Storage Blob Data Contributor",
        (*(f"{BLOB}/{what}" for what in ("read", "write", "delete", "move/action", "add/action")), f"{BOX}/read",
         f"{BOX}/write", f"{BOX}/delete"),
    ),
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": Role("Storage Blob Data Owner", (f"{BLOB}/*", f"{BOX}/*")),
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": Role("Storage Blob Data Reader", (f"{BLOB}/read", f"{BOX}/read")),
    "69566ab7-960f-475b-8e7c-b3118f30c6bd": Role("Storage File Data Privileged Contributor", (f"{FILE}/*",)),
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": Role(
        "Storage Table Data Contributor", (f"{TABLE}/read", f"{TABLE}/write", f"{TABLE}/delete", f"{TABLE}/entities/*")
    ),
}  # fmt: skip

NOTHING: tuple[str, ...] = ()  # it only builds or reads a value here
OPERATIONS: Mapping[str, tuple[str, ...]] = {  # what the code asks of Azure (sdk_calls.py) -> the permissions it takes
    "asking: get_token.token": NOTHING,
    "asking: send_request": NOTHING,  # refluent doctor: a denial is an answer too
    "blobs: get_blob_client.download_blob.readall": (f"{BLOB}/read",),
    "blobs: get_blob_client.get_blob_properties": (f"{BLOB}/read",),
    "blobs: get_blob_client.start_copy_from_url": (f"{BLOB}/read", f"{BLOB}/write"),
    "blobs: get_blob_client.upload_blob": (f"{BLOB}/write",),
    "blobs: get_blob_client.url": NOTHING,
    "blobs: get_container_client.list_blobs": (f"{BLOB}/read",),
    "blobs: get_token.token": NOTHING,
    "eventgrid: send": ("Microsoft.EventGrid/events/send/action",),
    "insights: configure_azure_monitor": ("Microsoft.Insights/Telemetry/Write",),
    "iothub: create_configuration": (f"{HUB}/configurations/write",),
    "iothub: delete_configuration": (f"{HUB}/configurations/delete",),
    "iothub: get_configuration": (f"{HUB}/configurations/read",),
    "iothub: get_configurations": (f"{HUB}/configurations/read",),
    "iothub: protocol.config.retry_policy.policy": NOTHING,
    "iothub: protocol.query.get_twins": (f"{HUB}/twins/read",),
    "ml: data.create_or_update": (f"{ML}/data/versions/write",),
    "ml: jobs.begin_cancel": (f"{ML}/jobs/cancel/action",),
    "ml: jobs.create_or_update": (f"{ML}/jobs/write",),
    "ml: jobs.get": (f"{ML}/jobs/read",),
    "ml: models.create_or_update": (f"{ML}/models/versions/write",),
    "ml: models.get": (f"{ML}/models/versions/read",),
    "ml: models.list": (f"{ML}/models/versions/read",),
    "ml: workspace_name": NOTHING,
    "ml: workspaces.get": (f"{ML}/read",),
    "registry_tasks: send_request": (
        f"{ACR}/listBuildSourceUploadUrl/action", f"{ACR}/taskRuns/read", f"{ACR}/taskRuns/write",
    ),
    "run_history: send_request": (f"{ML}/experiments/runs/read",),
    "tables: create_entity": (f"{TABLE}/entities/add/action",),
    "tables: create_table_if_not_exists": (f"{TABLE}/write",),
    "tables: get_entity": (f"{TABLE}/entities/read",),
    "tables: query_entities": (f"{TABLE}/entities/read",),
    "tables: submit_transaction": (f"{TABLE}/entities/add/action", f"{TABLE}/entities/update/action"),
    "tables: update_entity": (f"{TABLE}/entities/update/action",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grant:
    """One role for one identity on one resource.

    Args:
        who: The identity's name in modules/identities.bicep; or operator, device, inference, kubelet.
        role: Name of a built-in role, or of one that the template declares.
        on: The resource: its address in the template, or a container's or event hub's own name.
        takes: Permissions it is given for; the role must give each.
        because: What does it, if it is not the code in functions/cloud.
        when: The cases of estate.py that give it; empty for all.
    """

    who: str
    role: str
    on: str
    takes: tuple[str, ...]
    because: str = ""
    when: frozenset[str] = field(default_factory=frozenset)


READ, WRITE = (f"{BLOB}/read",), (f"{BLOB}/read", f"{BLOB}/write")
CONTRIBUTOR, READER = "Storage Blob Data Contributor", "Storage Blob Data Reader"
ALL = frozenset(CASES)
OPERATED = frozenset({"private, with an operator"})
PRIVATE = frozenset({"private, with an operator", "private, the cheap mode"})
CHEAP = frozenset({"the cheap mode", "private, the cheap mode"})
IN_THE_CLOUD = frozenset({
    "inference in Container Instances", "inference in a Functions container",
    "inference in a Functions container for nobody yet",
})  # fmt: skip
ON_KUBERNETES = frozenset({"inference on Kubernetes"})
TABLES = (
    f"{TABLE}/write", f"{TABLE}/entities/add/action", f"{TABLE}/entities/read", f"{TABLE}/entities/update/action",
)  # fmt: skip
JOBS = (
    f"{ML}/data/versions/write", f"{ML}/jobs/cancel/action", f"{ML}/jobs/write", f"{ML}/jobs/read",
    f"{ML}/models/versions/write", f"{ML}/models/versions/read", f"{ML}/read", f"{ML}/experiments/runs/read",
)  # fmt: skip
DEPLOYS = tuple(f"{HUB}/{what}" for what in (
    "configurations/write", "configurations/delete", "configurations/read", "twins/read",
))  # fmt: skip
INSIGHTS = OPERATIONS["insights: configure_azure_monitor"]
MAKES = "Microsoft.KeyVault/vaults/secrets/setSecret/action"
SECRET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
APPROVE = "Microsoft.Storage/storageAccounts/privateEndpointConnectionsApproval/action"
GRANTS = (
    # the function app
    Grant("app", "Storage Blob Data Owner", "hostAccount.account", (f"{BLOB}/read", f"{BLOB}/write", f"{BOX}/write"),
          "the Functions host: leases, checkpoints, the package; it asks for this role by name"),
    Grant("app", "Storage Table Data Contributor", "hostAccount.account", (f"{TABLE}/entities/add/action",),
          "the Functions host's diagnostic events"),
    Grant("app", READER, "landing", READ),
    Grant("app", CONTRIBUTOR, "versions", WRITE),
    Grant("app", CONTRIBUTOR, "manifests", WRITE),
    Grant("app", READER, "outputs", READ),
    Grant("app", CONTRIBUTOR, "models", WRITE),
    Grant("app", CONTRIBUTOR, "quarantine", WRITE),
    Grant("app", READER, "deadletter", READ),
    Grant("app", "Storage Table Data Contributor", "dataAccount.account", TABLES),
    Grant("app", "AzureML Data Scientist", "workspace.workspace", JOBS),
    Grant("app", "fleetDeployer", "hub.hub", DEPLOYS),
    Grant("app", "EventGrid Data Sender", "topics.announcements", OPERATIONS["eventgrid: send"]),
    Grant("app", "Azure Event Hubs Data Receiver", "telemetry", (
        "Microsoft.EventHub/namespaces/messages/receive/action",
    ), "the Functions host, for score_drift_on_telemetry", when=ALL - CHEAP),
    Grant("app", "Key Vault Secrets User", "signingVault.vault", (SECRET,), "App Service, for MODEL_SIGNING_KEY"),
    Grant("app", "Monitoring Metrics Publisher", "monitoring.insights", INSIGHTS),
    Grant("app", "imageBuilder", "registry.registry", OPERATIONS["registry_tasks: send_request"], when=OPERATED),
    # the training cluster: anybody's script runs with these
    Grant("training", READER, "versions", READ, "a job's input landing"),
    Grant("training", READER, "manifests", READ, "a job's input training_set"),
    Grant("training", READER, "models", READ, "a job's input champion"),
    Grant("training", CONTRIBUTOR, "outputs", WRITE, "a job's outputs"),
    Grant("training", CONTRIBUTOR, "workspaceAccount.account", WRITE, "a job's code, logs and what a step leaves"),
    Grant("training", "AcrPull", "registry.registry", (f"{ACR}/pull/read",), "a job's environment"),
    # Event Grid and IoT Hub as they deliver
    Grant("delivery", CONTRIBUTOR, "deadletter", (f"{BLOB}/write",), "Event Grid's dead letters"),
    Grant("delivery", "Azure Event Hubs Data Sender", "telemetry", (
        "Microsoft.EventHub/namespaces/messages/send/action",
    ), "IoT Hub's route", when=ALL - CHEAP),
    # the Azure Machine Learning service
    Grant("workspace", CONTRIBUTOR, "workspaceAccount.account", WRITE, "snapshots and logs"),
    Grant("workspace", "Storage File Data Privileged Contributor", "workspaceAccount.account", (f"{FILE}/write",),
          "the workspace's file share"),
    Grant("workspace", "workspaceService", "workspaceAccount.account", (f"{BOX}/write",), "the workspace's containers"),
    Grant("workspace", "Key Vault Secrets Officer", "workspaceVault.vault", (SECRET,), "the workspace's secrets"),
    Grant("workspace", "workspaceService", "workspaceVault.vault", ("Microsoft.KeyVault/vaults/read",), "its vault"),
    Grant("workspace", "workspaceService", "registry.registry", (f"{ACR}/push/write",), "environments that it builds"),
    Grant("workspace", "workspaceService", "monitoring.insights", ("Microsoft.Insights/components/read",), "its logs"),
    Grant("workspace", "workspaceService", "workspace.workspace", (f"{ML}/computes/read",), "its own clusters"),
    *(
        Grant("workspace", "Azure AI Enterprise Network Connection Approver", on, (APPROVE,),
              "endpoints of the managed network", when=PRIVATE)
        for on in ("dataAccount.account", "workspaceAccount.account", "workspaceVault.vault", "registry.registry")
    ),
    # devices
    Grant("device", READER, "models", READ, "a device fetches its model", when=OPERATED),
    # who deploys and operates
    Grant("operator", READER, "dataAccount.account", READ, "refluent why, verify, plan", when=OPERATED),
    Grant("operator", CONTRIBUTOR, "landing", WRITE, "refluent send", when=OPERATED),
    Grant("operator", CONTRIBUTOR, "models", WRITE, "refluent approve", when=OPERATED),
    Grant("operator", CONTRIBUTOR, "deadletter", WRITE, "refluent replay --file", when=OPERATED),
    Grant("operator", "Storage Table Data Contributor", "dataAccount.account", TABLES, "refluent pin", when=OPERATED),
    Grant("operator", "Key Vault Secrets Officer", "signingVault.vault", (MAKES,),
          "the postprovision hook makes the signing key", when=OPERATED),
    Grant("operator", "AzureML Data Scientist", "workspace.workspace", (f"{ML}/components/versions/write",),
          "the postdeploy hook publishes the pipeline", when=OPERATED),
    Grant("operator", CONTRIBUTOR, "workspaceAccount.account", WRITE, "the pipeline's code", when=OPERATED),
    Grant("operator", "IoT Hub Data Contributor", "hub.hub", (f"{HUB}/devices/write", f"{HUB}/twins/write"),
          "registering and tagging devices, base deployments", when=OPERATED),
    Grant("operator", "EventGrid Data Sender", "topics.announcements", OPERATIONS["eventgrid: send"],
          "TrainingCodeChanged, refluent doctor", when=OPERATED),
    # the model image in the cloud
    Grant("inference", "AcrPull", "registry.registry", (f"{ACR}/pull/read",), "the image", when=IN_THE_CLOUD),
    Grant("kubelet", "AcrPull", "registry.registry", (f"{ACR}/pull/read",), "the image", when=ON_KUBERNETES),
)  # fmt: skip
