"""The answers this device gave, by request id, until their outcomes are told: bounded, and kept over a restart.

On the request path an answer is only appended to a list. What is kept is written down a few seconds later, outcomes
before they are acknowledged; so a loss of power costs the answers of some seconds, and no outcome.
"""

import asyncio
import logging
import math
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from threading import Lock

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.shelf import sync, write
from sketch.losses import brier, log_loss

log = logging.getLogger(__name__)

NAME = "answers.jsonl"
FLUSH_SECONDS = 5.0
FOLD_ROWS = 1_024  # noted before they are counted in: a few milliseconds on the event loop
NAMED = 20  # ids that an answer names
STRETCHES = 500  # told in one message; beyond it they get longer


class Answer(msgspec.Struct, frozen=True, gc=False):
    """One answer.

    Args:
        version: Of the model that gave it.
        at: When, seconds since 1970.
        score: The answer.
        label: What turned out; None while nobody told.
    """

    version: str
    at: float
    score: float
    label: bool | None = None


class Joined(msgspec.Struct, frozen=True):
    """What became of outcomes that were told.

    Args:
        joined: They belong to an answer that had none.
        duplicate: Their answer has the same outcome already.
        conflicting: Their answer has the other one; the first stands.
        unknown: No answer with that id is kept: it was never given, or is forgotten.
        conflicting_ids: The first 20.
        unknown_ids: The first 20.
    """

    joined: int
    duplicate: int
    conflicting: int
    unknown: int
    conflicting_ids: tuple[str, ...] = ()
    unknown_ids: tuple[str, ...] = ()


class Stretch(msgspec.Struct, frozen=True):
    """What the answers that one version gave in one stretch of time turned out to cost, as it goes over the wire.

    Losses are those of sketch/losses.py; answers that are no probabilities have none, and are left out.
    """

    version: str
    at: datetime
    rows: int
    positives: int
    log_loss_sum: float
    log_loss_squares: float
    brier_sum: float
    brier_squares: float


class _Given(msgspec.Struct, frozen=True, array_like=True, tag="given"):
    version: str
    at: float
    ids: Sequence[str]
    scores: Sequence[float | None]


class _Known(msgspec.Struct, frozen=True, array_like=True, tag="known"):
    labels: dict[str, bool]


class _Told(msgspec.Struct, frozen=True, array_like=True, tag="told"):
    """Every outcome above it is in a telemetry message."""


type _Line = _Given | _Known | _Told


class _Anew(msgspec.Struct, frozen=True):
    """The file begins anew, with what is kept; what became known and was not told comes last."""

    kept: Sequence[tuple[str, Answer]]
    untold: Collection[str]

    def lines(self) -> list[_Line]:
        """As they are written; takes a while if much is kept."""
        lines = list[_Line]()
        for (version, at), some in groupby(self.kept, key=lambda one: (one[1].version, one[1].at)):
            group = list(some)
            lines.append(_Given(version, at, [id_ for id_, _ in group], [answer.score for _, answer in group]))
        known = {id_: answer.label for id_, answer in self.kept if answer.label is not None}
        told = {id_: label for id_, label in known.items() if id_ not in self.untold}
        untold = {id_: label for id_, label in known.items() if id_ in self.untold}
        return [*lines, _Known(told), _Told(), _Known(untold)]


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Given | _Known | _Told)
_COUNTED = ("joined", "duplicate", "conflicting", "unknown")


