"""App settings: whatever is missing or odd stops the start, with its name, the reason and the fix."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from functions.errors import Refused
from functions.settings import Settings, load
from functions.wiring import azure, cloud, using
from tests.fakes.cloud import ENVIRONMENT, GROUP, FakeCloud

REQUIRED = list(ENVIRONMENT)
PEM = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"


def test_the_settings_of_a_deployment_are_read_as_they_are() -> None:
    settings = load({**ENVIRONMENT, "PATH": "/bin", "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000000"})
    assert settings.blob_endpoint == ENVIRONMENT["DATA_BLOB_ENDPOINT"]
    assert settings.hub_hostname == ENVIRONMENT["IOTHUB_HOSTNAME"]
    assert settings.identity_client_id == "00000000-0000-0000-0000-000000000000"
    assert list(settings.loops) == ["flight-delays"]


def test_what_may_be_absent_has_a_default() -> None:
    settings = load({**ENVIRONMENT, "AZURE_CLIENT_ID": "", "LOOPS_FOLDER": ""})
    assert (settings.loops_folder, settings.identity_client_id) == (Path("loops"), None)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("absence", ["absent", "blank"])
def test_a_missing_setting_is_named_with_its_fix(name: str, absence: str) -> None:
    left = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(Refused) as refusal:
        load(left if absence == "absent" else {**left, name: ""})
    assert refusal.value.why == f"{name}: Field required"
    assert "local.settings.sample.json" in refusal.value.fix


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("DATA_BLOB_ENDPOINT", "http://refluent.blob.core.windows.net"),
        ("DATA_BLOB_ENDPOINT", "refluent.blob.core.windows.net"),
        ("DATA_BLOB_ENDPOINT", "https://user:hunter2@refluent.blob.core.windows.net"),
        ("DATA_BLOB_ENDPOINT", "https://refluent.blob.core.windows.net/?sv=1&sig=hunter2"),
        ("DATA_TABLE_ENDPOINT", "https://refluent.table.core.windows.net /x"),
        ("DATA_TABLE_ENDPOINT", "https://"),
        ("EVENT_TOPIC_ENDPOINT", "https://refluent.eventgrid.azure.net/api/events#hunter2"),
        ("DATA_ACCOUNT_ID", "refluent"),
        ("DATA_ACCOUNT_ID", f"{GROUP}/Microsoft.Devices/IotHubs/refluent"),
        ("AZUREML_WORKSPACE_ID", f"{GROUP}/Microsoft.Storage/storageAccounts/refluent"),
        ("AZUREML_WORKSPACE_ID", f"{GROUP}/Microsoft.MachineLearningServices/workspaces/refluent/jobs/x"),
        ("AZUREML_WORKSPACE_ID", f"{GROUP}/Microsoft.MachineLearningServices/workspaces/refluent\n"),
        ("IOTHUB_ID", "/subscriptions//resourceGroups/g/providers/Microsoft.Devices/IotHubs/refluent"),
        ("IOTHUB_HOSTNAME", "https://refluent.azure-devices.net"),
        ("IOTHUB_HOSTNAME", "HostName=refluent.azure-devices.net;SharedAccessKey=hunter2"),
        ("IOTHUB_HOSTNAME", "refluent.azure-devices.net/hunter2"),
        ("MODEL_SIGNING_KEY", "hunter2"),
        ("MODEL_SIGNING_KEY", "aHVudGVyMg=="),
        ("MODEL_SIGNING_KEY", "-----BEGIN PUBLIC KEY-----\nhunter2"),
    ],
)
def test_an_odd_setting_is_named_and_its_value_is_not_repeated(name: str, odd: str) -> None:
    with pytest.raises(Refused) as refusal:
        load({**ENVIRONMENT, name: odd})
    assert refusal.value.what == "1 app setting(s) are missing or unusable"
    assert refusal.value.why.startswith(f"{name}: ")
    assert refusal.value.fix
    assert "hunter2" not in str(refusal.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Refused) as refusal:
        load({})
    assert refusal.value.what.startswith(f"{len(REQUIRED)} app setting(s)")
    assert all(f"{name}: " in refusal.value.why for name in REQUIRED)


@pytest.mark.parametrize("spelled", [PEM, base64.b64encode(PEM.encode()).decode()])
def test_the_signing_key_may_come_on_one_line_and_is_never_shown(spelled: str) -> None:
    settings = load({**ENVIRONMENT, "MODEL_SIGNING_KEY": spelled})
    assert settings.model_signing_key is not None
    assert settings.model_signing_key.get_secret_value() == PEM
    assert "c2VjcmV0" not in repr(settings)


@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_arm_ids_may_be_spelled_as_the_portal_happens_to(spell: object) -> None:
    assert callable(spell)
    ids: Mapping[str, str] = {name: spell(value) for name, value in ENVIRONMENT.items() if name.endswith("_ID")}
    assert load({**ENVIRONMENT, **ids}).workspace_id == ids["AZUREML_WORKSPACE_ID"]


def test_a_folder_without_loops_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        load({**ENVIRONMENT, "LOOPS_FOLDER": str(tmp_path)})
    assert str(tmp_path) in refusal.value.what
    assert refusal.value.fix == "add one; see docs/loops.md"


def test_a_broken_loop_stops_the_start_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "press.toml").write_text('[loop]\nmodel = "press"\npurpose = 7\n', encoding="utf-8")
    with pytest.raises(Refused, match=r"press\.toml, line"):
        load({**ENVIRONMENT, "LOOPS_FOLDER": str(tmp_path)})


def test_settings_cannot_be_changed_after_the_start() -> None:
    settings = load(ENVIRONMENT)
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "hub_hostname", "elsewhere")  # noqa: B010 - mypy would refuse the plain assignment


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.alias == (field.alias or "").upper()


def test_an_app_without_settings_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name, raising=False)
    azure.cache_clear()
    with pytest.raises(Refused, match="DATA_BLOB_ENDPOINT: Field required"):
        cloud()
    with using(FakeCloud()) as here:
        assert cloud() is here
