"""Model files: which ones there are, how they prove themselves, and the last two versions on this device's disk."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge.errors import Unfit
from edge.store import Store
from edge.wanted import Wanted

LIST = "files.json"
FILES = ("model.onnx", "signature.json", "profile.json", "samples.json")
LIST_BYTES = 64 * 1024
KEPT = 2  # what serves and what served before it

Contents = Mapping[str, bytes]


class File(Struct, frozen=True):
    """What files.json says about one file."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size_bytes: Annotated[int, Meta(ge=0)]


class Listing(Struct, frozen=True):
    """The file files.json."""

    files: dict[str, File]


def fetch(wanted: Wanted, *, store: Store, at_most_bytes: int, keep_going: Callable[[], None]) -> Contents:
    """Fetch a model's files and check each against the chain of checksums that starts in the twin.

    Args:
        wanted: The model asked for.
        store: Where its files are.
        at_most_bytes: The largest single file this device takes.
        keep_going: Called after each chunk; raises what should end the fetch.

    Returns:
        File name → content, files.json included.

    Raises:
        Unfit: A file is missing, too large, not what its checksum says, or of another kind.
        Away: The store does not answer.
    """

    def read(name: str, size_bytes: int, *, exactly: bool) -> bytes:
        return _collect(store.read(wanted.url, name), name, size_bytes, exactly=exactly, keep_going=keep_going)

    listing = read(LIST, LIST_BYTES, exactly=False)
    files = _listed(listing, wanted)
    too_large = {name: file.size_bytes for name, file in files.items() if file.size_bytes > at_most_bytes}
    if too_large:
        raise Unfit(
            "the model is too large for this device",
            why=f"{too_large} bytes, and a file may have {at_most_bytes}",
            fix="train a smaller model, or raise the setting MODEL_MEBIBYTES",
        )
    contents = {LIST: listing} | {name: read(name, file.size_bytes, exactly=True) for name, file in files.items()}
    check(contents, wanted)
    return contents


def check(contents: Contents, wanted: Wanted) -> None:
    """Check files against the chain of checksums: the twin vouches for files.json, files.json for the rest.

    Raises:
        Unfit: A link of the chain does not hold; the file is named.
    """
    for name, file in _listed(contents[LIST], wanted).items():
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != file.sha256:
            raise _broken(name, found, file.sha256)


class Shelf:
    """The last two models of this device, on disk.

    Args:
        folder: Where they are kept; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, wanted: Wanted, contents: Contents) -> None:
        """Keep a model's files; whole or not at all."""
        target = self._folder / wanted.sha256
        arriving = self._folder / f".{wanted.sha256}"
        shutil.rmtree(arriving, ignore_errors=True)
        arriving.mkdir(parents=True)
        for name, content in contents.items():
            _write(arriving / name, content)
        shutil.rmtree(target, ignore_errors=True)  # there only if it was damaged
        arriving.rename(target)
        _sync(self._folder)

    def take(self, wanted: Wanted) -> Contents | None:
        """The files of a model, if they are here and still what their checksums say."""
        folder = self._folder / wanted.sha256
        try:
            contents = {name: (folder / name).read_bytes() for name in (LIST, *FILES)}
            check(contents, wanted)
        except (OSError, Unfit):
            return None
        return contents

    def remember(self, wanted: Wanted) -> None:
        """Make this the model to start with, and forget all but the one before it."""
        kept = [wanted, *(other for other in self.served() if other.sha256 != wanted.sha256)][:KEPT]
        self._folder.mkdir(parents=True, exist_ok=True)
        arriving = self._folder / ".served.json"
        _write(arriving, msgspec.json.encode(kept))
        arriving.rename(self._folder / "served.json")
        _sync(self._folder)
        names = {model.sha256 for model in kept}
        for folder in self._folder.iterdir():
            if folder.is_dir() and folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def served(self) -> list[Wanted]:
        """The models that served last, newest first; empty when there is none or the list cannot be read."""
        try:
            return msgspec.json.decode((self._folder / "served.json").read_bytes(), type=list[Wanted])
        except (OSError, msgspec.DecodeError):
            return []


def _listed(listing: bytes, wanted: Wanted) -> dict[str, File]:
    found = hashlib.sha256(listing).hexdigest()
    if found != wanted.sha256:
        raise _broken(LIST, found, wanted.sha256)
    try:
        files = msgspec.json.decode(listing, type=Listing).files
    except msgspec.DecodeError as problem:
        raise Unfit(
            "the model's files.json cannot be read", why=str(problem), fix="promote the model again"
        ) from problem
    if set(files) != set(FILES):
        raise Unfit(
            "the model does not consist of the files a device loads",
            why=f"files.json lists {sorted(files)}",
            fix=f"a model is exactly {sorted(FILES)}; pickles and other formats are never loaded",
        )
    return files


def _collect(
    chunks: Iterator[bytes], name: str, size_bytes: int, *, exactly: bool, keep_going: Callable[[], None]
) -> bytes:
    content = bytearray()
    for chunk in chunks:
        keep_going()
        content += chunk
        if len(content) > size_bytes:
            raise Unfit(
                f"{name} is larger than it may be",
                why=f"more than {size_bytes} bytes arrived",
                fix="promote the model again",
            )
    if exactly and len(content) != size_bytes:
        raise _broken(name, f"{len(content)} bytes", f"{size_bytes} bytes")
    return bytes(content)


def _broken(name: str, found: str, expected: str) -> Unfit:
    return Unfit(
        f"{name} is not the file that was promoted",
        why=f"it has {found}, expected {expected}",
        fix="find out who changed the model store, then promote the model again",
    )


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
