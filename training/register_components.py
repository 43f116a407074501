"""Publishes the training pipeline to an Azure Machine Learning workspace: once per deployment, as often as you like.

Usage: ``python -m training.register_components [--workspace ARM_ID] [--folder FOLDER] [--json]``; the workspace is
otherwise the setting AZUREML_WORKSPACE_ID. Whoever `DefaultAzureCredential` finds needs the role AzureML Data
Scientist.

A version that is there with the same content is left alone, after one request and without loading the SDK. The same
version with other content is an error: whoever trains with a version must be able to rely on it.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.identity import DefaultAzureCredential

ROOT = Path(__file__).parents[1]
PACKAGES = ("training", "sketch")  # what the steps import, side by side in their code folder
CONTENT = "content"  # the tag that says what a published version was made from
_ARM = "https://management.azure.com"
_API_VERSION = "2024-01-01-preview"
_WORKSPACE = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.MachineLearningServices/workspaces/([^/]+)",
    re.IGNORECASE,
)


class Unpublishable(Exception):
    """The pipeline cannot be published as it is; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Published:
    """A pipeline component in the registry.

    Args:
        name: The component's name.
        version: Its version.
        content: Hash of everything it was made from, 16 hex digits.
        new: Whether this run put it there.
    """

    name: str
    version: str
    content: str
    new: bool


def publish(workspace: str, credential: TokenCredential, *, root: Path = ROOT) -> Published:
    """Register the pipeline component, its steps, their code and their environment, unless they are there.

    Args:
        workspace: ARM id of the workspace.
        credential: Who publishes.
        root: The folder that holds ``training/`` and ``sketch/``.

    Raises:
        Unpublishable: The id is none, or the version is there with other content.
        azure.core.exceptions.AzureError: The service could not be reached, or refused.
    """
    if _WORKSPACE.fullmatch(workspace) is None:
        raise Unpublishable(f"'{workspace}' is not the ARM id of a workspace; set AZUREML_WORKSPACE_ID")
    with tempfile.TemporaryDirectory() as temporary:
        staged = Path(temporary)
        content = _stage(root, staged)
        _note_commit(root, staged / "training" / "commit.txt")
        name, version = _identity(staged / "training" / "pipeline.yml")
        existing = _published_content(workspace, credential, f"components/{name}/versions/{version}")
        if existing is None:
            _register(workspace, credential, staged / "training", content=content)
        elif existing != content:
            raise Unpublishable(
                f"{name}:{version} is already published, made from other files ({existing}, now {content});"
                " raise `version` in training/pipeline.yml, and `pipeline` in the loop files that should use it"
            )
    return Published(name, version, content, new=existing is None)


def _identity(pipeline: Path) -> tuple[str, str]:
    """Name and version, read without the SDK, whose import takes longer than everything else here."""
    found = dict(
        re.findall(r"""^(name|version):\s*["']?([\w.-]+)["']?\s*$""", pipeline.read_text("utf-8"), re.MULTILINE)
    )
    if set(found) != {"name", "version"}:
        raise Unpublishable(f"{pipeline.name} says no plain `name` and `version` at its top level; give it both")
    return found["name"], found["version"]


def _stage(root: Path, staged: Path) -> str:
    """Copy what the steps need, and nothing else, so that equal files give equal versions; the hash of it all."""
    whole = hashlib.sha256()
    for package in PACKAGES:
        for source in sorted((root / package).iterdir()):
            if source.suffix not in (".py", ".yml") or source.name == Path(__file__).name:
                continue
            target = staged / package / source.name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
            whole.update(f"{package}/{source.name}\0".encode() + hashlib.sha256(source.read_bytes()).digest())
    return whole.hexdigest()[:16]


def _note_commit(root: Path, note: Path) -> None:
    """Leave beside the scripts which commit they are, for the report; nothing where git does not know the folder.

    It is no part of the content: the same files from another commit are the same version.
    """
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - fixed words and our folder
    except (OSError, subprocess.CalledProcessError):
        return
    note.write_text(said.stdout, encoding="utf-8")


def _published_content(workspace: str, credential: TokenCredential, resource: str) -> str | None:
    """What a published version was made from: its tag, empty if it has none; None if there is no such version."""
    endpoint = os.environ.get("AZUREML_DEV_URL_MFE", _ARM)  # the SDK's own switch
    policies = [RetryPolicy(), BearerTokenCredentialPolicy(credential, f"{_ARM}/.default")]
    client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(endpoint, policies=policies)
    with client:
        url = f"{endpoint}{workspace}/{resource}?api-version={_API_VERSION}"
        answer = client.send_request(HttpRequest("GET", url))
        if answer.status_code == 404:  # noqa: PLR2004 - not found
            return None
        answer.raise_for_status()
        properties: Mapping[str, Any] = answer.json()["properties"]
    return str(properties["tags"].get(CONTENT, ""))


def _register(workspace: str, credential: TokenCredential, folder: Path, *, content: str) -> None:
    from azure.ai.ml import MLClient, load_component, load_environment  # noqa: PLC0415 - takes seconds; seldom needed

    _, _, subscription, _, group, *_, name = workspace.split("/")
    client = MLClient(credential, subscription, group, name)
    client.environments.create_or_update(load_environment(folder / "environment.yml"))
    component = load_component(folder / "pipeline.yml", params_override=[{"tags": {CONTENT: content}}])
    client.components.create_or_update(component)


def main() -> int:
    """Publish, and say what was done; 1 with a sentence when it cannot be."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--workspace", default=os.environ.get("AZUREML_WORKSPACE_ID", ""), help="ARM id")
    arguments.add_argument("--folder", type=Path, default=ROOT, help="the folder that holds training/ and sketch/")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    options = arguments.parse_args()
    try:
        done = publish(options.workspace, DefaultAzureCredential(), root=options.folder)
    except (Unpublishable, AzureError) as problem:
        print(f"not published: {problem}", file=sys.stderr)
        return 1
    word = "published" if done.new else "already published"
    print(json.dumps(asdict(done)) if options.json else f"{word} {done.name}:{done.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
