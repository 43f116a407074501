"""Every event that enters or leaves the backend, named in the past tense; wire spellings are aliases."""

from typing import Annotated, Literal

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field

Bytes = Annotated[int, Field(ge=0, lt=2**63)]
ETag = Annotated[str, Field(pattern=r"^[!-~]{1,256}$")]
Version = Annotated[str, Field(pattern=r"^[0-9]{1,9}$", coerce_numbers_to_str=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]

type Harm = Literal["harmful", "harmless", "unknown"]  # what is known of what drift does

type Scope = Literal["device", "site", "fleet"]  # how far drift reaches

type Trigger = Literal["data", "drift", "code", "schedule", "operator"]  # what a job was started for


class Event(BaseModel):
    """Something that happened; never changed after it is read."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, allow_inf_nan=False, defer_build=True)


# What Azure tells us


class DataUploaded(Event):
    """A site's cloud share wrote one version of one blob into a landing container.

    Source: Microsoft.Storage.BlobCreated, schema version 1.
    """

    container: str
    blob: str
    api: str
    etag: ETag = Field(alias="eTag")
    size_bytes: Bytes = Field(alias="contentLength")
    blob_type: str = Field(alias="blobType")


class RunEnded(Event):
    """Azure Machine Learning says that a run changed its status; the status itself is read from the service.

    Source: Microsoft.MachineLearningServices.RunCompleted and RunStatusChanged.
    """

    run: str = Field(validation_alias=AliasChoices("runId", "RunId"), min_length=1)


class ModelRegistered(Event):
    """Azure Machine Learning stored a model version; what it is, is read from the registry.

    Source: Microsoft.MachineLearningServices.ModelRegistered. Samples spell PascalCase with an integer version,
    the OpenAPI camelCase with a string: both are taken.
    """

    model: Name = Field(validation_alias=AliasChoices("ModelName", "modelName"))
    version: Version = Field(validation_alias=AliasChoices("ModelVersion", "modelVersion"))


# What continuous integration tells us, as a CloudEvent on the custom topic


class TrainingCodeChanged(Event):
    """A new version of a loop's pipeline component was published, and should train."""

    loop: str
    version: str = Field(pattern=r"^[0-9A-Za-z.]{1,30}$")
    reason: str = Field("", max_length=500)


# What we tell the world, as CloudEvents on the custom topic


class TrainingLaunched(Event):
    """A retraining job was accepted by Azure Machine Learning."""

    loop: str
    generation: int
    job: str
    trigger: Trigger
    files: int
    reason: str


class DataQuarantined(Event):
    """An input that can never be used was set aside with its reason."""

    entry: str
    code: str
    reason: str
    stored_as: str


class TransferIncomplete(Event):
    """A site's batch did not come as it was sent; it trains once it does.

    Args:
        transfer: The manifest's blob.
        missing: Names of files that did not come, the first hundred.
        different: Name -> what differs, likewise.
    """

    loop: str
    site: str
    transfer: str
    missing: list[str]
    different: dict[str, str]
    reason: str


class ModelRejected(Event):
    """A trained model was judged and not registered."""

    loop: str
    job: str
    reason: str


class RolloutAdvanced(Event):
    """A model version may now reach the devices of one more ring."""

    loop: str
    version: str
    ring: str
    deployment: str
    reason: str


class RolloutPaused(Event):
    """A model version stays where it is until somebody looks."""

    loop: str
    version: str
    ring: str
    reason: str


class RolledBack(Event):
    """A model version was taken from the devices that had it; they serve the last good one again."""

    loop: str
    version: str
    ring: str
    to: str
    reason: str


class DriftDetected(Event):
    """A drift began: inputs, or a model's outputs, no longer look like the training data. Told once per episode.

    Args:
        device: The device with the most evidence of what is explained.
        feature: What most of the devices share; "score" for the model's answers.
        explanation: With numbers, such as "temp, share above 39.04: 49 % → 100 % on 3 of 3 devices (all sites)".
        scope: Whether it is one device, or several without a place in common; a site; or the fleet.
        devices: Those that drift, the most evidence first; the first thousand.
        episode: Its name, "loop~number"; "" from an earlier release.
        harm: Whether the model's answers cost more than was promised, as far as is known by now.
        harm_reason: How that is known, with its numbers.
    """

    loop: str
    device: str
    version: Version
    feature: str
    explanation: str
    at: AwareDatetime
    scope: Scope = "device"
    devices: list[str] = []
    episode: str = ""
    harm: Harm = "unknown"
    harm_reason: str = ""


class DriftResolved(Event):
    """A drift that was told of is over.

    Args:
        devices: How many had it.
        reason: Why it is over: calm again, another model, or silence.
    """

    loop: str
    episode: str
    version: Version
    scope: Scope
    devices: int
    reason: str
    at: AwareDatetime
