from base64 import b64encode
from datetime import date
from pathlib import Path

import pytest

from edge.errors import Misconfigured
from edge.keys import Key
from edge.settings import Settings, settings_from

STORE = "https://account.blob.core.windows.net/models"
ONE, OTHER = Key(b"\1" * 32), Key(b"\2" * 32, date(2027, 6, 30))
KEYS = b64encode(ONE.raw).decode()
LEAST = {"MODEL_STORE_URL": STORE, "MODEL_KEYS": KEYS}


def test_the_store_and_the_keys_are_the_only_settings_that_must_be_given() -> None:
    folder = Path("/var/lib/refluent")
    assert settings_from(LEAST) == Settings(f"{STORE}/", folder, (ONE,), "required", folder / "hold")


def test_every_setting_is_read_under_its_documented_name() -> None:
    found = settings_from(
        {
            "MODEL_STORE_URL": f"{STORE}/",
            "MODEL_FOLDER": "models",
            "MODEL_KEYS": f"{KEYS}, {b64encode(OTHER.raw).decode()}@2027-06-30",
            "HOLD_FILE": "/share/hold",
            "LOOP": "delays",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "9001",
            "TELEMETRY_EVERY_SECONDS": "5",
            "TELEMETRY_EVERY_ROWS": "200",
            "TELEMETRY_MESSAGES": "10",
            "TELEMETRY_MEBIBYTES": "3",
            "ANSWERS_KEPT": "70",
            "ANSWERS_HOURS": "6",
            "OUTCOMES_EVERY_SECONDS": "4",
            "MODEL_MEBIBYTES": "8",
            "CHECK_MEBIBYTES": "512",
            "CHECK_SECONDS": "9",
        }
    )
    hold = Path("/share/hold")
    assert found == Settings(
        f"{STORE}/", Path("models"), (ONE, OTHER), "required", hold,
        "delays", "127.0.0.1", 9001, 5, 200, 10, 3, 70, 6, 4, 8, 512, 9,
    )  # fmt: skip
    assert found.model_bytes == 8 * 1024 * 1024


def test_signatures_are_off_only_when_that_is_said() -> None:
    found = settings_from({"MODEL_STORE_URL": STORE, "MODEL_SIGNATURES": "off"})
    assert (found.model_keys, found.model_signatures) == ((), "off")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MODEL_KEYS": ""}, "there is no key"),
        ({"MODEL_SIGNATURES": "off"}, "there are keys"),
        ({"MODEL_SIGNATURES": "no"}, "neither required nor off"),
        ({"MODEL_KEYS": "%"}, "not base64"),
        ({"MODEL_KEYS": "AAAA"}, "has 3 bytes"),
        ({"MODEL_KEYS": f"{KEYS}@soon"}, "isoformat"),
    ],
)
def test_keys_that_protect_nothing_are_named_with_reason_and_fix(changes: dict[str, str], words: str) -> None:
    with pytest.raises(Misconfigured, match=rf"MODEL_.*because:.*{words}.*fix:"):
        settings_from(LEAST | changes)


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
        settings_from(LEAST | {"MODEL_STORE_URL": url})


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "ten", "²", "65536"])
def test_a_number_that_is_none_is_named_with_its_reason_and_fix(value: str) -> None:
    with pytest.raises(Misconfigured, match=r"HTTP_PORT.*because:.*fix:"):
        settings_from(LEAST | {"HTTP_PORT": value})
