"""Every performance claim, one command each."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when ONNX Runtime is imported: decision 0084
