"""The simulation from the command line: many seeds, one seed with its trace, every fault, every planted fault."""

import argparse
import json
import sys
import time
from collections import Counter

from tests.sim.exhaustive import SCENARIOS, pairs, single_faults
from tests.sim.mutants import MUTANTS, find
from tests.sim.shrink import shrink
from tests.sim.story import breaks, tell


def main() -> int:
    """Run what was asked for; 1 if an invariant does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many to run")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="run one, and print its trace")
    parser.add_argument("--digests", action="store_true", help="print every seed's trace hash")
    parser.add_argument(
        "--exhaustive", action="store_true", help="every single fault and every pair in the small stories"
    )
    parser.add_argument("--mutants", action="store_true", help="how each planted fault is found")
    args = parser.parse_args()
    if args.seed is not None:
        return _one(args.seed)
    if args.exhaustive:
        return _exhaustive()
    if args.mutants:
        return _mutants()
    return _many(range(args.first_seed, args.first_seed + args.seeds), digests=args.digests)


def _one(seed: int) -> int:
    told = tell(seed)
    print("\n".join(told.world.trace.lines))
    print(f"\nseed {seed}, trace {told.digest}\nfaults: {json.dumps(told.world.plan.injected, indent=1)}")
    return _report(seed, told.problem, told.world.plan.injected)


def _many(seeds: range, *, digests: bool) -> int:
    seen, broken, calls, faults = Counter[str](), 0, 0, 0
    began = time.perf_counter()
    for seed in seeds:
        told = tell(seed)
        seen += told.world.seen
        calls, faults = calls + len(told.world.places), faults + len(told.world.plan.injected)
        if digests:
            print(seed, told.digest)
        broken += _report(seed, told.problem, told.world.plan.injected) if told.problem else 0
    took = time.perf_counter() - began
    print(f"{len(seeds)} seeds, {calls} calls, {faults} faults, {broken} seeds broke an invariant, {took:.1f} s")
    print("; ".join(f"{name}: {count}" for name, count in seen.most_common()))
    return bool(broken)


def _report(seed: int, problem: AssertionError | None, injected: dict[str, str]) -> int:
    if problem is None:
        print("every invariant holds")
        return 0
    fewest = shrink(injected, lambda faults: breaks(seed, faults))
    print(f"seed {seed}: {problem}\n  fewest faults that break it: {json.dumps(fewest)}")
    print(f"  replay: python -m tests.sim --seed {seed}")
    return 1


def _exhaustive() -> int:
    broken = 0
    for scenario in SCENARIOS:
        for what, stories in (("single faults", single_faults(scenario)), ("pairs", pairs(scenario))):
            began, count = time.perf_counter(), 0
            for faults, told in stories:
                count += 1
                if told.problem:
                    broken += 1
                    print(f"{scenario.name}, {faults}: {told.problem}")
            print(f"{scenario.name}: {count} {what}, {time.perf_counter() - began:.1f} s")
    return bool(broken)


def _mutants() -> int:
    survivors = 0
    for mutant in MUTANTS:
        found = find(mutant)
        survivors += found is None
        print(f"| {mutant.name} | {found or 'NOT FOUND'} |")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
