"""No secret reaches a log, whoever writes the line."""

import logging
from collections.abc import Iterator

import pytest

from functions.secrecy import keep_secrets_out_of_logs, redacted
from functions.settings import Settings
from tests.fakes.cloud import ENVIRONMENT

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHNl\n-----END PRIVATE KEY-----"
SECRETS = {
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Zm9v/YmFy+==;EndpointSuffix=x": "Zm9v/YmFy+==",
    "HostName=h;SharedAccessKeyName=owner;SharedAccessKey=c2VjcmV0": "c2VjcmV0",
    "https://a.blob.core.windows.net/c/b?sv=2021&sig=aGVsbG8%3D&se=2026": "aGVsbG8%3D",
    "https://app/api/status?code=abcdef0123456789==": "abcdef0123456789==",
    "Authorization: Bearer 0123456789abcdef": "0123456789abcdef",
    f"token {JWT} was refused": JWT,
    f"the key is {PEM} and": "MC4CAQAwBQYDK2VwBCIEIHNl",
    "cut off: -----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ": "MC4CAQAwBQ",
    "InstrumentationKey=00000000-1111;IngestionEndpoint=https://x/": "00000000-1111",
    '{"password": "hunter2", "user": "me"}': "hunter2",
    "aeg-sas-key: dG9waWM=": "dG9waWM=",
    "x-functions-key: mAsTeR": "mAsTeR",
}


@pytest.fixture
def _own_factory() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize(("text", "secret"), SECRETS.items())
def test_a_secret_is_cut_out_and_the_rest_stays(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redacted(text)
    assert "[secret]" in redacted(text)
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "flight-delays/jfk/2013-01-03.parquet landed: 28 files, none for 3 s",
        "rt-flight-delays-1-0123456789ab is judged by another instance too",
        "https://127.0.0.1:10000/devstoreaccount1/landing?restype=container&comp=list",
        "EG_SCHEMA: 1 of 3 tokens; the code is BLOB_SITE",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.usefixtures("_own_factory")
def test_every_line_of_every_logger_is_redacted_with_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    keep_secrets_out_of_logs()
    keep_secrets_out_of_logs()
    for text in SECRETS:
        logging.getLogger("azure.core").warning("it said %s", text)
        logging.getLogger("refluent.intake").error(f"it said {text}")  # noqa: G004 # somebody does
    said = caplog.text
    assert said.count("[secret]") >= 2 * len(SECRETS)
    assert [secret for secret in SECRETS.values() if secret in said] == []


def test_settings_do_not_print_their_secrets() -> None:
    connection = "InstrumentationKey=00000000-1111;IngestionEndpoint=https://x/"
    secret = {"MODEL_SIGNING_KEY": PEM, "APPLICATIONINSIGHTS_CONNECTION_STRING": connection}
    printed = repr(Settings.model_validate({**ENVIRONMENT, **secret}))
    assert PEM not in printed
    assert "00000000-1111" not in printed
