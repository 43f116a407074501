"""From a job that passed the gate to a registered model: files, signature, lineage. Every step may happen twice."""

from collections.abc import Mapping
from hashlib import sha256

from functions.errors import Transient
from functions.jobs import rewritten
from functions.loops import Loop
from functions.model_folder import CONTAINER, FILES, JUDGED, LISTING, SIGNATURE, listing, profile_hash, signature
from functions.ports import Blobs, JobOutcome, ModelVersion, Signer, Stored
from functions.promotion.report import Report, Score
from functions.tracing import TRACEPARENT
from functions.wiring import Cloud

OUTPUTS = "outputs"  # the container that jobs write to
UNKNOWN = "unknown"  # said rather than guessed
VERDICT_LIMIT = 500  # characters
METRICS = ("log_loss", "brier", "auc")


def register(here: Cloud, loop: Loop, job: Stored, *, outcome: JobOutcome, report: Report | None, verdict: str) -> str:
    """Store the model's files where devices fetch them, then register them with their lineage in one request.

    The job's row holds the one number that it may have, written by whoever saw the row unchanged: two instances never
    register a job twice, whatever the registry's list leaves out.

    Returns:
        The version; after a crash the one that was registered before it.

    Raises:
        Transient: Somebody took the version in between, or judges the job too; the next try sees what it came to.
    """
    noted = str(job.row.get("version", ""))
    there = here.registry.get(loop.name, noted) if noted else None
    if there is not None and there.lineage.get("job") == job.key:
        return noted
    version = noted if noted and there is None else _next(here, loop, above=int(noted or 0))
    files = _files(here.blobs, outcome.outputs["model"])
    # The number is written down before anything carries it: who loses the job's row leaves no files under a number that
    # nobody registers, and the registration's event finds a job that says it made this version.
    job = rewritten(here.rows, loop, job, {"version": version})
    contents = _signed(here.signer, loop, version, files=files)
    while not _store(here.blobs, contents, folder := f"{loop.name}/{version}"):
        version = str(int(version) + 1)  # another job left its files there and never came to register them
        job = rewritten(here.rows, loop, job, {"version": version})
        contents = _signed(here.signer, loop, version, files=files)
    facts = _lineage(loop, job, outcome=outcome, report=report, contents=contents)
    model = ModelVersion(loop.name, version, folder, {**facts, "verdict": verdict[:VERDICT_LIMIT]})
    if not here.registry.register(model):
        why = "somebody registered that version in the meantime"
        raise Transient(f"{loop.name}:{version} is taken", why=why, fix="the next try takes the next number")
    return version


def _next(here: Cloud, loop: Loop, *, above: int) -> str:
    return str(max([above, *(int(found.version) for found in here.registry.versions(loop.name))]) + 1)


def unusable(blobs: Blobs, folder: str) -> str:
    """What is wrong with the model folder a job wrote; "" if nothing is."""
    missing = [name for name in (*FILES, *JUDGED) if blobs.facts(OUTPUTS, f"{folder}/{name}") is None]
    if set(JUDGED) <= set(missing):
        missing = [name for name in missing if name not in JUDGED]  # a model may be judged by itself
    if missing:
        return f"its model folder lacks {', '.join(missing)}"
    try:
        profile_hash(blobs.read(OUTPUTS, f"{folder}/profile.json") or b"")
    except ValueError as problem:
        return f"profile.json: {problem}"
    return ""


def _lineage(
    loop: Loop, job: Stored, *, outcome: JobOutcome, report: Report | None, contents: Mapping[str, bytes]
) -> Mapping[str, str]:
    """What the model was made of and how good it was found, as the job and its report say; never a guess."""
    measured = {**_metrics(report.challenger, ""), **_metrics(report.champion, "champion_")} if report else {}
    return {
        "job": job.key,
        "loop": loop.name,
        "generation": str(job.row["generation"]),
        "data_asset": outcome.lineage.get("data_asset", UNKNOWN),
        "training_set_sha256": outcome.lineage.get("training_set_sha256", UNKNOWN),
        "component": outcome.lineage.get("component", UNKNOWN),
        "commit": (report.commit if report else None) or UNKNOWN,
        "champion": str(job.row.get("champion", "")) or "none",
        "sha256": sha256(contents[LISTING]).hexdigest(),
        "model_sha256": sha256(contents["model.onnx"]).hexdigest(),
        "profile": profile_hash(contents["profile.json"]),
        **({"judged_sha256": sha256(contents[JUDGED[0]]).hexdigest()} if JUDGED[0] in contents else {}),
        **measured,
        **({TRACEPARENT: str(job.row[TRACEPARENT])} if job.row.get(TRACEPARENT) else {}),
    }


def _metrics(score: Score | None, whose: str) -> Mapping[str, str]:
    values = {**{name: score.value(name) for name in METRICS}, "latency_ms": score.latency_ms} if score else {}
    return {f"{whose}{name}": f"{value:.6f}" for name, value in values.items() if value is not None}


def _files(blobs: Blobs, source: str) -> Mapping[str, bytes]:
    """A job's model files, and what it is judged by if that is another model."""
    found = {name: blobs.read(OUTPUTS, f"{source}/{name}") for name in (*FILES, *JUDGED)}
    absent = [name for name in FILES if found[name] is None]
    if absent:
        raise Transient(f"{source}/{absent[0]} is not there", why="the job completed", fix="wait for the next try")
    return {name: data for name, data in found.items() if data is not None}


def _signed(signer: Signer, loop: Loop, version: str, *, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """A job's files, and last the list of digests that devices check theirs against, signed if there is a key."""
    listed = listing(loop.name, version, {name: files[name] for name in FILES})
    signed = signer.sign(listed)
    return {**files, LISTING: listed} | ({SIGNATURE: signature(signed)} if signed else {})


def _store(blobs: Blobs, contents: Mapping[str, bytes], folder: str) -> bool:
    """Write files where devices fetch them; False if other files stand there."""
    return all(
        blobs.create(CONTAINER, f"{folder}/{name}", data) or blobs.read(CONTAINER, f"{folder}/{name}") == data
        for name, data in contents.items()
    )