class Answers:
    """Keeps answers. All but `open` and `flush` are called on the event loop.

    Args:
        folder: Where they are written down; made once there is one.
        most: Answers kept; the oldest goes first.
        most_seconds: How long one is kept.
        now: The time, seconds since 1970.
    """

    def __init__(self, folder: Path, *, most: int, most_seconds: float, now: Callable[[], float] = time.time) -> None:
        self._path, self._most, self._most_seconds, self._now = folder / NAME, most, most_seconds, now
        self._kept = OrderedDict[str, Answer]()  # by id, the oldest first
        self._noted = deque[tuple[str, float, Sequence[str], NDArray[np.float32]]]()
        self._noted_rows = 0
        self._untold = dict[str, Answer]()
        self._lines = deque[_Line | _Anew]()  # added to on the loop, taken from by one thread at a time
        self._written = 0  # answers in the file
        self._due, self._writing = asyncio.Event(), Lock()
        self.counts = Joined(0, 0, 0, 0)

    def __len__(self) -> int:
        return len(self._kept)

    def open(self) -> None:
        """Find what was kept before. Blocks; before anything else is called."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as problem:
            log.warning("answers cannot be kept on disk: %s", problem)
            return
        for line in content.splitlines():
            try:
                self._replay(_decoder.decode(line))
            except msgspec.DecodeError:  # cut off while it was written
                continue
        self._forget()
        self._begin_anew()
        self.flush()

    def note(self, version: str, ids: Sequence[str], scores: NDArray[np.float32]) -> None:
        """Remember answers; cheap, because it is on the request path."""
        self._noted.append((version, self._now(), ids, scores))
        self._noted_rows += len(ids)
        if self._noted_rows >= FOLD_ROWS:
            self._due.set()

    def join(self, outcomes: Iterable[tuple[str, bool]]) -> Joined:
        """Join outcomes with the answers they belong to; they are safe once `flush` was called."""
        self._fold()
        known, same, others, unknown = dict[str, bool](), 0, list[str](), list[str]()
        for id_, label in outcomes:
            answer = self._kept.get(id_)
            if answer is None:
                unknown.append(id_)
            elif answer.label is None:
                known[id_] = label
                self._kept[id_] = self._untold[id_] = msgspec.structs.replace(answer, label=label)
            elif answer.label == label:
                same += 1
            else:
                others.append(id_)
        if known:
            self._lines.append(_Known(known))
        found = Joined(len(known), same, len(others), len(unknown), tuple(others[:NAMED]), tuple(unknown[:NAMED]))
        self.counts = Joined(*(getattr(self.counts, name) + getattr(found, name) for name in _COUNTED))
        return found

    def take(self) -> Sequence[Answer]:
        """Hand over the answers whose outcomes were told since the last time; told from the next `flush` on."""
        taken, self._untold = list(self._untold.values()), {}
        if taken:
            self._lines.append(_Told())
        return taken

    @property
    def waiting(self) -> bool:
        """Whether outcomes wait to be taken."""
        return bool(self._untold)

    def flush(self) -> None:
        """Write down what happened. Blocks; on any thread. A disk that fails costs what a restart would find there."""
        with self._writing:
            lines, anew = list[_Line](), False
            while self._lines:
                line = self._lines.popleft()
                if isinstance(line, _Anew):
                    lines, anew = line.lines(), True
                else:
                    lines.append(line)
            if lines or anew:
                self._write(b"".join(_encode(line) + b"\n" for line in lines), anew=anew)

    async def run(self) -> None:
        """Count in what was noted, and write it down, every few seconds."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._due.wait()
            await self.settle()

    async def settle(self) -> None:
        """Count in and write down what was noted so far."""
        self._due.clear()
        self._fold()
        if self._written > 2 * self._most + FOLD_ROWS:
            self._begin_anew()
        await asyncio.to_thread(self.flush)

    def _fold(self) -> None:
        while self._noted:
            version, at, ids, scores = self._noted.popleft()
            given = _Given(version, at, ids, scores.tolist())
            self._keep(given)
            self._lines.append(given)
        self._noted_rows = 0
        self._forget()

    def _keep(self, given: _Given) -> None:
        for id_, score in zip(given.ids, given.scores, strict=True):
            before = self._kept.get(id_)
            if before is None or before.label is None:  # asked again under one id, the newest answer is what was used
                self._kept.pop(id_, None)
                self._kept[id_] = Answer(given.version, given.at, math.nan if score is None else score)
        self._written += len(given.ids)

    def _forget(self) -> None:
        oldest = self._now() - self._most_seconds
        while self._kept and (len(self._kept) > self._most or next(iter(self._kept.values())).at < oldest):
            self._kept.popitem(last=False)

    def _replay(self, line: _Line) -> None:
        if isinstance(line, _Given):
            self._keep(line)
        elif isinstance(line, _Known):
            for id_, label in line.labels.items():
                if answer := self._kept.get(id_):
                    self._kept[id_] = self._untold[id_] = msgspec.structs.replace(answer, label=label)
        else:
            self._untold = {}

    def _begin_anew(self) -> None:
        self._written = len(self._kept)
        self._lines.append(_Anew(list(self._kept.items()), frozenset(self._untold)))

    def _write(self, content: bytes, *, anew: bool) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if anew:
                fresh = self._path.with_name(f".{NAME}")
                write(fresh, content)
                fresh.rename(self._path)
                sync(self._path.parent)
            else:
                with self._path.open("ab") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as problem:
            log.warning("answers cannot be kept on disk: %s", problem)


def costs(answers: Sequence[Answer], *, every_seconds: int) -> list[Stretch]:
    """What answers turned out to cost, by version and stretch of time; blocks for a while if there are many.

    Args:
        answers: With their outcomes.
        every_seconds: Length of a stretch; longer if there were too many of them for one message.
    """
    probable = [answer for answer in answers if 0 <= answer.score <= 1]
    while len(places := {(one.version, one.at // every_seconds) for one in probable}) > STRETCHES:
        every_seconds *= 2
    by_place: dict[tuple[str, float], list[Answer]] = {place: [] for place in sorted(places)}
    for one in probable:
        by_place[one.version, one.at // every_seconds].append(one)
    return [_cost(version, at * every_seconds, some) for (version, at), some in by_place.items()]


def _cost(version: str, at: float, answers: Sequence[Answer]) -> Stretch:
    labels = np.array([answer.label for answer in answers], np.float64)
    scores = np.array([answer.score for answer in answers])
    logs, squares = log_loss(labels, scores), brier(labels, scores)
    return Stretch(
        version=version,
        at=datetime.fromtimestamp(at, UTC),
        rows=len(answers),
        positives=int(labels.sum()),
        log_loss_sum=float(logs.sum()),
        log_loss_squares=float((logs**2).sum()),
        brier_sum=float(squares.sum()),
        brier_squares=float((squares**2).sum()),
    )
