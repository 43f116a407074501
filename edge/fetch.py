"""Brings a model's files from the store to this device's disk; what has arrived need not come twice."""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from edge.errors import Changed, Unfit
from edge.keys import Keyring
from edge.shelf import LIST, SIGNATURE, File, broken, read_listing, write
from edge.store import Part, Store
from edge.wanted import Wanted

SMALL_BYTES = 64 * 1024  # files.json and files.sig
_BLOCK_BYTES = 1024 * 1024


def fetch(
    wanted: Wanted, folder: Path, *, store: Store, keys: Keyring, at_most_bytes: int, keep_going: Callable[[], None]
) -> None:
    """Fetch a model's files and check each against the chain of checksums that starts in the twin.

    Args:
        wanted: The model asked for.
        folder: Where the files arrive; it may hold a part of them already.
        store: Where they are.
        keys: Whose models this device takes.
        at_most_bytes: The largest single file this device takes.
        keep_going: Called after each chunk; raises what should end the fetch.

    Raises:
        Unfit: A file is missing, too large, not what its checksum says, of another kind, or not signed.
        Away: The store does not answer; what has arrived stays.
        OSError: The disk is full, or fails.
    """

    def small(name: str) -> bytes:
        return _collect(store.read(wanted.url, name).chunks, name, keep_going)

    listed, signature = small(LIST), small(SIGNATURE) if keys.required else None
    listing = read_listing(listed, signature, wanted, keys, newcomer=True)
    too_large = {name: file.size_bytes for name, file in listing.files.items() if file.size_bytes > at_most_bytes}
    if too_large:
        raise Unfit(
            "the model is too large for this device",
            why=f"{too_large} bytes, and a file may have {at_most_bytes}",
            fix="train a smaller model, or raise the setting MODEL_MEBIBYTES",
        )
    write(folder / LIST, listed)
    if signature is not None:
        write(folder / SIGNATURE, signature)
    for name, file in listing.files.items():
        _bring(folder / name, file, partial(store.read, wanted.url, name), keep_going)


def _bring(path: Path, file: File, read: Callable[..., Part], keep_going: Callable[[], None]) -> None:
    have_bytes = _arrived(path, file)
    if have_bytes < file.size_bytes or not path.exists():
        _append(path, file, _rest(path, read, have_bytes), keep_going)
    found = _digest(path, keep_going)
    if found == file.sha256:
        return
    path.unlink()
    if not have_bytes:
        raise broken(path.name, found, file.sha256)
    _bring(
        path, file, read, keep_going
    )  # what was here from an earlier try was damaged: once more, from its first byte


def _arrived(path: Path, file: File) -> int:
    """How much of a file is here and can be built on, bytes."""
    have_bytes = path.stat().st_size if path.exists() and _state(path).exists() else 0
    if have_bytes > file.size_bytes:
        have_bytes = 0
    if not have_bytes:
        path.unlink(missing_ok=True)
    return have_bytes


def _rest(path: Path, read: Callable[..., Part], have_bytes: int) -> Part:
    try:
        part = read(start=have_bytes, etag=_state(path).read_text() if have_bytes else None)
    except Changed:
        path.unlink()
        part = read()
    _state(path).write_text(part.etag)
    return part


def _append(path: Path, file: File, part: Part, keep_going: Callable[[], None]) -> None:
    with path.open("ab") as target:
        for chunk in part.chunks:
            keep_going()
            if target.tell() + len(chunk) > file.size_bytes:
                raise _too_long(path.name, file.size_bytes)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())


def _state(path: Path) -> Path:
    """Where the eTag of a file that arrives is kept: only what follows on the same state may be put behind it."""
    return path.with_name(f".{path.name}.etag")


def _digest(path: Path, keep_going: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            keep_going()
            digest.update(block)
    return digest.hexdigest()


def _collect(chunks: Iterator[bytes], name: str, keep_going: Callable[[], None]) -> bytes:
    content = bytearray()
    for chunk in chunks:
        keep_going()
        content += chunk
        if len(content) > SMALL_BYTES:
            raise _too_long(name, SMALL_BYTES)
    return bytes(content)


def _too_long(name: str, size_bytes: int) -> Unfit:
    return Unfit(
        f"{name} is larger than it may be", why=f"more than {size_bytes} bytes arrived", fix="promote the model again"
    )
