"""`refluent approve`: a person's word is taken for a model that devices would take, and for no other."""

import base64
import json
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from functions.errors import Refused
from functions.journal import entries
from functions.model_folder import listing
from functions.operator.cli import app
from functions.ports import ModelVersion
from functions.wiring import using
from sketch.profile import Profile
from tests.fakes.cloud import FakeCloud

MODEL = "flight-delays"
PROFILE = Profile.build({"temp": np.array([30.0, 41.0])}, kinds={"temp": "number"}, scores=np.array([0.1, 0.3]))
FILES = {
    "model.onnx": b"onnx",
    "signature.json": b"{}",
    "profile.json": PROFILE.to_json().encode(),
    "samples.json": b"[]",
}


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def by_hand(here: FakeCloud, *, without: str = "", **lineage: str) -> None:
    """Version 7, registered by somebody who did all that is needed, but for what a test leaves out or changes."""
    listed = listing(MODEL, "7", FILES)
    for name, data in {**FILES, "files.json": listed}.items():
        if name != without:
            here.blobs.put("models", f"handmade/{name}", data)
    said = {"sha256": sha256(listed).hexdigest(), "profile": PROFILE.hash, **lineage}
    facts = {name: value for name, value in said.items() if value}
    here.registry.register(ModelVersion(MODEL, "7", "handmade", facts))


def approve(model: str = f"{MODEL}:7", because: str = "tried it at lga for a week", *more: str) -> Result:
    return CliRunner().invoke(app, ["approve", model, "--because", because, *more])


def refusal(result: Result) -> Refused:
    assert isinstance(result.exception, Refused)
    return result.exception


def test_an_approval_is_a_row_for_the_rollout_and_an_entry_for_people(here: FakeCloud) -> None:
    by_hand(here)
    assert approve().exit_code == 0
    stored = here.rows.get("pins", MODEL, "approve:7")
    assert stored is not None
    assert (stored.row["version"], stored.row["ring"]) == ("7", "")
    assert stored.row["because"] == "tried it at lga for a week"
    (entry,) = entries(here.rows, [MODEL])
    assert (entry.slice, entry.subject, entry.decision) == ("operator", f"{MODEL}:7", "Approve")
    assert entry.reason == "approved by an operator: tried it at lga for a week; its files were signed"


def test_whom_a_person_vouches_for_is_signed_with_the_app_s_key(here: FakeCloud) -> None:
    by_hand(here)
    approve()
    signature = json.loads(here.blobs.blobs["models", "handmade/files.sig"])
    assert here.signer.key is not None
    here.signer.key.public_key().verify(
        base64.b64decode(signature["signature"]), here.blobs.blobs["models", "handmade/files.json"]
    )
    again = json.loads(approve(f"{MODEL}:7", "once more", "--json").stdout)
    assert (again["signed"], again["because"]) == (False, "once more")


def test_a_signature_of_somebody_else_is_never_replaced(here: FakeCloud) -> None:
    by_hand(here)
    here.blobs.put("models", "handmade/files.sig", b"somebody's")
    assert "not made by this app's key" in refusal(approve()).why
    assert here.rows.get("pins", MODEL, "approve:7") is None


def test_an_approval_given_twice_keeps_the_newer_reason(here: FakeCloud) -> None:
    by_hand(here)
    approve()
    approve(f"{MODEL}:7", "and at jfk", "--ring", "canary")
    stored = here.rows.get("pins", MODEL, "approve:7")
    assert stored is not None
    assert (stored.row["because"], stored.row["ring"]) == ("and at jfk", "canary")


@pytest.mark.parametrize("name", [*FILES, "files.json"])
def test_a_folder_that_lacks_a_file_is_not_approved(here: FakeCloud, name: str) -> None:
    by_hand(here, without=name)
    assert refusal(approve()).why == f"models/handmade/ lacks {name}"
    assert here.rows.get("pins", MODEL, "approve:7") is None


def test_everything_that_an_onnx_file_alone_lacks_is_said_at_once(here: FakeCloud) -> None:
    here.blobs.put("models", "by-hand/model.onnx", b"onnx")
    here.registry.register(ModelVersion(MODEL, "3", "by-hand", {}))
    problem = refusal(approve(f"{MODEL}:3"))
    assert problem.why == (
        "models/by-hand/ lacks signature.json, profile.json, samples.json, files.json; "
        "it was registered without the property sha256; it was registered without the property profile"
    )
    assert "Your own model" in problem.fix


def test_a_model_whose_files_are_elsewhere_is_not_approved(here: FakeCloud) -> None:
    here.registry.register(ModelVersion(MODEL, "3", "", {}))
    assert refusal(approve(f"{MODEL}:3")).why == "its files are not in the container models"


@pytest.mark.parametrize(
    ("lineage", "why"),
    [
        ({"profile": ""}, f"it was registered without the property profile ({PROFILE.hash})"),
        ({"profile": "0" * 16}, f"its property profile is {'0' * 16}, and should be {PROFILE.hash}"),
        ({"sha256": "ab" * 32}, f"its property sha256 is {'ab' * 32}, and should be "),
    ],
)
def test_properties_that_deployments_are_made_from_must_be_right(
    here: FakeCloud, lineage: dict[str, str], why: str
) -> None:
    by_hand(here, **lineage)
    assert refusal(approve()).why.startswith(why)


def test_files_that_changed_since_they_were_listed_are_not_approved(here: FakeCloud) -> None:
    by_hand(here)
    here.blobs.put("models", "handmade/model.onnx", b"another")
    assert refusal(approve()).why == f"files.json does not name {MODEL}:7 with the digests of its files"


def test_what_does_not_exist_is_said_with_what_does(here: FakeCloud) -> None:
    by_hand(here)
    assert refusal(approve("turbines:7")).fix == f"the loops are {MODEL}"
    assert refusal(approve(f"{MODEL}:8")).fix == "give MODEL:VERSION; the versions are 7"
    assert refusal(approve(MODEL)).fix == "give MODEL:VERSION; the versions are 7"
    assert refusal(approve(f"{MODEL}:7", "why not", "--ring", "moon")).fix == "the rings are canary, everywhere"
    assert refusal(approve(f"{MODEL}:7", " ")).why == "no reason is given"


def test_without_a_key_nothing_is_signed_and_another_key_is_another_signature(here: FakeCloud) -> None:
    by_hand(here)
    here.signer.key = None
    assert "signed" not in approve().stdout
    assert here.blobs.read("models", "handmade/files.sig") is None
    here.signer.key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    approve()
    here.signer.key = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    assert "not made by this app's key" in refusal(approve()).why
