"""`refluent profile show`: a profile from a file or from the store, readable, or refused with the reason."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from functions.errors import Refused
from functions.operator.cli import app
from functions.wiring import using
from sketch.profile import Profile
from tests.fakes.cloud import FakeCloud

PROFILE = Profile.build(
    {"temp": np.linspace(10, 30, 400), "line": ["A"] * 300 + ["B"] * 100, "hour": np.arange(400) % 24},
    kinds={"temp": "number", "line": "category"},
    scores=np.linspace(0, 1, 400),
    contexts=["hour"],
)


def show(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["profile", "show", *arguments], env={"COLUMNS": "200"})


def test_a_profile_is_shown_from_a_file_and_from_the_store(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_text(PROFILE.to_json(), encoding="utf-8")
    shown = show(str(file), "--plot", str(tmp_path / "x.png"))
    assert shown.exit_code == 0, shown.output
    assert f"profile {PROFILE.hash}: 400 rows" in shown.stdout
    assert "A 75 %, B 25 %" in shown.stdout
    assert "24 contexts by hour" in shown.stdout
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    here = FakeCloud()
    here.blobs.put("models", "flights/3/profile.json", PROFILE.to_json().encode())
    with using(here):
        assert json.loads(show("flights:3", "--json").stdout)["hash"] == PROFILE.hash


@pytest.mark.parametrize(("name", "said"), [("gone:9", "there is no profile"), ("pyproject.toml", "is no profile")])
def test_what_is_no_profile_is_refused(name: str, said: str) -> None:
    with using(FakeCloud()):
        refused = show(name).exception
    assert isinstance(refused, Refused)
    assert said in refused.what
