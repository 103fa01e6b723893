"""`make sim`: live through many days, or see one of them again.

python -m tests.simulation --seeds 0:1000 --workers 2
python -m tests.simulation --seed 123 [--trace]
python -m tests.simulation --bugs [part of a name] --workers 2
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.simulation.bugs import BUGS
from tests.simulation.checker import check_day
from tests.simulation.coverage import RARELY, SOMETIMES
from tests.simulation.day import Outcome, quiet_logs, run_day
from tests.simulation.runner import describe, find_bugs, live_many, live_one

BUG_SEEDS_MAX: Final = 5_000
"""A planted bug that lives so many days was not found."""


def say(text: str) -> None:
    """Say a line to whoever started this."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run_many(seeds: range, workers: int, *, as_json: bool) -> int:
    began_s = time.perf_counter()
    sometimes: Counter[str] = Counter()
    failed: list[Outcome] = []
    virtual_s, steps = 0.0, 0
    for outcome in live_many(seeds, workers):
        sometimes.update(outcome.sometimes)
        virtual_s += outcome.virtual_s
        steps += outcome.steps
        if outcome.problems:
            failed.append(outcome)
            say(describe(outcome))
    missing = [what for what in SOMETIMES if not sometimes[what]]
    if as_json:
        report = {
            "days": len(seeds),
            "failed": sorted(one.seed for one in failed),
            "sometimes": sometimes,
        }
        say(json.dumps(report))
        return 1 if failed else 0
    for what in (*SOMETIMES, *RARELY):
        say(f"{sometimes[what]:7}  {what}")
    taken_s = time.perf_counter() - began_s
    say(
        f"{len(seeds)} days, {virtual_s / 3600:.1f} hours in {taken_s:.0f} s"
        f" ({steps} steps), {len(failed)} failed"
    )
    enough = len(seeds) >= 1_000  # So many days reach all that there is.
    if missing and enough:
        say(f"never reached: {', '.join(missing)}")
    return 1 if failed or (missing and enough) else 0


def _run_one(seed: int, *, trace: bool) -> int:
    quiet_logs()
    began_s = time.perf_counter()
    if trace:
        file = Path(f"simulation-{seed}.trace")
        with file.open("w", encoding="utf-8") as out:
            outcome = run_day(seed, check_day, trace=out)
        say(f"every step is in {file}")
    else:
        outcome = live_one(seed)
    taken_s = time.perf_counter() - began_s
    say(f"seed {seed}: {outcome.steps} steps in {taken_s:.1f} s, digest {outcome.digest}")
    for what, count in sorted(outcome.sometimes.items()):
        say(f"{count:7}  {what}")
    if outcome.problems:
        say(describe(outcome))
    return 1 if outcome.problems else 0


def _run_bugs(wanted: str, workers: int) -> int:
    began_s = time.perf_counter()
    names = [name for name in BUGS if wanted in name]
    survived = 0
    for name, found in find_bugs(names, range(BUG_SEEDS_MAX), workers):
        if found is None:
            survived += 1
            say(f"NOT FOUND  {name}: {BUG_SEEDS_MAX} days")
        else:
            say(f"day {found.seed:4}  {name}: {found.problems[0]}")
    taken_s = time.perf_counter() - began_s
    say(f"{len(names)} bugs, {len(names) - survived} found in {taken_s:.0f} s")
    return 1 if survived else 0


def main() -> int:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", default="0:1000", help="first:end, the end is not lived")
    parser.add_argument("--seed", type=int, help="live this one day")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trace", action="store_true", help="write every step to a file")
    parser.add_argument("--bugs", nargs="?", const="", help="plant bugs and find each")
    parser.add_argument("--json", action="store_true", help="sum up in one line of JSON")
    options = parser.parse_args()
    if options.bugs is not None:
        return _run_bugs(options.bugs, options.workers)
    if options.seed is not None:
        return _run_one(options.seed, trace=options.trace)
    first, _, end = options.seeds.partition(":")
    return _run_many(range(int(first), int(end)), options.workers, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
