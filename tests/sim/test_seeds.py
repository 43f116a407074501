"""Random stories: whatever fails, in whatever order, the accounts add up once things are quiet."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.sim.faults import OF_CALLS, OF_THE_WORLD
from tests.sim.shrink import shrink
from tests.sim.story import breaks, tell

CHUNKS, SEEDS = 4, 50  # `make sim SEEDS=…` runs more
SOMETIMES = (
    *("Launch", "Wait", "HoldForBudget", "Register", "Reject", "GiveUp", "Quarantine", "Supersede"),
    *("upload taken", "upload quarantined", "upload superseded", "overwritten", "registered by hand"),
    *("Open", "Tell", "Resolve"),
    *("redelivered", "answered too late", "resumed by another", "died in a restart", "lost a race"),
)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_invariant_holds_under_every_seed(chunk: int) -> None:
    seen = Counter[str]()
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        told = tell(seed)
        seen += told.world.seen
        if told.problem:
            fewest = shrink(told.world.plan.injected, lambda faults, seed=seed: breaks(seed, faults))  # type: ignore[misc] # bound now
            pytest.fail(f"python -m tests.sim --seed {seed}\n{told.problem}\nfewest faults that break it: {fewest}")
    assert [name for name in (*SOMETIMES, *OF_CALLS, *OF_THE_WORLD) if not seen[name]] == []


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    command = [sys.executable, "-m", "tests.sim", "--seeds", "4", "--digests"]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    elsewhere = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    for seed in range(4):
        assert f"{seed} {tell(seed).digest}" in elsewhere.splitlines()


def test_the_fewest_faults_are_those_that_matter() -> None:
    faults = {str(number): "lost" for number in range(40)}
    assert shrink(faults, lambda some: "7" in some and "31" in some) == {"7": "lost", "31": "lost"}
    assert shrink(faults, lambda some: "7" in some) == {"7": "lost"}
    assert shrink(faults, lambda _: True) == {}
