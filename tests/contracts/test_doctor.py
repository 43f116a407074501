"""The doctor on a laptop's real endpoints: all that is well, and each thing that is not, once it is broken."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner

from bench.app_process import ROOT, app_process
from functions.cloud.asking import Answer, Manager
from functions.deployed import FUNCTIONS, SUBSCRIPTIONS
from functions.loops import read as read_loop
from functions.operator.cli import app
from functions.operator.doctor import command, events, fleet, own, rights, rollouts, storage, workspace
from functions.operator.doctor.command import Check
from functions.operator.doctor.finding import Finding
from functions.operator.doctor.patient import Patient
from functions.ports import Deployment, Row
from functions.rollout.manifest import base
from functions.rollout.records import Record
from functions.settings import read
from functions.wiring import Azure
from laptop.arm import ResourceManager
from laptop.event_grid.relay import EventGrid
from laptop.identity import CLIENT, OBJECT, Identity
from laptop.registry import Registry
from laptop.settings import app_settings, secret_settings
from laptop.signing import public_key
from laptop.stack import ACCOUNT_ID, GROUP_ID, Stack
from laptop.subscriptions import subscriptions
from tests import wide
from tests.addresses import free_port
from tests.fakes.cloud import OWN_LOOPS
from tests.laptop.serving import eventually, https_server, serving

pytestmark = pytest.mark.enable_socket
SAMPLE = Path("tests/loops/flight-delays.toml")
QUIET = {"LOOP_SCHEDULE": "0 0 0 1 1 *", "RECONCILE_SCHEDULE": "0 0 0 1 1 *"}
IMAGE = f"localhost/refluent-edge@sha256:{'0' * 64}"


@pytest.fixture
def folder(tmp_path: Path, unique: str) -> Path:
    """A loop of this test's own, so that nothing of another one's is seen."""
    write_loop(tmp_path, unique)
    return tmp_path


@pytest.fixture
def settings(stack: Stack, azure: Azure, folder: Path) -> dict[str, str]:
    assert azure
    return {**app_settings(stack), **secret_settings(stack), "LOOPS_FOLDER": str(folder)}


def write_loop(folder: Path, name: str, **changes: str) -> None:
    text = SAMPLE.read_text(encoding="utf-8").replace('model = "flight-delays"', f'model = "{name}"')
    for key, value in changes.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert found == 1, key
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def patient(settings: Mapping[str, str], **changes: str) -> Patient:
    environment = {**settings, **changes}
    loops, _ = own.readable_loops(Path(environment["LOOPS_FOLDER"]))
    return Patient(environment, read(environment), loops)


def found(check: Check, settings: Mapping[str, str], **changes: str) -> list[Finding]:
    return list(check(patient(settings, **changes)))


def wrong(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.level != "ok"]


def nowhere(stack: Stack) -> str:
    return f"https://{stack.address}:{free_port(stack.address)}"


# all is well


def test_a_stack_that_is_up_is_well(stack: Stack, settings: dict[str, str]) -> None:
    ours = {**settings, **QUIET, **OWN_LOOPS, "LOOPS_FOLDER": str(Path(OWN_LOOPS["LOOPS_FOLDER"]).resolve())}
    checks = [own.identity, own.versions, storage.blobs, storage.tables, workspace.workspace, workspace.profiles]
    checks += [fleet.hub, events.topic, events.subscriptions, events.app, events.telemetry]
    with app_process(stack, ROOT, ours):

        def well() -> bool:
            return not wrong(list(events.subscriptions(patient(ours))))

        eventually(well, "the subscriptions were not admitted")
        findings = list(command.examine(ours, checks))
    assert wrong(findings) == []
    assert {one.check for one in findings} >= {
        "settings",
        "loops",
        "identity",
        "clock",
        "blobs",
        "tables",
        "app",
        "topic",
    }


def test_what_must_be_deployed_is_what_the_laptop_deploys(stack: Stack) -> None:
    deployed = {one.name.replace("-", "_"): one.filter.event_types for one in subscriptions(stack, telemetry=True)}
    assert deployed == {name: tuple(types) for name, types in SUBSCRIPTIONS.items()}


# the app by itself


def test_a_missing_setting_is_named_and_no_service_is_guessed(settings: dict[str, str]) -> None:
    del settings["IOTHUB_ID"], settings["LOOP_SCHEDULE"]
    findings = list(command.examine(settings, command.CHECKS))
    assert [one.what for one in findings if "host" in one.what] == ["the host finds no LOOP_SCHEDULE"]
    assert any("IOTHUB_ID" in one.why for one in findings)
    assert findings[-1].what == "no service was looked at"


def test_a_broken_loop_hides_no_neighbour(settings: dict[str, str], folder: Path) -> None:
    (folder / "a-broken.toml").write_text("[loop]\nmodel = 3\n", encoding="utf-8")
    loops, told = own.readable_loops(Path(settings["LOOPS_FOLDER"]))
    assert len(loops) == 1
    assert [one.level for one in told] == ["error", "ok"]
    assert "a-broken.toml, line" in told[0].what


def test_a_folder_without_a_loop_is_said(tmp_path: Path) -> None:
    loops, (told,) = own.readable_loops(tmp_path / "none")
    assert (loops, told.level) == ({}, "error")


def test_an_identity_that_gives_no_token_is_said_for_each_service(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.cloud.identity import credential  # noqa: PLC0415 # cleared, so that nothing is remembered

    monkeypatch.setenv("IDENTITY_HEADER", "not the stack's")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    credential.cache_clear()
    findings = found(own.identity, settings)
    credential.cache_clear()
    assert [one.level for one in findings] == ["error"] * 6
    assert "no token for https://storage.azure.com" in findings[0].what


def test_a_package_that_is_not_the_pinned_one_is_said(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(own.REQUIREMENTS.read_text().replace("azure-functions-runtime==1", "azure-functions-runtime==9"))
    monkeypatch.setattr(own, "REQUIREMENTS", file)
    (finding,) = found(own.versions, settings)
    assert (finding.level, "azure-functions-runtime is 1" in finding.why) == ("error", True)


# storage


def test_a_container_that_a_loop_names_and_nobody_made_is_said_with_the_command_that_makes_it(
    settings: dict[str, str], folder: Path, unique: str
) -> None:
    text = (folder / f"{unique}.toml").read_text(encoding="utf-8")
    (folder / f"{unique}.toml").write_text(text.replace("[data]", '[data]\ncontainer = "nobodys"'), encoding="utf-8")
    (finding,) = wrong(found(storage.blobs, settings))
    assert finding.what == "there is no container nobodys"
    assert "az storage container create" in finding.fix


@pytest.mark.parametrize(
    ("check", "setting"),
    [
        (storage.blobs, "DATA_BLOB_ENDPOINT"),
        (storage.tables, "DATA_TABLE_ENDPOINT"),
        (events.topic, "EVENT_TOPIC_ENDPOINT"),
        (fleet.hub, "IOTHUB_HOSTNAME"),
    ],
)
def test_an_endpoint_that_nobody_listens_on_is_said(
    settings: dict[str, str], stack: Stack, check: Check, setting: str
) -> None:
    place = nowhere(stack)
    findings = found(check, settings, **{setting: place.removeprefix("https://") if "HOST" in setting else place})
    assert findings
    assert {one.level for one in findings} == {"error"}
    assert "no answer" in findings[0].what
    assert setting in findings[0].fix


def test_a_denial_names_the_role_its_scope_and_the_command_that_gives_it(
    settings: dict[str, str], stack: Stack
) -> None:
    port = free_port(stack.address)
    body = "<Error><Code>AuthorizationPermissionMismatch</Code><Message>not authorized</Message></Error>"

    async def deny(_: Request) -> Response:
        return Response(body, 403, media_type="application/xml")

    denying = Starlette(routes=[Route("/{rest:path}", deny, methods=["GET", "PUT"])])
    with serving(https_server(denying, stack, port)):
        findings = wrong(found(storage.blobs, settings, DATA_BLOB_ENDPOINT=f"https://{stack.address}:{port}/account"))
    denied = findings[0]
    assert (denied.level, "denied" in denied.what) == ("error", True)
    place = f"{ACCOUNT_ID}/blobServices/default/containers/deadletter"
    assert f"{OBJECT} lacks Storage Blob Data Reader on {place}" in denied.why
    assert {one.level for one in findings} == {"error"}
    assert (
        f'--assignee-object-id {OBJECT} --assignee-principal-type ServicePrincipal --role "Storage Blob' in denied.fix
    )


@pytest.mark.parametrize(("seconds", "level"), [(1, "ok"), (100, "warning"), (900, "error")])
def test_a_clock_that_is_off_is_said(settings: dict[str, str], seconds: int, level: str) -> None:
    now = datetime.now(UTC)
    there = format_datetime(now.fromtimestamp(now.timestamp() + seconds, UTC), usegmt=True)
    (finding,) = storage._skew(patient(settings), Answer(200, {"date": there}))
    assert finding.level == level


def test_dead_letters_quarantine_and_a_held_budget_are_counted(
    settings: dict[str, str], azure: Azure, unique: str
) -> None:
    letter = json.dumps([{"id": "1", "eventType": "Microsoft.Storage.BlobCreated", "deadLetterReason": "x"}])
    azure.blobs.put("deadletter", f"COUNT-UPLOAD-ON-BLOB-CREATED/2026/3/1/1/{unique}.json", letter.encode())
    for number in range(storage.MANY + 1):
        azure.blobs.put("quarantine", f"{unique}/EG_SCHEMA/{number}.json", b"{}")
    held: Row = {
        "decision": "HoldForBudget",
        "reason": "3 of 3 jobs were started",
        "number": 1,
        "at": datetime.now(UTC),
    }
    azure.rows.insert("generations", unique, "decision", row=held)
    told = {one.what: one for one in wrong(found(storage.waiting, settings))}
    assert any("dead letters wait" in what for what in told)
    assert any("EG_SCHEMA" in one.why for one in told.values())
    assert told[f"the budget of {unique} holds a job"].why == "3 of 3 jobs were started"


# Azure Machine Learning


def test_what_a_loop_names_and_the_workspace_does_not_have_is_said(
    settings: dict[str, str], folder: Path, unique: str
) -> None:
    write_loop(folder, unique, pipeline='"nobodys_pipeline:9"', compute='"no-cluster"')
    first, second = found(workspace.named_by_loops, settings)
    assert first.what == f"there is no pipeline component nobodys_pipeline:9 of {unique}"
    assert "register_components" in first.fix
    assert second.what == f"there is no compute no-cluster of {unique}"


@pytest.mark.parametrize(
    ("profile", "said"),
    [(None, "is not there"), (b'{"version": 1}', "is not usable"), (b"nonsense", "is not usable")],
)
def test_a_champion_whose_profile_cannot_be_read_is_said(
    settings: dict[str, str], azure: Azure, unique: str, profile: bytes | None, said: str
) -> None:
    azure.rows.insert("jobs", unique, "rt-1", row={"state": "registered", "version": "1"})
    if profile is not None:
        azure.blobs.put("models", f"{unique}/1/profile.json", profile)
    (finding,) = found(workspace.profiles, settings)
    assert (finding.level, said in finding.what) == ("error", True)
    assert f"refluent train {unique}" in finding.fix


def test_a_champion_with_more_features_than_a_device_s_row_has_room_for_is_said(
    settings: dict[str, str], azure: Azure, folder: Path, unique: str
) -> None:
    write_loop(folder, unique, features="[]")
    azure.rows.insert("jobs", unique, "rt-1", row={"state": "registered", "version": "1"})
    azure.blobs.put("models", f"{unique}/1/profile.json", wide.profile(500).to_json().encode())
    (finding,) = found(workspace.profiles, settings)
    assert (finding.level, "is too wide" in finding.what) == ("error", True)
    assert finding.fix == f"name fewer as drift.features in loops/{unique}.toml"


# the fleet


@pytest.fixture
def deployed(stack: Stack, azure: Azure, folder: Path, unique: str) -> Iterator[Deployment]:
    """The base deployment of this test's loop, whose devices trust the stack's key."""
    environment = {"MODEL_KEYS": public_key(stack)}
    made = base(read_loop(folder / f"{unique}.toml"), image=IMAGE, devices="tags.site = 'x'", environment=environment)
    assert azure.fleet.apply(made)
    yield made
    azure.fleet.delete(made.id)


def test_devices_that_trust_the_key_are_well(settings: dict[str, str], deployed: Deployment) -> None:
    assert deployed.id in " ".join(one.what for one in found(fleet.deployments, settings))
    assert wrong(found(fleet.deployments, settings)) == []


@pytest.mark.usefixtures("deployed")
def test_devices_that_trust_another_key_would_refuse_every_model(settings: dict[str, str]) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (finding,) = wrong(found(fleet.deployments, settings, MODEL_SIGNING_KEY=base64.b64encode(pem).decode()))
    assert (finding.check, finding.level) == ("key", "error")
    assert "docs/runbook.md#key-rotation" in finding.fix


@pytest.mark.usefixtures("deployed")
def test_an_app_without_a_key_whose_devices_ask_for_one_is_said(settings: dict[str, str]) -> None:
    (finding,) = wrong(found(fleet.deployments, settings, MODEL_SIGNING_KEY=""))
    assert (finding.level, finding.what) == ("error", "this app has no key")


def test_a_loop_without_a_base_deployment_is_said(settings: dict[str, str], unique: str) -> None:
    (finding,) = found(fleet.deployments, settings)
    assert (finding.level, finding.what) == ("warning", f"{unique} has no base deployment")


@pytest.mark.parametrize(
    ("agent", "level"),
    [
        ({"schemaVersion": "1.1", "systemModules": {}}, "ok"),
        ({"schemaVersion": "0.9", "systemModules": {}}, "error"),
        (
            {
                "schemaVersion": "1.1",
                "systemModules": {"edgeHub": {"settings": {"image": "mcr.microsoft.com/azureiotedge-hub:1.5"}}},
            },
            "warning",
        ),
    ],
)
def test_a_deployment_that_iot_edge_does_not_take_or_support_is_said(agent: object, level: str) -> None:
    one = Deployment("d", {"$edgeAgent": {"properties.desired": agent}}, "*", 0, {}, {})
    assert [finding.level for finding in fleet._runtime(one)] == [level]


def test_a_version_that_waits_for_longer_than_it_has_to_is_said_with_the_way_out(
    settings: dict[str, str], azure: Azure, unique: str
) -> None:
    assert wrong(found(rollouts.rollouts, settings)) == []
    since = datetime.now(UTC) - timedelta(days=2, minutes=10)
    waits = Record(2, "rolling", 0, since, reason="scores differ, and it may still be chance")
    azure.rows.insert("rollouts", unique, waits.key, row=waits.row)
    (finding,) = found(rollouts.rollouts, settings)
    assert finding.level == "warning"
    assert finding.what == (
        f"{unique}:2 stands in canary since {since:%d %B %H:%M} UTC, 48 hours longer than it has to"
    )
    assert finding.why == waits.reason
    assert f"refluent approve {unique}:2 --because …" in finding.fix


# events


@pytest.fixture
def half_deployed(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """A resource manager whose relay has two subscriptions, of which one keeps no dead letters; no host runs."""
    upload, ended, *_ = subscriptions(stack, telemetry=False)
    identity = Identity(stack)
    own_home = Stack(stack.address, tmp_path)
    with closing(EventGrid(own_home, [replace(upload, dead_letter=None), ended], identity)) as grid:
        registry = Registry(own_home, identity, "https://nobody").app()
        manager = ResourceManager(stack, identity, grid, others=[registry])
        port = free_port(stack.address)
        with serving(https_server(manager.app(), stack, port)):
            yield f"https://{stack.address}:{port}"


def test_a_subscription_that_is_missing_or_not_sound_is_said(settings: dict[str, str], half_deployed: str) -> None:
    told = wrong(found(events.subscriptions, settings, AZURE_RESOURCE_MANAGER_ENDPOINT=half_deployed))
    missing = [one.what.split()[0] for one in told if "does not wake" in one.what]
    assert missing == [
        "deploy_on_model_registered", "request_retraining_on_drift", "request_retraining_on_code_change"
    ]  # fmt: skip
    (lossy,) = [one for one in told if "BlobCreated" in one.what or "count-upload" in one.what]
    assert "it has no dead-letter destination" in lossy.why
    assert "AwaitingManualAction" in lossy.why


def test_an_app_that_does_not_run_is_said(settings: dict[str, str], half_deployed: str) -> None:
    (finding,) = found(events.app, settings, AZURE_RESOURCE_MANAGER_ENDPOINT=half_deployed)
    assert (finding.level, finding.why) == ("error", "its state is Stopped")
    assert "az functionapp start" in finding.fix


def test_an_app_with_functions_of_another_release_is_said(settings: dict[str, str], stack: Stack) -> None:
    port = free_port(stack.address)
    site = f"{GROUP_ID}/providers/Microsoft.Web/sites/s"
    names = [*FUNCTIONS[1:], "launch_on_tuesday"]

    async def answer(request: Request) -> Response:
        if request.url.path.endswith("/functions"):
            return JSONResponse({"value": [{"id": f"{site}/functions/{name}", "properties": {}} for name in names]})
        runtime = {"runtime": {"name": "python", "version": "3.11"}}
        properties = {"state": "Running", "functionAppConfig": runtime}
        return JSONResponse({"value": [{"id": site, "name": "s", "kind": "functionapp", "properties": properties}]})

    with serving(https_server(Starlette(routes=[Route("/{rest:path}", answer)]), stack, port)):
        place = f"https://{stack.address}:{port}"
        old, other = found(events.app, settings, AZURE_RESOURCE_MANAGER_ENDPOINT=place)
    assert "3.11" in old.why
    assert other.why == f"missing: {FUNCTIONS[0]}; not of this release: launch_on_tuesday"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"TELEMETRY_CONSUMER_GROUP": "nobodys"}, "there is no consumer group nobodys"),
        ({"TELEMETRY_EVENT_HUB": "nowhere"}, "event hub nowhere"),
        ({"Telemetry__fullyQualifiedNamespace": "nowhere.servicebus.windows.net"}, "no Event Hubs namespace nowhere"),
    ],
)
def test_telemetry_that_nobody_would_read_is_said(settings: dict[str, str], change: dict[str, str], what: str) -> None:
    (finding,) = found(events.telemetry, settings, **change)
    assert (finding.level, what in finding.what) == ("error", True)


# the rights of the app's own identity, which only Azure has


BLOB = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        ([{"dataActions": [f"{BLOB}/read"]}], True),
        ([{"dataActions": [f"{BLOB.lower()}/*"]}], True),
        ([{"dataActions": ["Microsoft.Storage/*"], "notDataActions": [f"{BLOB}/read"]}], False),
        ([{"actions": ["*"], "dataActions": []}], False),
        ([], False),
    ],
)
def test_a_role_covers_an_action_as_azure_reads_wildcards(
    permissions: list[dict[str, list[str]]], *, allowed: bool
) -> None:
    assert rights.covers(permissions, f"{BLOB}/read", data=True) is allowed


def test_a_right_that_the_apps_identity_lacks_is_said_with_the_command(settings: dict[str, str], stack: Stack) -> None:
    port, held = free_port(stack.address), f"{GROUP_ID}/providers/Microsoft.Authorization/roleDefinitions/blobs"

    async def answer(request: Request) -> Response:
        path = request.url.path
        if path == held:
            return JSONResponse({"properties": {"permissions": [{"dataActions": [f"{BLOB}/*"]}]}})
        if path.endswith("/roleAssignments"):
            return JSONResponse({"value": [{"properties": {"roleDefinitionId": held}}]})
        return JSONResponse({"value": [{"properties": {"clientId": CLIENT, "principalId": "ours"}}]})

    with serving(https_server(Starlette(routes=[Route("/{rest:path}", answer)]), stack, port)):
        place = {"AZURE_RESOURCE_MANAGER_ENDPOINT": f"https://{stack.address}:{port}", "AZURE_CLIENT_ID": CLIENT}
        *blobs, rows, ml, hub = found(rights.rights, settings, **place)
    assert {one.level for one in blobs} == {"ok"}
    names = ("deadletter", "landing", "outputs", "manifests", "models", "quarantine", "versions")
    assert [one.what.rpartition(" ")[2] for one in blobs] == list(names)
    assert {rows.level, ml.level, hub.level} == {"error"}
    assert '--role "AzureML Data Scientist"' in ml.fix
    assert "--assignee-object-id ours" in ml.fix


# the examination as a whole


def test_one_that_falls_ill_hides_nobody(settings: dict[str, str]) -> None:
    def ill(_: Patient) -> Iterator[Finding]:
        raise ZeroDivisionError("at https://x/?sig=abcdef")

    findings = list(command.examine(settings, [ill, own.versions]))
    assert any("ill: the examination could not end" in one.what and "[secret]" in one.why for one in findings)
    assert findings[-1].check == "versions"


def test_the_command_prints_json_and_ends_with_1_if_something_is_wrong(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CHECKS", [own.versions])
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    well = CliRunner().invoke(app, ["doctor", "--json"])
    assert (well.exit_code, json.loads(well.stdout)["summary"]) == (0, {"ok": 3})
    monkeypatch.setenv("IOTHUB_HOSTNAME", "no host")
    ill = CliRunner().invoke(app, ["doctor"])
    assert ill.exit_code == 1
    assert "because: IOTHUB_HOSTNAME" in ill.stdout


def test_a_list_of_the_manager_is_read_to_its_end_and_never_elsewhere(settings: dict[str, str], stack: Stack) -> None:
    port = free_port(stack.address)
    place = f"https://{stack.address}:{port}"

    async def answer(request: Request) -> Response:
        further = {"1": f"{place}/list?page=2&api-version=v", "2": "https://elsewhere.example/list"}
        page = request.query_params.get("page", "1")
        return JSONResponse({"value": [{"name": page}], "nextLink": further[page]})

    with serving(https_server(Starlette(routes=[Route("/list", answer)]), stack, port)):
        manager = Manager(patient(settings).asker, place)
        assert [one["name"] for one in manager.list("/list", "v")] == ["1", "2"]
