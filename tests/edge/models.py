"""A tiny real model: a logistic function of two features, exported as ONNX, with every file a model folder has."""

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass, replace
from math import exp, isnan

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from edge.keys import Key
from edge.wanted import Wanted
from sketch.profile import Profile

SIGNER, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
KEY = Key(SIGNER.public_key().public_bytes_raw())
STORE = "https://models.example/store/"
CARRIERS = ["AA", "UA", "9E"]
TEMP_WEIGHT, CARRIER_WEIGHT = 0.05, -0.4
ROWS: list[dict[str, object]] = [{"temp": 30.0 + 2 * n, "carrier": CARRIERS[n % 3]} for n in range(14)] + [
    {"temp": None, "carrier": "UA"},
    {"temp": 41.0, "carrier": None},
]


@dataclass(frozen=True)
class Folder:
    """A model folder, and the twin property that asks for it."""

    files: dict[str, bytes]
    wanted: Wanted

    def with_file(self, name: str, content: bytes) -> "Folder":
        """The same folder with one file changed, and every checksum right again."""
        return folder(self.wanted.version, self.files | {name: content}, profile=self.wanted.profile)


def model_folder(version: str = "1", *, bias: float | None = None) -> Folder:
    """Model `version`, with weights of its own; version 1 has no bias."""
    bias = (int(version) - 1) / 2 if bias is None else bias
    scores = [expected(row, bias) for row in ROWS]
    columns: dict[str, list[object]] = {name: [row[name] for row in ROWS] for name in ("temp", "carrier")}
    profile = Profile.build(columns, kinds={"temp": "number", "carrier": "category"}, scores=np.array(scores))
    files = {
        "model.onnx": graph(bias).SerializeToString(),
        "signature.json": json.dumps(signature()).encode(),
        "profile.json": profile.to_json().encode(),
        "samples.json": json.dumps({"rows": ROWS, "scores": scores, "tolerance": 1e-5}).encode(),
    }
    return folder(version, files, profile=profile.hash)


def folder(version: str, files: dict[str, bytes], *, profile: str, called: str | None = None) -> Folder:
    """A folder of these files; `called` is what its files.json says it is, if that is not the truth."""
    plain = {name: content for name, content in files.items() if name not in ("files.json", "files.sig")}
    listing = json.dumps(
        {
            "model": "flight-delays",
            "version": called or version,
            "files": {
                name: {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
                for name, content in plain.items()
            },
        }
    ).encode()
    return Folder(
        plain | {"files.json": listing, "files.sig": signed(listing, SIGNER)},
        Wanted(
            model="flight-delays",
            version=version,
            sha256=hashlib.sha256(listing).hexdigest(),
            url=f"{STORE}flight-delays/{version}/",
            profile=profile,
        ),
    )


def signed(listing: bytes, key: Ed25519PrivateKey) -> bytes:
    """Content of files.sig."""
    name = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
    signature = b64encode(key.sign(listing)).decode()
    return json.dumps({"key": name, "algorithm": "ed25519", "signature": signature}).encode()


def moved(given: Folder, url: str) -> Folder:
    """The same folder, said to be elsewhere."""
    changed = Wanted(**{name: getattr(given.wanted, name) for name in given.wanted.__struct_fields__} | {"url": url})
    return replace(given, wanted=changed)


def signature() -> dict[str, object]:
    return {
        "features": [
            {"name": "temp", "kind": "number"},
            {"name": "carrier", "kind": "category", "categories": CARRIERS},
        ],
        "input": "features",
        "output": {"name": "probabilities", "column": 1},
    }


def graph(bias: float) -> onnx.ModelProto:
    """A missing value counts as zero."""
    weights = np.array([[TEMP_WEIGHT], [CARRIER_WEIGHT]], np.float32)
    constants = {"zero": np.float32(0), "one": np.float32(1), "weights": weights, "bias": np.float32(bias)}
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["linear"]),
        helper.make_node("Add", ["linear", "bias"], ["shifted"]),
        helper.make_node("Sigmoid", ["shifted"], ["late"]),
        helper.make_node("Sub", ["one", "late"], ["in_time"]),
        helper.make_node("Concat", ["in_time", "late"], ["probabilities"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_model(
        helper.make_graph(nodes, "logistic", inputs, outputs, initializers),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=10,
    )


def expected(row: dict[str, object], bias: float = 0.0) -> float:
    temp, carrier = row["temp"], row["carrier"]
    number = float(temp) if isinstance(temp, float | int) and not isnan(temp) else 0.0
    code = CARRIERS.index(str(carrier)) if carrier in CARRIERS else 0
    return 1 / (1 + exp(-(TEMP_WEIGHT * number + CARRIER_WEIGHT * code + bias)))
