from pathlib import Path

import pytest

from edge.errors import Misconfigured
from edge.settings import Settings, settings_from

STORE = "https://account.blob.core.windows.net/models"


def test_the_store_is_the_only_setting_that_must_be_given() -> None:
    found = settings_from({"MODEL_STORE_URL": STORE})
    assert found == Settings(model_store_url=f"{STORE}/", model_folder=Path("/var/lib/refluent"))


def test_every_setting_is_read_under_its_documented_name() -> None:
    found = settings_from(
        {
            "MODEL_STORE_URL": f"{STORE}/",
            "MODEL_FOLDER": "models",
            "LOOP": "delays",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "9001",
            "TELEMETRY_EVERY_SECONDS": "5",
            "TELEMETRY_EVERY_ROWS": "200",
            "TELEMETRY_MESSAGES": "10",
            "MODEL_MEBIBYTES": "8",
        }
    )
    assert found == Settings(f"{STORE}/", Path("models"), "delays", "127.0.0.1", 9001, 5, 200, 10, 8)
    assert found.model_bytes == 8 * 1024 * 1024


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://account.blob.core.windows.net/models",
        "https://account.blob.core.windows.net",
        "https://user:secret@account.blob.core.windows.net/models",
        "https://account.blob.core.windows.net/models?sv=1",
        "https://[::1/models",
        "models",
    ],
)
def test_a_store_that_is_no_container_is_named_with_its_reason_and_fix(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"MODEL_STORE_URL.*because:.*fix:"):
        settings_from({"MODEL_STORE_URL": url})


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "ten", "²", "65536"])
def test_a_number_that_is_none_is_named_with_its_reason_and_fix(value: str) -> None:
    with pytest.raises(Misconfigured, match=r"HTTP_PORT.*because:.*fix:"):
        settings_from({"MODEL_STORE_URL": STORE, "HTTP_PORT": value})
