"""What a model image is made of: the slim edge image, one model's files, and its lineage as labels. Pure."""

import gzip
import io
import json
import re
import tarfile
from collections.abc import Mapping
from hashlib import sha256

from functions.ports import ModelVersion

SHELF = "/opt/model"  # not the folder of the base image: that one is a volume, and a build cannot fill it
EDGE_USER = 10001
_PLAIN = re.compile(r"[\w.:#@/ +-]{1,200}")


def name(model: ModelVersion, base: str) -> str:
    """The build's name: the same model on the same base is the same build."""
    content = "\n".join((model.model, model.version, model.lineage["sha256"], base))
    return f"model-{sha256(content.encode()).hexdigest()[:24]}"


def context(model: ModelVersion, files: Mapping[str, bytes], *, base: str, store: str) -> bytes:
    """The build's context, tar and gzip: the same input gives the same bytes.

    Args:
        model: As the registry has it.
        files: The model's files, files.json and files.sig included.
        base: Digest-pinned edge image.
        store: URL of the models container; a model image never asks it, but a device's program wants to know.
    """
    digest = model.lineage["sha256"]
    served = {
        "model": model.model,
        "version": model.version,
        "sha256": digest,
        "url": f"{store}{model.folder}/",
        "profile": model.lineage["profile"],
    }
    members = {
        "Dockerfile": _dockerfile(model, base, store).encode(),
        "shelf/served.json": json.dumps([served]).encode(),
        **{f"shelf/{digest}/{file}": content for file, content in files.items()},
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(members.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def _dockerfile(model: ModelVersion, base: str, store: str) -> str:
    labels = {
        "org.opencontainers.image.title": model.model,
        "org.opencontainers.image.version": model.version,
        **{f"refluent.{key}": value for key, value in sorted(model.lineage.items()) if _PLAIN.fullmatch(key)},
    }
    plain = {key: value for key, value in labels.items() if _PLAIN.fullmatch(value)}
    told = " ".join(f'"{key}"="{value}"' for key, value in plain.items())
    return "\n".join(
        (
            f"FROM {base}",
            f"LABEL {told}",
            f"COPY --chown={EDGE_USER} shelf {SHELF}",
            f"ENV MODEL_FOLDER={SHELF} MODEL_STORE_URL={store} HUB=none",
            "",
        )
    )
