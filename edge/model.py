"""A loaded model: checked, warmed, immutable, ready to be swapped in by one reference assignment."""

from dataclasses import dataclass
from itertools import cycle, islice
from typing import Annotated, Any

import msgspec
import numpy as np
import onnxruntime as ort
from msgspec import Meta, Struct
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edge.body import Columns
from edge.errors import EdgeError, Unfit
from edge.shelf import Contents
from edge.signature import Batch, Signature, read_signature
from edge.wanted import Wanted
from sketch.features import CategoryFeature
from sketch.profile import Profile
from sketch.sketch import Sketch

WARM_ROWS = (1, 100)  # batch sizes run before a model serves: its first request then meets no first-time cost

RUNTIME_ERRORS: tuple[type[Exception], ...] = (  # onnxruntime's exceptions share no base of their own
    *(error for error in vars(ort_errors).values() if isinstance(error, type) and issubclass(error, Exception)),
    RuntimeError,
    ValueError,
    MemoryError,
)


class Samples(Struct, frozen=True):
    """The file samples.json: rows with the scores the model gave them at training."""

    rows: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=1_000)]
    scores: list[float]
    tolerance: Annotated[float, Meta(ge=0, le=1e-3)]  # a wide tolerance would pass any model


class ScoringFailed(EdgeError):
    """The model could not score rows that its signature accepts."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One model that can serve.

    Args:
        wanted: Which model it is.
        signature: What its rows look like.
        profile: The reference its sketches are made with.
        session: The graph, loaded.
        head: How each of its answers begins, as JSON; the scores follow.
    """

    wanted: Wanted
    signature: Signature
    profile: Profile
    session: ort.InferenceSession
    head: bytes

    def score(self, batch: Batch) -> NDArray[np.float32]:
        """Score rows that this model's signature has read.

        Returns:
            One score per row, shape (rows,).

        Raises:
            ScoringFailed: The graph itself failed.
        """
        output, tensor = self.signature.document.output, self.signature.tensor(batch)
        try:
            scores = self.session.run([output.name], {self.signature.document.input: tensor})[0]
        except RUNTIME_ERRORS as error:
            raise ScoringFailed(
                f"model {self.wanted} could not score {len(tensor)} rows",
                why=str(error),
                fix="compare the rows with samples.json; if they look alike, roll the model back",
            ) from error
        column: NDArray[np.float32] = scores[:, output.column]
        return column


def load_model(contents: Contents, wanted: Wanted) -> Model:
    """Load a model, warm it, and compare its scores with those it gave at training.

    Raises:
        Unfit: A file is unusable, the files do not belong together, the graph does not load or does not go with its
            signature, or it scores differently here.
    """
    signature, profile = read_signature(contents["signature.json"]), _profile(contents["profile.json"], wanted)
    _compare_features(signature, profile)
    head = f'{{"model":"{wanted.model}","version":"{wanted.version}","scores":'.encode()  # names need no escapes
    model = Model(wanted, signature, profile, _session(contents["model.onnx"]), head)
    _compare_graph(model)
    try:
        samples = msgspec.json.decode(contents["samples.json"], type=Samples)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Unfit(
            "the model's samples.json cannot be read", why=str(problem), fix="train the model again"
        ) from problem
    columns = signature.convert(samples.rows)
    _compare_scores(model, columns, samples)
    _warm(model, columns)
    return model


def _profile(text: bytes, wanted: Wanted) -> Profile:
    try:
        profile = Profile.from_json(text.decode())
    except ValueError as problem:
        raise Unfit(
            "the model's profile.json cannot be read", why=str(problem), fix="train the model again"
        ) from problem
    if profile.hash != wanted.profile:
        raise Unfit(
            "the model's profile is not the one the deployment names",
            why=f"profile.json has hash {profile.hash}, the twin says {wanted.profile}",
            fix="deploy the profile hash that was registered with the model",
        )
    return profile


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # small batches: more threads cost more than they bring, and starve the endpoint
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        raise Unfit(
            "ONNX Runtime cannot load the model",
            why=str(error),
            fix=f"export it with an opset that ONNX Runtime {ort.__version__} knows",
        ) from error


def _compare_graph(model: Model) -> None:
    document, features = model.signature.document, len(model.signature.kinds)
    inputs = [(entry.name, entry.type, entry.shape[1:]) for entry in model.session.get_inputs()]
    if inputs not in (
        [(document.input, "tensor(float)", [features])],
        [(document.input, "tensor(float)", [None])],
    ) or document.output.name not in {entry.name for entry in model.session.get_outputs()}:
        raise Unfit(
            "the model's graph does not go with its signature",
            why=f"its inputs are {inputs}, its outputs {[entry.name for entry in model.session.get_outputs()]}",
            fix=f"export one float input {document.input!r} of {features} columns "
            f"and an output {document.output.name!r}",
        )


def _compare_scores(model: Model, columns: Columns, samples: Samples) -> None:
    try:
        scores = model.score(model.signature.batch(columns))
    except (ScoringFailed, IndexError, TypeError) as problem:
        raise Unfit(
            "the model cannot score its own samples", why=str(problem), fix="train the model again"
        ) from problem
    expected = np.asarray(samples.scores, dtype=np.float64)
    if scores.shape != expected.shape or not np.all(np.abs(scores - expected) <= samples.tolerance):
        worst = float(np.max(np.abs(scores - expected))) if scores.shape == expected.shape else float("nan")
        raise Unfit(
            "the model scores its own samples differently here than at training",
            why=f"{scores.shape[0]} scores, {expected.shape[0]} expected, off by up to {worst:.3g}, "
            f"tolerance {samples.tolerance:.3g}",
            fix="compare the versions of ONNX Runtime at training and on the device, then train again",
        )


def _compare_features(signature: Signature, profile: Profile) -> None:
    kinds = signature.kinds
    profiled = {
        feature.name: "category" if isinstance(feature, CategoryFeature) else "number" for feature in profile.features
    }
    if profiled != kinds:
        differing = sorted(name for name in kinds.keys() | profiled.keys() if kinds.get(name) != profiled.get(name))
        raise Unfit(
            "the model's profile does not go with its signature",
            why=f"they differ in {differing}",
            fix="write profile.json and signature.json in the same training run",
        )


def _warm(model: Model, columns: Columns) -> None:
    for count in WARM_ROWS:
        batch = model.signature.batch([list(islice(cycle(column), count)) for column in columns])
        Sketch(model.profile).add(model.signature.named(batch), model.score(batch))
