"""The workspace's registry: data, code, environments, components and models, each in immutable versions."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from laptop.ml.refusal import Refusal, not_found, user_error
from laptop.stack import WORKSPACE_ID

View = Literal["ActiveOnly", "ArchivedOnly", "All"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What the service knows about one kind of asset.

    Args:
        collection: Its name in URLs, such as ``models``.
        noun: Its name in messages.
        required: Properties a new version must have.
        fixed: Properties that never change once the version exists.
        defaults: Properties every answer has; the SDK reads some of them without asking.
    """

    collection: str
    noun: str
    required: tuple[str, ...]
    fixed: tuple[str, ...]
    defaults: Mapping[str, Any]


_ALWAYS: dict[str, Any] = {
    "description": None, "tags": {}, "properties": {}, "isArchived": False, "isAnonymous": False,
    "provisioningState": "Succeeded",
}  # fmt: skip
KINDS = {
    kind.collection: kind
    for kind in (
        Kind("data", "data version", ("dataUri", "dataType"), ("dataUri", "dataType"), _ALWAYS),
        Kind("codes", "code version", ("codeUri",), ("codeUri", "properties"), _ALWAYS),
        Kind("environments", "environment", (), ("image", "condaFile", "build"), _ALWAYS | {"osType": "Linux"}),
        Kind("components", "component", ("componentSpec",), ("componentSpec",), _ALWAYS),
        Kind(
            "models",
            "model",
            ("modelUri",),
            ("modelUri", "modelType", "jobName", "properties"),
            _ALWAYS | {"flavors": {}, "jobName": None, "modelType": "custom_model", "stage": "Development"},
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one asset.

    Args:
        kind: The asset's kind.
        name: The asset's name.
        version: The version's name.
        properties: The ARM resource's properties.
        created: When it was registered.
        modified: When its tags, description or archive flag last changed.
    """

    kind: Kind
    name: str
    version: str
    properties: dict[str, Any]
    created: datetime
    modified: datetime

    @property
    def id(self) -> str:
        """The ARM id."""
        return f"{WORKSPACE_ID}/{self.kind.collection}/{self.name}/versions/{self.version}"

    def resource(self) -> dict[str, Any]:
        """The ARM resource."""
        return {
            "id": self.id,
            "name": self.version,
            "type": f"Microsoft.MachineLearningServices/workspaces/{self.kind.collection}/versions",
            "properties": self.properties,
            "systemData": system_data(self.created, self.modified),
        }


class Assets:
    """The registry itself, kept in the workspace's database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS assets (sequence INTEGER PRIMARY KEY, kind TEXT, name TEXT, version TEXT,"
                " created TEXT, modified TEXT, properties TEXT, UNIQUE (kind, name, version))"
            )

    def put(self, kind: Kind, name: str, version: str, *, properties: Mapping[str, Any]) -> tuple[Version, bool]:
        """Register a version, or update what may change of one that exists.

        Returns:
            The version as it is now, and whether it is new.

        Raises:
            Refusal: A required property is missing, or a fixed one would change.
        """
        old, now = self.find(kind, name, version), datetime.now(UTC)
        if old is None:
            if missing := [field for field in kind.required if not properties.get(field)]:
                raise user_error(f"The {kind.noun} {name}:{version} needs {', '.join(missing)}.", "BadArgument")
            new = Version(kind, name, version, _filled(kind, properties), created=now, modified=now)
            self._save(new)
            return new, True
        changed = [
            field for field in kind.fixed if properties.get(field) and properties[field] != old.properties.get(field)
        ]
        if changed:
            raise _immutable(kind, name, version, changed=changed)
        changeable = {
            k: v for k, v in properties.items() if k in ("tags", "description", "isArchived") and v is not None
        }
        new = Version(kind, name, version, old.properties | changeable, created=old.created, modified=now)
        self._save(new)
        return new, False

    def find(self, kind: Kind, name: str, version: str) -> Version | None:
        """One version, or None."""
        return next(iter(self._select(kind, name, version)), None)

    def get(self, kind: Kind, name: str, version: str) -> Version:
        """One version.

        Raises:
            Refusal: There is none.
        """
        found = self.find(kind, name, version)
        if found is None:
            raise not_found(f"Not found {kind.noun} {name} (version: {version}).")
        return found

    def versions(self, kind: Kind, name: str, *, view: View = "ActiveOnly") -> list[Version]:
        """The versions of one asset, newest first; empty when there is no such asset."""
        return [found for found in self._select(kind, name) if _seen(found, view)]

    def with_hash(self, content: str) -> list[Version]:
        """Code versions with this content, under whatever name: how the SDK avoids uploading a folder twice."""
        of_code = self._select(KINDS["codes"])
        return [found for found in of_code if found.properties["properties"].get("hash_sha256") == content]

    def container(self, kind: Kind, name: str) -> dict[str, Any]:
        """The ARM resource that holds all versions of one asset.

        Raises:
            Refusal: The asset has no version.
        """
        versions = self.versions(kind, name, view="All")
        if not versions:
            raise not_found(f"{kind.noun.capitalize()} container with name: {name} not found.")
        numbers = [int(found.version) for found in versions if found.version.isdigit()]
        properties: dict[str, Any] = {
            "description": None,
            "tags": {},
            "properties": {},
            "isArchived": all(found.properties["isArchived"] for found in versions),
            "latestVersion": versions[0].version,
            "nextVersion": str(max(numbers, default=0) + 1),
        }
        if kind.collection == "data":
            properties["dataType"] = versions[0].properties["dataType"]
        return {
            "id": f"{WORKSPACE_ID}/{kind.collection}/{name}",
            "name": name,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind.collection}",
            "properties": properties,
            "systemData": system_data(versions[-1].created, versions[0].modified),
        }

    def containers(self, kind: Kind, *, view: View) -> list[dict[str, Any]]:
        """The containers of one kind, newest first."""
        names = dict.fromkeys(found.name for found in self._select(kind))
        every = (self.container(kind, name) for name in names if name != "azureml_anonymous")
        return [
            found for found in every if view == "All" or found["properties"]["isArchived"] == (view == "ArchivedOnly")
        ]

    def _select(self, kind: Kind, name: str | None = None, version: str | None = None) -> list[Version]:
        rows = self._database.execute(
            "SELECT kind, name, version, properties, created, modified FROM assets"
            " WHERE kind = :kind AND (:name IS NULL OR name = :name) AND (:version IS NULL OR version = :version)"
            " ORDER BY sequence DESC",
            {"kind": kind.collection, "name": name, "version": version},
        )
        return [
            Version(KINDS[kind], name, version, json.loads(properties), _time(created), _time(modified))
            for kind, name, version, properties, created, modified in rows
        ]

    def _save(self, version: Version) -> None:
        with self._database:
            self._database.execute(
                "INSERT INTO assets (kind, name, version, created, modified, properties) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (kind, name, version) DO UPDATE SET"
                " modified = excluded.modified, properties = excluded.properties",
                (
                    version.kind.collection,
                    version.name,
                    version.version,
                    version.created.isoformat(),
                    version.modified.isoformat(),
                    json.dumps(version.properties),
                ),
            )


def system_data(created: datetime, modified: datetime) -> dict[str, str]:
    """Who touched a resource when, as every ARM answer has it."""
    by = {"By": "laptop", "ByType": "Application"}
    return {
        "createdAt": created.isoformat(),
        "lastModifiedAt": modified.isoformat(),
        **{f"created{key}": value for key, value in by.items()},
        **{f"lastModified{key}": value for key, value in by.items()},
    }


def _filled(kind: Kind, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {**kind.defaults, **{key: value for key, value in properties.items() if value is not None}}


def _seen(version: Version, view: View) -> bool:
    return view == "All" or version.properties["isArchived"] == (view == "ArchivedOnly")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _immutable(kind: Kind, name: str, version: str, *, changed: list[str]) -> Refusal:
    return user_error(
        f"A {kind.noun} with this name and version already exists ({name}:{version}). If you are trying to create a new"
        f" {kind.noun}, use a different name or version. If you are trying to update an existing {kind.noun}, the"
        f" existing asset's {', '.join(changed)} cannot be changed."
        " Only tags, description, and isArchived can be updated.",
        "BadArgument",
        "ImmutableProperty",
    )
