"""Somebody with Microsoft's SDK; importing this takes as long as importing azure.ai.ml."""

from pathlib import Path
from typing import Any

from azure.ai.ml import Input, MLClient, Output, load_component
from azure.ai.ml.entities import Data, Model, PipelineJob, PipelineJobSettings
from azure.identity import DefaultAzureCredential

from laptop.stack import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE
from tests.laptop.ml import Speaker


class Customer:
    """Orders jobs and registers models, as the function app does.

    The environment already points the SDK at the stack.
    """

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self.ml = self.fresh_client()

    def fresh_client(self) -> MLClient:
        """A client that has asked nothing yet."""
        return MLClient(DefaultAzureCredential(), SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE)

    def land(self, name: str) -> None:
        """A data asset of that name with one file."""
        self._speaker.upload("landing", **{f"{name}/a.txt": "hello"})
        path = f"azureml://datastores/landing/paths/{name}/"
        self.ml.data.create_or_update(Data(name=name, version="1", type="uri_folder", path=path))

    def order(self, name: str, pipeline: str, *, word: str = "") -> PipelineJob:
        """A job of that name on the data asset of that name."""
        inputs: dict[str, Any] = {"before": Input(type="uri_folder", path=f"azureml:{name}:1")}
        if word:
            inputs["word"] = word
        after = f"azureml://datastores/workspaceblobstore/paths/jobs/{name}/"
        job = PipelineJob(
            name=name,
            component=pipeline,
            experiment_name="shouting",
            tags={"loop": "tiny"},
            properties={"generation": "1"},
            inputs=inputs,
            outputs={"after": Output(type="uri_folder", path=after)},
        )
        job.settings = PipelineJobSettings(default_compute="cpu-cluster")
        return job

    def model(self, *, name: str = "m", version: str | None = "3", **change: Any) -> Model:  # noqa: ANN401 - Model's own
        """A model version that nobody has registered yet."""
        fields = {"tags": {"stage": "new"}, "properties": {"job": "shout"}, **change}
        path = f"azureml://datastores/models/paths/{name}/{version}/"
        return Model(name=name, version=version, type="custom_model", path=path, **fields)

    def register(self, file: Path, *, version: str) -> None:
        """Register the component of a file."""
        self.ml.components.create_or_update(load_component(file, params_override=[{"version": version}]))
