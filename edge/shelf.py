"""The models on this device's disk: what arrives, what served last, and how files prove what they claim to be."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edge.errors import Unfit
from edge.keys import Keyring
from edge.wanted import Wanted

LIST, SIGNATURE = "files.json", "files.sig"
FILES = ("model.onnx", "signature.json", "profile.json", "samples.json")
KEPT = 2  # what serves and what served before it
_OURS = re.compile(r"\.?[0-9a-f]{64}\Z")  # a model's folder; with a dot while it arrives

Contents = Mapping[str, bytes]


class File(Struct, frozen=True):
    """What files.json says about one file."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size_bytes: Annotated[int, Meta(ge=0)]


class Listing(Struct, frozen=True):
    """The file files.json; the signature covers it, so a model cannot be passed off as another version of itself."""

    files: dict[str, File]
    model: str | None = None
    version: str | None = None


class Shunned(Struct, frozen=True):
    """A model that this device does not take again until another one is asked for.

    Args:
        wanted: The model.
        state: Whether somebody went back from it, or it failed by itself.
        reason: For the operator; one line.
    """

    wanted: Wanted
    state: Literal["rolled back", "failed"]
    reason: str


class _Doubted(Struct, frozen=True):
    sha256: str
    starts: int


def read_listing(content: bytes, signature: bytes | None, wanted: Wanted, keys: Keyring, *, newcomer: bool) -> Listing:
    """Check the first link of the chain: the twin vouches for files.json, and so does a key that this device trusts.

    Args:
        content: Content of files.json.
        signature: Content of files.sig; None if signatures are off.
        wanted: The model asked for.
        keys: Whose models this device takes.
        newcomer: Whether the model has yet to take over.

    Raises:
        Unfit: A link does not hold.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != wanted.sha256:
        raise broken(LIST, found, wanted.sha256)
    if signature is not None:
        keys.verify(content, signature, newcomer=newcomer)
    try:
        listing = msgspec.json.decode(content, type=Listing)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Unfit(
            "the model's files.json cannot be read", why=str(problem), fix="promote the model again"
        ) from problem
    _compare_names(listing, wanted, signed=signature is not None)
    if set(listing.files) != set(FILES):
        raise Unfit(
            "the model does not consist of the files a device loads",
            why=f"files.json lists {sorted(listing.files)}",
            fix=f"a model is exactly {sorted(FILES)}; pickles and other formats are never loaded",
        )
    return listing


def check(contents: Contents, listing: Listing) -> None:
    """Check the rest of the chain: files.json vouches for every other file.

    Raises:
        Unfit: A file is not the one that is listed; it is named.
    """
    for name, file in listing.files.items():
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != file.sha256:
            raise broken(name, found, file.sha256)


class Shelf:
    """The models of one device, on disk.

    Args:
        folder: Where they are kept; made if need be.
        keys: Whose models this device takes.
    """

    def __init__(self, folder: Path, keys: Keyring) -> None:
        self._folder, self._keys = folder, keys
        self.wanted: dict[str, str] = {}  # slot -> sha256 of a model that may be arriving, and must not be tidied away

    def arriving(self, wanted: Wanted) -> Path:
        """The folder that a model's files arrive in, possibly over several tries."""
        folder = self._folder / f".{wanted.sha256}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def give_up(self, wanted: Wanted) -> None:
        """Forget what has arrived of a model."""
        shutil.rmtree(self._folder / f".{wanted.sha256}", ignore_errors=True)

    def settle(self, wanted: Wanted) -> None:
        """Keep a model that has arrived as a whole and passed every check."""
        target = self._folder / wanted.sha256
        shutil.rmtree(target, ignore_errors=True)  # there only if it was damaged
        self.arriving(wanted).rename(target)
        sync(self._folder)

    def take(self, wanted: Wanted) -> Contents | None:
        """The files of a model, if they are here, still what their checksums say, and signed by a key that is known."""
        folder = self._folder / wanted.sha256
        names = (LIST, *FILES, *((SIGNATURE,) if self._keys.required else ()))
        try:
            contents = {name: (folder / name).read_bytes() for name in names}
            listing = read_listing(contents[LIST], contents.get(SIGNATURE), wanted, self._keys, newcomer=False)
            check(contents, listing)
        except (OSError, Unfit):
            return None
        return contents

    def remember(self, wanted: Wanted) -> None:
        """Make this the model to start with, and forget all but the one before it."""
        kept = [wanted, *(other for other in self.served() if other.sha256 != wanted.sha256)][:KEPT]
        self._save("served.json", msgspec.json.encode(kept))
        self._tidy({model.sha256 for model in kept} | set(self.wanted.values()))

    def served(self) -> list[Wanted]:
        """The models that served last, newest first; empty when there is none or the list cannot be read."""
        try:
            return msgspec.json.decode((self._folder / "served.json").read_bytes(), type=list[Wanted])
        except (OSError, msgspec.DecodeError):
            return []

    def shun(self, shunned: Shunned | None) -> None:
        """Remember over a restart which model this device does not take again; None forgets it."""
        if shunned is None:
            (self._folder / "shunned.json").unlink(missing_ok=True)
        else:
            self._save("shunned.json", msgspec.json.encode(shunned))

    def shunned(self) -> Shunned | None:
        """The model this device does not take again."""
        return self._read("shunned.json", Shunned)

    def doubt(self, wanted: Wanted) -> int:
        """Remember that a model begins to serve, and may yet end this process.

        Returns:
            How often in a row it has begun, this time included, and was not trusted before the process ended.
        """
        before = self._read("doubted.json", _Doubted)
        starts = before.starts + 1 if before and before.sha256 == wanted.sha256 else 1
        self._save("doubted.json", msgspec.json.encode(_Doubted(wanted.sha256, starts)))
        return starts

    def trust(self) -> None:
        """Forget the doubt: the process lives with the model that serves, or ends because it was asked to."""
        (self._folder / "doubted.json").unlink(missing_ok=True)

    def _read[T](self, name: str, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode((self._folder / name).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def _save(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write(self._folder / f".{name}", content)
        (self._folder / f".{name}").rename(self._folder / name)
        sync(self._folder)

    def _tidy(self, spared: set[str]) -> None:
        for folder in self._folder.iterdir():
            if _OURS.match(folder.name) and folder.name.removeprefix(".") not in spared:
                shutil.rmtree(folder, ignore_errors=True)


def broken(name: str, found: str, expected: str) -> Unfit:
    """A file is not the one that its checksum is of."""
    return Unfit(
        f"{name} is not the file that was promoted",
        why=f"it has {found}, expected {expected}",
        fix="find out who changed the model store, then promote the model again",
    )


def write(path: Path, content: bytes) -> None:
    """Write a file so that it is on the disk when this returns."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Make renames within a folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _compare_names(listing: Listing, wanted: Wanted, *, signed: bool) -> None:
    names = (listing.model, listing.version)
    if names == (wanted.model, wanted.version) or (names == (None, None) and not signed):
        return
    raise Unfit(
        "the model is not the one the twin names",
        why=f"its files.json is that of {listing.model}:{listing.version}, and the twin asks for {wanted}",
        fix="correct the deployment; somebody may be passing off an old model as a new one",
    )
