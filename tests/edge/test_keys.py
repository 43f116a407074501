"""Who may say what a device serves: a model that nobody trusted has signed is refused, and the old one serves on."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from edge.keys import Key
from tests.edge.device import Bench
from tests.edge.models import KEY, SIGNER, STRANGER, Folder, folder, model_folder, signed


def resigned(content: bytes) -> Folder:
    given = model_folder("2")
    return replace(given, files=given.files | {"files.sig": content})


def tampered() -> Folder:
    sound = json.loads(model_folder("2").files["files.sig"])
    first = "A" if sound["signature"][0] != "A" else "B"
    return resigned(json.dumps(sound | {"signature": first + sound["signature"][1:]}).encode())


def of_another_version() -> Folder:
    old = model_folder("1")
    return folder("2", old.files, profile=old.wanted.profile, called="1")


def unsigned() -> Folder:
    given = model_folder("2")
    return replace(given, files={name: content for name, content in given.files.items() if name != "files.sig"})


LISTING = model_folder("2").files["files.json"]
UNTRUSTED: dict[str, tuple[Callable[[], Folder], str]] = {
    "no signature": (unsigned, "the model store has no flight-delays/2/files.sig"),
    "a key nobody knows": (lambda: resigned(signed(LISTING, STRANGER)), "is unknown here"),
    "a signature over something else": (lambda: resigned(signed(LISTING + b" ", SIGNER)), "has not signed this"),
    "a tampered signature": (tampered, "has not signed this"),
    "no signature at all": (lambda: resigned(b"ok"), "files.sig cannot be read"),
    "another algorithm": (
        lambda: resigned(signed(LISTING, SIGNER).replace(b"ed25519", b"none")),
        "files.sig cannot be read",
    ),
    "an endless signature": (lambda: resigned(b" " * 70_000), "files.sig is larger than it may be"),
    "an old model under a new name": (of_another_version, "is that of flight-delays:1, and the twin asks for fl"),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_a_model_that_nobody_trusted_has_signed_is_refused(tmp_path: Path, case: str) -> None:
    make, words = UNTRUSTED[case]

    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")
            bench.deploy(make())
            assert words in await bench.refuses("2")
            assert bench.hub.reported["model"]["version"] == "1"
        assert bench.store.read_paths.count("flight-delays/2/model.onnx") == 0  # nothing of it was even fetched

    asyncio.run(tell())


def served_with(tmp_path: Path, *keys: Key) -> str | None:
    async def tell() -> str | None:
        bench = Bench(tmp_path, model_keys=keys)
        bench.hub.away = True
        async with bench.client():
            model = bench.device.serving.model
            return model.wanted.version if model else None

    return asyncio.run(tell())


def test_a_key_that_has_ended_stops_new_models_and_not_what_serves(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")
        ended = Bench(tmp_path, model_keys=(replace(KEY, until=date(2020, 1, 1)),))
        ended.deploy(model_folder("2"))
        async with ended.client():
            assert f"key {KEY.name} has ended" in await ended.refuses("2")
            assert ended.hub.reported["model"]["version"] == "1"

    asyncio.run(tell())


def test_what_was_signed_by_a_key_that_was_taken_away_is_not_loaded_again(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")

    asyncio.run(tell())
    stranger = Key(STRANGER.public_key().public_bytes_raw())
    assert served_with(tmp_path, stranger) is None
    assert served_with(tmp_path, stranger, KEY) == "1"


def test_with_signatures_off_the_twin_s_word_is_enough(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path, model_keys=(), model_signatures="off")
        bench.deploy(unsigned())
        async with bench.client():
            await bench.serves("2")
        assert "flight-delays/2/files.sig" not in bench.store.read_paths

    asyncio.run(tell())
