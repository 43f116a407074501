"""LitServe's server for the same graph; runs in a virtual environment of its own."""

import os
import sys

import litserve as ls  # type: ignore[import-not-found] # see above
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray


class Scorer(ls.LitAPI):  # type: ignore[misc] # see above
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict[str, list[list[float]]]) -> NDArray[np.float32]:
        return np.asarray(request["features"], np.float32)

    def predict(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self.session.run(["probabilities"], {"features": tensor})[0][:, 1]
        return scores

    def encode_response(self, scores: NDArray[np.float32]) -> dict[str, list[float]]:
        return {"scores": scores.tolist()}


if __name__ == "__main__":
    server = ls.LitServer(Scorer(), accelerator="cpu", workers_per_device=1)
    server.run(host=sys.argv[1], port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
