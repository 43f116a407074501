"""Faults planted in the handlers: each must be found, or the simulation looks at nothing."""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType

from functions import quarantine, wishes
from functions.drift import judge as drift
from functions.promotion import aftermath, register
from functions.promotion import perform as promotion
from functions.promotion import trigger as promoting
from functions.retraining import decide as policy
from functions.retraining import job, ledger, versions
from functions.retraining import perform as retraining
from functions.retraining import trigger as retrain
from functions.rollout import decide as steps
from functions.rollout import drifting, effects, gate, pins
from functions.rollout import perform as rollout
from tests.sim.exhaustive import SCENARIOS, single_faults
from tests.sim.story import Told, tell


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake in one function.

    Args:
        name: The mistake, in words.
        function: Where it is planted.
        old: A part of the function's source.
        new: What stands there instead.
        seed: One that finds it, tried first; or the name of a small story in which a single fault finds it.
    """

    name: str
    function: Callable[..., object]
    old: str
    new: str
    seed: int | str = 0

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Run with the mistake: the function's code is replaced, so that everyone who imported it makes it."""
        source = textwrap.dedent(inspect.getsource(self.function))
        source = source[source.index("def ") :]  # without decorators
        assert self.old in source, f"mutant {self.name!r}: {self.old!r} is not in {self.function.__qualname__} any more"
        function = self.function
        assert isinstance(function, FunctionType)
        namespace = dict(function.__globals__)
        code = compile(source.replace(self.old, self.new, 1), f"<mutant: {self.name}>", "exec", dont_inherit=True)
        exec(code, namespace)  # noqa: S102 # the source is this repository's, with one part replaced
        changed = namespace[function.__name__]
        assert isinstance(changed, FunctionType)
        healthy = function.__code__
        function.__code__ = changed.__code__
        try:
            yield
        finally:
            function.__code__ = healthy


def _plain(trigger: object) -> Callable[..., object]:
    """The function behind a trigger's decorator."""
    found: Callable[..., object] = trigger._function.get_user_function()  # type: ignore[attr-defined] # a FunctionBuilder
    return found


