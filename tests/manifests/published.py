"""The JSON schemas published for deployment manifests, where they lie beside the project: it has no copy of them."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft4Validator

FOLDER = Path(__file__).parents[3] / "shared" / "data"


def schema(name: str) -> Draft4Validator:
    """A published schema; without it, the test that asks is skipped."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {FOLDER}: it comes from SchemaStore, and no copy is kept here")
    return Draft4Validator(json.loads(path.read_text("utf-8")))
