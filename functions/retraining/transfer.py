"""What a site says it sent, and whether that is what came. No clock, no network, no SDK."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from functions.errors import Poison
from functions.retraining.ledger import LANDED, QUARANTINED, SUPERSEDED, Upload

SHOWN = 5  # files named in a reason


class Listed(BaseModel):
    """One file of a batch, as the site measured it before it sent it."""

    model_config = ConfigDict(frozen=True, strict=True)

    name: Annotated[str, Field(min_length=1, max_length=1024)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0)]

    @field_validator("name")
    @classmethod
    def _stays_in_its_folder(cls, name: str) -> str:
        if "\\" in name or name != str(PurePosixPath(name)) or name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{name!r} is no name relative to the manifest's own folder")
        return name


class Transfer(BaseModel):
    """A transfer manifest: the files of one batch of one site."""

    model_config = ConfigDict(frozen=True, strict=True)

    version: Literal[1] = Field(alias="schema")
    site: str
    files: Annotated[tuple[Listed, ...], Field(min_length=1, max_length=100_000, strict=False)]

    @field_validator("files")
    @classmethod
    def _every_name_once(cls, files: tuple[Listed, ...]) -> tuple[Listed, ...]:
        if len({one.name for one in files}) < len(files):
            raise ValueError("a name is listed twice")
        return files


@dataclass(frozen=True, slots=True)
class Compared:
    """A batch beside what came of it.

    Args:
        matching: Uploads that are what the site says it sent.
        outdated: Older versions of the same files.
        missing: Names of files that did not come.
        different: Name -> what differs, for files that came and are not what was sent.
        waiting: Names of files that nobody has looked into yet.
    """

    matching: tuple[Upload, ...]
    outdated: tuple[Upload, ...]
    missing: tuple[str, ...]
    different: Mapping[str, str]
    waiting: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every file came as it was sent."""
        return not (self.missing or self.different or self.waiting)

    @property
    def reason(self) -> str:
        """What is missing, what differs, what is awaited; names the first files of each."""
        every = len(self.matching) + len(self.missing) + len(self.different) + len(self.waiting)
        if self.complete:
            return f"all {every} files came as they were sent"
        differing = [f"{name} ({how})" for name, how in sorted(self.different.items())]
        parts = {"missing": self.missing, "different": differing, "not looked into yet": self.waiting}
        told = [f"{len(names)} of {every} files {what}: {_some(names)}" for what, names in parts.items() if names]
        return "; ".join(told)


def read_transfer(name: str, content: bytes) -> Transfer:
    """Read a transfer manifest.

    Args:
        name: Its blob, `<loop>/<site>/….transfer.json`.
        content: Its bytes.

    Raises:
        Poison: TRANSFER_FORMAT: it is no manifest, or speaks for another site.
    """
    try:
        transfer = Transfer.model_validate_json(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _unusable(name, why=f"{place or 'the file'}: {first['msg']}") from problem
    site = name.split("/")[1]
    if transfer.site != site:
        raise _unusable(name, why=f"it speaks for site {transfer.site[:40]!r} in the folder of {site!r}")
    return transfer


def compare(transfer: Transfer, folder: str, uploads: Mapping[str, Sequence[Upload]]) -> Compared:
    """Hold a batch against what was counted; of each file the newest version stands.

    Args:
        transfer: What the site says it sent.
        folder: Of the manifest, `<loop>/<site>` or below.
        uploads: Blob -> its versions, oldest first.
    """
    matching, outdated, missing, different, waiting = [], list[Upload](), [], {}, []
    for listed in transfer.files:
        versions = [one for one in uploads.get(f"{folder}/{listed.name}", ()) if one.state != SUPERSEDED]
        outdated += versions[:-1]
        if not versions:
            missing.append(listed.name)
        elif versions[-1].state == LANDED:
            waiting.append(listed.name)
        elif how := _difference(listed, versions[-1]):
            different[listed.name] = how
        else:
            matching.append(versions[-1])
    return Compared(tuple(matching), tuple(outdated), tuple(missing), different, tuple(waiting))


def _difference(listed: Listed, upload: Upload) -> str:
    if upload.size_bytes != listed.size_bytes:
        return f"{listed.size_bytes:,} bytes sent, {upload.size_bytes:,} came"
    if upload.state == QUARANTINED:
        return f"quarantined: {upload.reason}"
    if upload.sha256 != listed.sha256:
        return f"sha256 {listed.sha256[:12]}… sent, {upload.sha256[:12]}… came"
    if upload.rows and upload.rows != listed.rows:
        return f"{listed.rows:,} rows sent, {upload.rows:,} came"
    return ""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _unusable(name: str, *, why: str) -> Poison:
    fix = "write it as docs/loops.md says, and send it again under any name"
    return Poison(f"{name} is no transfer manifest", why=why, fix=fix, code="TRANSFER_FORMAT")