OPEN_NEXT = "    here.rows.replace(GENERATIONS, loop.name, stored=sealed, row=opened(number + 1))\n"
START = "    _start(here, loop, seen, order, now=now)\n"
MUTANTS = (
    Mutant("an upload's key leaves out the eTag", ledger._key, "\\n{etag}", ""),
    Mutant(
        "an upload's key is the event's id",
        _plain(retrain.count_upload_on_blob_created),
        "count(here.rows, loop, admit(upload, loop, now))",
        'count(here.rows, loop, __import__("dataclasses").replace(admit(upload, loop, now), key=message.id))',
    ),
    Mutant(
        "the event's size is believed",
        versions.examine,
        "reader(blobs, loop, upload)(0, WHOLE_BYTES + 1)",
        "reader(blobs, loop, upload)(0, upload.size_bytes)",
    ),
    Mutant(
        "whatever lies there now is kept, not the version that was counted",
        versions.reader,
        "blobs.read_version(loop.data.container, upload.blob, upload.etag, offset=offset, length=length)",
        "blobs.read(loop.data.container, upload.blob)",
        seed="launch",
    ),
    Mutant(
        "a job is counted from before it began",
        retraining._started,
        "here.now()",
        "here.now() - __import__('datetime').timedelta(hours=2)",
        seed=1,
    ),
    Mutant("rows of an earlier release are forgotten", ledger._adopt, '"state" not in stored.row', "False", seed=9),
    Mutant("the listing finds nothing", ledger.overlooked, "if upload.key not in known", "if False", seed=2),
    Mutant(
        "the listing knows blobs by name",
        ledger.overlooked,
        "[upload for upload in found if upload.key not in known]",
        '[one for one in found if one.blob not in {s.row["blob"] for s in rows.find(UPLOADS, loop.name)}]',
        seed=6,
    ),
    Mutant(
        "poison is raised, not set aside",
        quarantine._poison_set_aside.__wrapped__,  # type: ignore[attr-defined] # the function of a context manager
        "set_aside(here, entry, original(message), poison=poison, beside=around(message))",
        "raise poison",
    ),
    Mutant(
        "what was set aside before is not told of again",
        quarantine.set_aside,
        "    here.blobs.create(CONTAINER, name, document)\n",
        "    if not here.blobs.create(CONTAINER, name, document):\n        return\n",
        seed=8,
    ),
    Mutant("a wish of drift is known by its device", wishes.ask_for_drift, "\\n{drift.version}", "", seed=9),
    Mutant(
        "the next generation is opened before the job exists",
        retraining._finish,
        "    with _traced(manifest):\n",
        f"{OPEN_NEXT}    with _traced(manifest):\n",
        seed=20,
    ),
    Mutant(
        "rows are marked before the manifest is written",
        retraining._finish,
        "    manifest = job.write_manifest(",
        '    ledger.take(here.rows, loop, [str(b["key"]) for b in wanted.blobs], generation=number)\n'
        "    manifest = job.write_manifest(",
        seed=10,
    ),
    Mutant("a manifest is written over", job._write_once, "blobs.create(", "blobs.put(", seed=20),
    Mutant(
        "a manifest is not read back",
        job._write_once,
        "return _existing(blobs, name)",
        "return json.dumps(document, indent=1, sort_keys=True).encode()",
        seed=20,
    ),
    Mutant(
        "a job that is written down is taken for a launch that was finished",
        retraining._launch,
        "    _started(here, loop, manifest, order)\n",
        "    if here.rows.get(JOBS, loop.name, order.name):\n        return\n"
        "    _started(here, loop, manifest, order)\n",
        seed=20,
    ),
    Mutant(
        "a second attempt is written down before it is announced",
        retraining._started,
        "    event = TrainingLaunched(",
        '    here.rows.insert(JOBS, loop.name, order.name, row={"generation": manifest.generation, "state": STARTED,'
        ' "launched_at": here.now(), "champion": best, "attempt": order.attempt, "described": True})\n'
        "    event = TrainingLaunched(",
        seed="second attempt",
    ),
    Mutant(
        "all pending rows are marked, not the manifest's",
        retraining._launch,
        '[str(blob["key"]) for blob in manifest.blobs]',
        "[upload.key for upload in ledger.pending(here.rows, loop)]",
        seed=20,
    ),
    Mutant(
        "all waiting wishes are answered, not the manifest's",
        retraining._launch,
        "wishes.answer(here.rows, loop, manifest.requests)",
        "wishes.answer(here.rows, loop, [wish.key for wish in wishes.waiting(here.rows, loop)])",
        seed=57,
    ),
    Mutant("what only landed is trained on", ledger.pending, "ADMITTED", "LANDED"),
    Mutant(
        "held rows are dropped",
        retraining.perform,
        "            kind, subject =",
        "            if isinstance(decision, HoldForBudget):\n"
        "                ledger.take(here.rows, loop, [u.key for u in ledger.pending(here.rows, loop)], generation=9)\n"
        "            kind, subject =",
    ),
    Mutant("the budget allows one job more", policy._held, ">= policy.jobs_per_day", "> policy.jobs_per_day", seed=1),
    Mutant(
        "the budget counts calendar days",
        policy._held,
        "now - job.launched_at < DAY",
        "now.date() == job.launched_at.date()",
        seed=1,
    ),
    Mutant(
        "a job's name has the time in it",
        retraining._launch,
        START,
        '    order = __import__("dataclasses").replace(order, name=f"{order.name[:-4]}{now:%M%S}")\n' + START,
        seed=8,
    ),
    Mutant(
        "the launch is announced under a new id each time",
        retraining._started,
        "id=order.name",
        "id=str(here.now())",
        seed=15,
    ),
    Mutant("run events alone end jobs", promoting._judge, "run in (None, job.key)", "run == job.key", seed=4),
    Mutant("a job that vanished is waited for", aftermath.aftermath, '"failed" | "missing" if', '"failed" if', seed=8),
    Mutant(
        "a job is started once more for ever",
        aftermath.aftermath,
        "if attempt == 1",
        "if attempt",
        seed="second attempt",
    ),
    Mutant(
        "a version of our job's is not found again",
        register.register,
        'if there is not None and there.lineage.get("job") == job.key',
        "if False",
        seed=9,
    ),
    Mutant(
        "a job is closed before its model is registered",
        promotion._carry_out,
        "            version = register(",
        '            _close(here, loop, seen, state="registered", now=now)\n            version = register(',
        seed=1,
    ),
    Mutant(
        "two instances may judge differently",
        promotion._claim,
        "    return decision, replace(seen, job=rewritten(here.rows, loop, seen.job, noting))",
        "    return decision, seen",
        seed=18,
    ),
    Mutant(
        "other files under a version are taken for ours", register._store, "== data", "is not None", seed="verdicts"
    ),
    Mutant(
        "a registration that is refused is taken for done",
        register.register,
        "if not here.registry.register(model):",
        "if not here.registry.register(model) and not model:",
        seed=16,
    ),
    Mutant(
        "a rejection is not announced",
        promotion._carry_out,
        'here.announcer.announce(event, subject=seen.job.key, id=f"{seen.job.key}-rejected")',
        "pass",
        seed=1,
    ),
    Mutant(
        "a version is registered and never noted",
        register.register,
        '    job = rewritten(here.rows, loop, job, {"version": version})\n    contents',
        "    contents",
        seed="verdicts",
    ),
    Mutant(
        "files are stored under a number that is not noted yet",
        register.register,
        "    job = rewritten(",
        '    _store(here.blobs, _signed(here.signer, loop, version, files=files), f"{loop.name}/{version}")\n'
        "    job = rewritten(",
        seed="verdicts",
    ),
    Mutant(
        "a registration whose event was lost is never found",
        rollout.untold,
        "made - known | approved",
        "approved",
        seed=1,
    ),
    Mutant(
        "a rollout's row is written before its layer",
        effects._reach,
        "    apply(here, deployment)\n",
        '    noted = Record(version, ROLLING, ring, now, deployment.id, str(good.version) if good else "",'
        " members=members)\n"
        "    note(here, loop, noted)\n"
        "    apply(here, deployment)\n",
        seed="takeback",
    ),
    Mutant(
        "a rollback is not written down before it begins",
        rollout.go_on,
        "if effects.enter(here, loop, told, falling):",
        "if falling:",
        seed="takeback",
    ),
    Mutant(
        "a version that fell is admitted again",
        steps.admit,
        'if candidate.state not in ("", HELD):',
        'if candidate.state not in ("", HELD, "rolled back"):',
        seed="takeback",
    ),
    Mutant(
        "a version that fell stays champion",
        rollout.fall,
        'values={"state": BACK}',
        'values={"generation": 9}',
        seed="takeback",
    ),
    Mutant(
        "a pin is not noted before it is made",
        pins.obey,
        "    before, changing = _begin(here, loop, applied)\n",
        '    before = ""\n'
        "    if applied is None:\n"
        '        here.rows.insert(PINS, loop.name, APPLIED, row={"pin": ""})\n'
        "    changing = here.rows.get(PINS, loop.name, APPLIED)\n",
        seed="pinned",
    ),
    Mutant(
        "drift alone is harm",
        gate.judge,
        'harm="".join(harm[:1])',
        'harm="".join(harm[:1]) or drift',
        seed="canary drifts",
    ),
    Mutant(
        "drift of the canary alone holds nobody",
        drifting.unexplained,
        "if not own or",
        "if own or",
        seed="canary drifts",
    ),
    Mutant("harm in the field is no reason", steps.step, "if at.field.harm:", "if False:", seed="takeback"),
    Mutant(
        "an episode is written down as told before it is told",
        drift.judge,
        "            _say(here, loop, before, now=here.now())\n"
        "            _keep(here.rows, loop, [judged(here, loop, before, then)])\n",
        "            _keep(here.rows, loop, [judged(here, loop, before, then)])\n"
        "            _say(here, loop, before, now=here.now())\n",
        seed="drift",
    ),
    Mutant(
        "an episode's number is the next free one",
        drift._keep,
        "            rows.insert(EPISODES, loop.name, one.key, row=one.row)\n",
        "            while not rows.insert(EPISODES, loop.name, one.key, row=one.row):\n"
        "                one = replace(one, number=one.number + 1)\n",
        seed="drift",
    ),
    Mutant(
        "devices that refuse are waited for",
        steps._reported,
        "failed > here.refused_share * targeted",
        "False",
        seed=48,
    ),
)


def find(mutant: Mutant, *, seeds: int = 200) -> str | None:
    """Run with a planted fault until an invariant breaks.

    Returns:
        What found it; None if nothing did.
    """
    with mutant.planted():
        for found, told in _tellings(mutant, seeds):
            if told.problem:
                return f"{found}: {told.problem}"
    return None


def _tellings(mutant: Mutant, seeds: int) -> Iterator[tuple[str, Told]]:
    if isinstance(mutant.seed, int):
        yield f"seed {mutant.seed}", tell(mutant.seed)
    for scenario in sorted(SCENARIOS, key=lambda scenario: scenario.name != mutant.seed):
        for faults, told in single_faults(scenario):
            yield f"{scenario.name}, {faults}", told
    for seed in range(seeds):
        yield f"seed {seed}", tell(seed)
