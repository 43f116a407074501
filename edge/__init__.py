"""The inference module of an edge device: one small ASGI program and the module client beside it."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when ONNX Runtime is imported: decision 0084
