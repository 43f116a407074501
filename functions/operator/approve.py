"""A person vouches for a model: what a device needs is checked first, then the order is written for the rollout."""

import json
from typing import Annotated

import typer

from functions.errors import Refused
from functions.journal import Entry, record
from functions.model_folder import missing_of, signature_of
from functions.ports import ModelVersion, Row
from functions.wiring import Cloud, cloud

PINS = "pins"


def approve(
    model: Annotated[str, typer.Argument(help="MODEL:VERSION, as the registry has it.")],
    because: Annotated[str, typer.Option(help="Your reason; it is kept in the journal.")],
    ring: Annotated[str, typer.Option(help="Let it into this ring only; otherwise into every one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,  # noqa: FBT002  # typer's flags are arguments with defaults
) -> None:
    """Let a model reach the devices that waits for a person; say what is missing if no device would take it."""
    here = cloud()
    found = _found(here, model, because=because, ring=ring)
    signed = _usable(here, found)
    row: Row = {"version": found.version, "ring": ring, "because": because, "at": here.now()}
    key = f"approve:{found.version}"
    if not here.rows.insert(PINS, found.model, key, row=row):
        here.rows.change(PINS, found.model, keys=[key], values=row)
    where = f" for ring {ring}" if ring else ""
    reason = f"approved by an operator{where}: {because}" + ("; its files were signed" if signed else "")
    record(here.rows, Entry(here.now(), found.model, "operator", model, "Approve", reason))
    said = {"model": found.model, "version": found.version, "ring": ring, "because": because, "signed": signed}
    typer.echo(json.dumps(said) if as_json else f"{model} is {reason}; see refluent watch")


def _found(here: Cloud, name: str, *, because: str, ring: str) -> ModelVersion:
    """The version that is meant.

    Raises:
        Refused: There is no such loop, ring or version, or no reason was given.
    """
    model, _, version = name.partition(":")
    loop = here.settings.loops.get(model)
    if loop is None:
        raise _no(name, f"no loop has the model {model!r}", f"the loops are {', '.join(here.settings.loops)}")
    rings = [one.name for one in loop.rollout.ring]
    if ring and ring not in rings:
        raise _no(name, f"its loop has no ring {ring!r}", f"the rings are {', '.join(rings)}")
    if not because.strip():
        raise _no(name, "no reason is given", 'say why: --because "…"')
    found = here.registry.get(model, version) if version.isdigit() else None
    if found is None:
        known = ", ".join(one.version for one in here.registry.versions(model)) or "none"
        raise _no(name, f"the registry has no version {version!r}", f"give MODEL:VERSION; the versions are {known}")
    return found


def _usable(here: Cloud, model: ModelVersion) -> bool:
    """Check that devices would take the model; True if its files were signed for that.

    Raises:
        Refused: A device would refuse it; the reason names everything that is missing.
    """
    missing = missing_of(here.blobs, model)
    if missing:
        fix = "register a new version that has all of it; docs/loops.md, Your own model, says how"
        raise _no(f"{model.model}:{model.version}", "; ".join(missing), fix)
    return signature_of(here.blobs, here.signer, model)


def _no(name: str, why: str, fix: str) -> Refused:
    return Refused(f"{name} is not approved", why=why, fix=fix)
