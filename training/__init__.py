"""The sample training pipeline: plain scripts that Azure Machine Learning runs; they import only sketch/."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when ONNX Runtime is imported: decision 0084
