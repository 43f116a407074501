"""References to container images, as IoT Edge reads them and as our fence wants them."""

import re
from collections.abc import Iterator, Sequence

from functions.manifests.findings import Finding, Place, finding
from functions.manifests.placeholders import holds

RUNTIME_REGISTRY = "mcr.microsoft.com"
_READ = re.compile(r"(?:[^/]*/)*[^/:]+(?::[^/:]+)?")  # as edgeAgent does (DockerConfig.cs)
_UPSTREAM = re.compile(r"(?i)\$upstream:[1-9].*")
_STRANGE = re.compile(r"[^\w.\-/:@+$\[\]{}<>%#]")  # brackets and the like: somebody's own way to leave a gap
_TAG_AND_DIGEST = re.compile(r".+:[^/:@]+@sha256:[0-9a-f]{64}")
PINNED = re.compile(r"(?:[^/@\s]+/)?[^@\s:]+@sha256:[0-9a-f]{64}")


def check_image(value: object, at: Place, *, registries: Sequence[str], runtime: bool) -> Iterator[Finding]:
    """Hold an image reference against IoT Edge's reader and our fence.

    Args:
        value: The reference.
        at: Its place.
        registries: Hosts that images may come from; empty for any.
        runtime: Whether it is edgeAgent or edgeHub, which Microsoft's registry may serve by tag.
    """
    if not isinstance(value, str):
        yield finding("WRONG_TYPE", at, "is not a text")
        return
    image = value.strip()
    if holds(image):
        return
    if _TAG_AND_DIGEST.fullmatch(image):
        yield finding("IMAGE_TAG_AND_DIGEST", at, f"{image[:80]!r} has both: edgeAgent cannot read it")
    elif "://" in image or _STRANGE.search(image) or not (_READ.fullmatch(image) or _UPSTREAM.fullmatch(image)):
        yield finding("IMAGE", at, f"{image[:80]!r} is no image reference that edgeAgent can read")
    else:
        yield from _fence(image, at, registries=registries, runtime=runtime)


def _fence(image: str, at: Place, *, registries: Sequence[str], runtime: bool) -> Iterator[Finding]:
    host = image.partition("/")[0] if "/" in image else "docker.io"
    allowed = [*registries, RUNTIME_REGISTRY] if runtime else registries
    if registries and host not in allowed:
        yield finding("IMAGE_REGISTRY", at, f"{host[:80]!r} is none of {', '.join(allowed)}")
    if not PINNED.fullmatch(image):
        code = "IMAGE_RUNTIME_TAG" if runtime and host == RUNTIME_REGISTRY else "IMAGE_DIGEST"
        yield finding(code, at, f"{image[:80]!r} is not pinned by a digest: what it names may change")
