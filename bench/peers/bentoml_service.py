"""BentoML's service for the same graph; runs in a virtual environment of its own."""

import os

import bentoml  # type: ignore[import-not-found] # see above
import numpy as np
import onnxruntime as ort


@bentoml.service(workers=1)
class Scorer:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api  # type: ignore[untyped-decorator] # see above
    def score(self, features: list[list[float]]) -> list[float]:
        tensor = np.asarray(features, np.float32)
        scores: list[float] = self.session.run(["probabilities"], {"features": tensor})[0][:, 1].tolist()
        return scores
