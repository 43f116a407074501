"""A model image for every version that reaches the fleet: the same model where no twin delivers it."""

from datetime import datetime

from functions.journal import Entry, record
from functions.loops import Loop
from functions.model_folder import CONTAINER, FILES, LISTING, SIGNATURE
from functions.ports import ImageBuild, Images, ModelVersion, Row
from functions.rollout import image
from functions.rollout.records import DONE, ROLLING, Standing
from functions.wiring import Cloud

IMAGES = "images"
BUILDING = "building"


def build(here: Cloud, loop: Loop, told: Standing, now: datetime) -> None:
    """See to one version's image, the newest first; a turn asks once, and the build's name is its memory."""
    registry = here.images
    if registry is None:
        return
    ended = {one.key for one in here.rows.find(IMAGES, loop.name) if one.row["state"] != BUILDING}
    wanted = [one for one in told.records if one.state in (ROLLING, DONE) and one.key not in ended]
    for one in reversed(wanted):
        model = here.registry.get(loop.name, str(one.version))
        if model is not None and model.folder and {"sha256", "profile"} <= model.lineage.keys():
            _see_to(here, loop, registry, model, now)
            return


def _see_to(here: Cloud, loop: Loop, registry: Images, model: ModelVersion, now: datetime) -> None:
    base = here.settings.model_image_base

    def context() -> bytes:
        found = {
            file: here.blobs.read(CONTAINER, f"{model.folder}/{file}") for file in sorted((*FILES, LISTING, SIGNATURE))
        }
        files = {file: content for file, content in found.items() if content is not None}
        store = f"{here.settings.blob_endpoint.rstrip('/')}/{CONTAINER}/"
        return image.context(model, files, base=base, store=store)

    made = registry.ensure(ImageBuild(image.name(model, base), loop.name, model.version, context))
    row: Row = {"state": made.status, "image": made.image, "detail": made.detail[:1000], "at": now}
    key = f"{int(model.version):09}"
    if not here.rows.insert(IMAGES, loop.name, key, row=row):
        stored = here.rows.get(IMAGES, loop.name, key)
        if stored is None or stored.row["state"] == made.status:
            return
        here.rows.replace(IMAGES, loop.name, stored=stored, row=row)
    decision = {"built": "Image", "failed": "NoImage"}.get(made.status)
    if decision:
        reason = made.image or made.detail
        subject = f"{loop.name}:{model.version}"
        record(here.rows, Entry(now, loop.name, "rollout", subject, decision, reason, (model.lineage.get("job", ""),)))
