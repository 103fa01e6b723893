"""Lives through many days, in one process or in several."""

import gc
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing.connection import Connection
from typing import Any, Final

from tests.simulation.bugs import BUGS
from tests.simulation.checker import check_day
from tests.simulation.day import Outcome, quiet_logs, run_day

SHOWN_PROBLEMS: Final = 8
CHUNK: Final = 25
"""So many days are lived in one process, which ends with all that they left behind."""

_FORK: Final = multiprocessing.get_context("fork")


def replay_command(seed: int) -> str:
    """Return what shows this seed's day again."""
    return f"make sim SEED={seed}"


def describe(outcome: Outcome) -> str:
    """Say what was wrong with a day, and how to see it again."""
    lines = [f"seed {outcome.seed}: {len(outcome.problems)} problems after {outcome.steps} steps"]
    lines += [f"  {problem}" for problem in outcome.problems[:SHOWN_PROBLEMS]]
    return "\n".join((*lines, f"  again with: {replay_command(outcome.seed)}"))


def live_one(seed: int) -> Outcome:
    """Live one day without a trace."""
    return run_day(seed, check_day)


def live_some(seeds: range) -> list[Outcome]:
    """Live a few days in a process of their own.

    To collect what they leave behind would take longer than to forget it with the process.

    Raises:
        RuntimeError: The process ended before its days did.
    """
    heard, told = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_live_and_tell, args=(seeds, told))
    process.start()
    told.close()
    try:
        outcomes: list[Outcome] = heard.recv()
    except EOFError:
        process.join()
        message = f"the process of the days {seeds} ended with code {process.exitcode}"
        raise RuntimeError(message) from None
    process.join()
    return outcomes


def _live_and_tell(seeds: range, told: Connection) -> None:
    gc.disable()
    told.send([live_one(seed) for seed in seeds])


def live_many(seeds: range, workers: int) -> Iterator[Outcome]:
    """Live the days of many seeds, in as many processes as asked for, each seed in one."""
    if workers <= 1:
        quiet_logs()
        yield from map(live_one, seeds)
        return
    size = max(1, min(CHUNK, len(seeds) // workers))
    chunks = [seeds[first : first + size] for first in range(0, len(seeds), size)]
    # Forked from this process they would share what it has drawn and opened.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=quiet_logs) as pool:
        yield from chain.from_iterable(pool.map(live_some, chunks))


def find_bug(name: str, seeds: range) -> Outcome | None:
    """Return the first day on which the planted bug was found, None when it never was.

    What the same day shows without the bug is not the bug's.
    """
    for seed in seeds:
        with BUGS[name]():
            outcome = live_one(seed)
        if outcome.problems and not set(outcome.problems) & set(live_one(seed).problems):
            return outcome
    return None


def _find(job: tuple[str, range]) -> tuple[str, Outcome | None]:
    name, seeds = job
    return name, find_bug(name, seeds)


def find_bugs(names: Iterable[str], seeds: range, workers: int) -> Iterator[tuple[str, Any]]:
    """Look for many planted bugs, several at once; yields each with what found it."""
    jobs = [(name, seeds) for name in names]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=quiet_logs) as pool:
        yield from pool.map(_find, jobs)
