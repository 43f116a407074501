import json
from pathlib import Path

from typer.testing import CliRunner

from functions.operator.cli import app
from tests.manifests.wild import base, changed

RUN = CliRunner()


def written(folder: Path, name: str, document: object) -> str:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def test_manifests_from_anywhere_are_checked_without_a_cloud(tmp_path: Path) -> None:
    good = written(tmp_path, "good.json", base())
    bad = written(tmp_path, "bad.json", changed("A/modules/filter/status", "started"))
    other = written(tmp_path, "package.json", {"name": "x"})
    answer = RUN.invoke(app, ["plan", "--json", "--manifest", good, bad, other])
    assert answer.exit_code == 1
    told = json.loads(answer.stdout)
    assert [(one["file"], one["kind"]) for one in told] == [(good, "base"), (bad, "base"), (other, "not-a-deployment")]
    assert told[0]["findings"] == []
    (wrong,) = told[1]["findings"]
    assert set(wrong) == {"severity", "code", "pointer", "reason", "fix"}
    assert (wrong["severity"], wrong["code"]) == ("error", "MODULE_STATUS")


def test_warnings_and_policies_leave_the_exit_code_at_zero(tmp_path: Path) -> None:
    path = written(tmp_path, "x.json", changed("A/modules/filter/settings/image", "docker.io/x:1"))
    answer = RUN.invoke(app, ["plan", "--manifest", path, "--manifest", path, "--registry", "contoso.azurecr.io"])
    assert answer.exit_code == 0
    assert answer.stdout.count("IMAGE_DIGEST") == 2
    assert "IMAGE_REGISTRY" in answer.stdout


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    answer = RUN.invoke(app, ["plan", "--json", "--manifest", str(tmp_path / "none.json")])
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)[0]["findings"][0]["code"] == "FILE_UNREADABLE"
