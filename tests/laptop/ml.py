"""A workspace that serves and runs, for the tests that speak to it."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from azure.storage.blob import BlobServiceClient

from laptop.event_grid.relay import Event
from laptop.identity import Identity
from laptop.ml.runs import ENDED
from laptop.ml.workspace import STUDIO, MlWorkspace
from laptop.stack import ACCOUNT, ACCOUNT_KEY, BLOB_PORT, IDENTITY_PORT, ML_PORT, WORKSPACE_ID, Stack
from laptop.storage.front import front
from laptop.tls import client_context
from tests.laptop.serving import eventually, http_server, https_server, serving
from tests.patience import HANGS_S

VERSION = {"api-version": "2024-01-01-preview"}
TEXT = {"type": "string"}
BLOCK = "sleep 300 & echo $! > ${{inputs.mark}}/waiting; wait"  # a grandchild: bash itself would be easy to end


@dataclass(frozen=True, slots=True)
class Speaker:
    """Speaks to a workspace over plain HTTP, with the right tokens, and hears its events."""

    stack: Stack
    http: httpx.Client
    blobs: BlobServiceClient
    events: list[Event] = field(default_factory=list)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(WORKSPACE_ID + path, params=VERSION)

    def put(self, path: str, **properties: object) -> httpx.Response:
        return self.http.put(WORKSPACE_ID + path, params=VERSION, json={"properties": properties})

    def register(self, name: str, specification: dict[str, Any]) -> str:
        answer = self.put(f"/components/{name}/versions/1", componentSpec=specification)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    def submit(self, name: str, component: str, **inputs: object) -> httpx.Response:
        values = {key: value if isinstance(value, dict) else literal(value) for key, value in inputs.items()}
        return self.put(f"/jobs/{name}", jobType="Pipeline", componentId=component, inputs=values)

    def status(self, job: str) -> str:
        return str(self.get(f"/jobs/{job}").json()["properties"]["status"])

    def ended(self, job: str) -> str:
        eventually(lambda: self.status(job) in ENDED, f"{job} did not end")
        return self.status(job)

    def details(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/laptop/runs/{job}").json()
        return found

    def requests(self) -> int:
        return int(self.http.get("/laptop/requests").json()["count"])

    def upload(self, container: str, **files: str) -> None:
        eventually(self.blobs.get_container_client(container).exists, f"there is no container {container}")
        for name, text in files.items():
            self.blobs.get_blob_client(container, name).upload_blob(text, overwrite=True)

    def read(self, container: str, name: str) -> str:
        return self.blobs.get_blob_client(container, name).download_blob().readall().decode()

    def told(self, job: str) -> list[object]:
        """The statuses the events said, in order; RunCompleted as itself."""
        mine = [event for event in self.events if event.subject.endswith(f"/runs/{job}")]
        return [event.data.get("runStatus", event.type.rpartition(".")[2]) for event in mine]


def literal(value: object) -> dict[str, object]:
    return {"jobInputType": "literal", "value": str(value)}


def folder(uri: str) -> dict[str, object]:
    return {"jobInputType": "uri_folder", "uri": uri}


@contextmanager
def workspace(stack: Stack) -> Iterator[Speaker]:
    """A workspace on the stack's Azurite, with its identity and its blob front, until the block ends."""
    identity = Identity(stack)
    events: list[Event] = []

    async def hear(event: Event) -> None:
        events.append(event)

    async def ignore(_: Event) -> None:
        return

    serves = MlWorkspace(stack, identity, hear)
    headers = {"Authorization": f"Bearer {identity.token('https://management.azure.com')}"}
    headers["x-azureml-token"] = identity.token(STUDIO)
    servers = (
        https_server(front(stack, ignore), stack, BLOB_PORT),
        https_server(serves.app(), stack, ML_PORT),
        http_server(identity.app(), stack, IDENTITY_PORT),
    )
    with (
        serving(*servers, beside=[serves.run]),
        httpx.Client(base_url=stack.ml_url, headers=headers, verify=client_context(stack), trust_env=False) as http,
        BlobServiceClient(
            stack.blob_url,
            credential={"account_name": ACCOUNT, "account_key": ACCOUNT_KEY},
            connection_verify=str(stack.authority),
        ) as blobs,
    ):
        yield Speaker(stack, http, blobs, events)


def same_storage(stack: Stack, home: Path) -> Stack:
    """A stack with a home of its own beside another one's Azurite and certificates."""
    shutil.copytree(stack.home / "tls", home / "tls")
    return Stack(stack.address, home)


def process_is_gone(process_id: int) -> bool:
    """Whether a process has ended; one that its parent has not collected counts as gone."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


def written(file: Path) -> str:
    """A file's text once it has any."""
    deadline = time.monotonic() + HANGS_S
    while not (file.exists() and file.read_text(encoding="utf-8").endswith("\n")):
        assert time.monotonic() < deadline, f"{file.name} was not written"
        time.sleep(0.01)
    return file.read_text(encoding="utf-8").strip()


def one_step(command: str, **more: object) -> dict[str, object]:
    """A component of one command with one text input named mark."""
    return {"type": "command", "command": command, "inputs": {"mark": TEXT}, **more}


def blocking(speaker: Speaker, name: str, mark: Path, command: str = BLOCK) -> int:
    """Submit a job that waits; the id of the process it waits with."""
    step = speaker.register(f"{name}-step", one_step(command))
    jobs = {"wait": {"componentId": step, "inputs": {"mark": "${{parent.inputs.mark}}"}}}
    pipeline = speaker.register(name, {"type": "pipeline", "inputs": {"mark": TEXT}, "jobs": jobs})
    assert speaker.submit(name, pipeline, mark=mark).status_code == 201
    return int(written(mark / "waiting"))
