"""No real key lies in the repository; those that Microsoft publishes for its emulator are named one by one."""

import re
import subprocess

import pytest

from laptop.stack import ACCOUNT_KEY
from tests.infra.estate import ROOT

KEYS = {
    "an account key": r"(?<![A-Za-z0-9+/])(?<!sha512-)[A-Za-z0-9+/]{86}==",
    "a key in a connection string": r"(?i)(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{30,}=*",
    "a shared access signature": r"(?i)[?&]sig=[A-Za-z0-9%+/]{30,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\n\s*[A-Za-z0-9+/=]{30,}",
    "a token": r"\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}",
    "a client secret": r"\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{34}\b",
    "a personal access token": r"\b(?:ghp|gho|ghs)_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}",
}
PUBLISHED = {  # Azurite's key is in Microsoft's documentation, and opens nothing but an Azurite
    ACCOUNT_KEY,
    f"AccountKey={ACCOUNT_KEY}",
}


def _tracked() -> list[str]:
    said = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607
    return [path for path in said.split("\0") if path and (ROOT / path).is_file()]


@pytest.mark.parametrize("kind", KEYS)
def test_no_file_holds(kind: str) -> None:
    """BAD_INPUTS F10."""
    found = [
        f"{path}: {match[0][:24]}…"
        for path in _tracked()
        for match in re.finditer(KEYS[kind], (ROOT / path).read_bytes().decode("utf-8", "replace"))
        if match[0] not in PUBLISHED
    ]
    assert found == []


def test_the_patterns_find_what_they_are_for() -> None:
    key = "q" * 86 + "=="
    planted = {
        "an account key": f'"{key}"',
        "a key in a connection string": f"HostName=h;SharedAccessKey={'q' * 43}=",
        "a shared access signature": f"https://a.blob.core.windows.net/c?sv=1&sig={'q' * 43}",
        "a private key": "-----BEGIN " + "PRIVATE KEY-----\n" + "q" * 64,
        "a token": ".".join(("eyJ" + "q" * 30, "eyJ" + "q" * 30, "q" * 30)),
        "a client secret": "abc" + "8Q~" + "q" * 34,
        "a personal access token": "ghp_" + "q" * 36,
    }
    assert [kind for kind, text in planted.items() if not re.search(KEYS[kind], text)] == []
    assert planted.keys() == KEYS.keys()
