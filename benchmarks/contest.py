"""Contenders that do the same work in turns, and how long each of them takes.

Rule 1: before anything is timed, and after every lap, each contender shows by a digest that
it did the same work as the others. A fast wrong answer stops the run.

Rule 2: laps are interleaved. Each round runs every contender once and begins with another
one, so that a noisy neighbour slows all of them alike.

Rule 3: what is published are ratios of medians of one run. The times of two runs, or of two
machines, say little about each other.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Protocol, TypeAlias

Digest: TypeAlias = Mapping[str, int]
"""What a contender did, by name of the figure."""


class DigestMismatchError(RuntimeError):
    """A contender did other work than ours; its time would say nothing."""


class Clock(StrEnum):
    """What a lap costs."""

    CPU = "CPU time of the process"
    WALL = "wall time"
    MEMORY = "resident memory of a process of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """One run of one contender: its cost in ns, or in bytes, and what it did."""

    cost: int
    digest: Digest


class Work(Protocol):
    """Work that is made ready, done once while the clock runs, looked at, and put away."""

    def run(self) -> None:
        """Do the work."""
        ...

    def digest(self) -> Digest:
        """Return what was done."""
        ...

    def close(self) -> None:
        """Let go of everything that was made."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to do the work. `lap` does it once."""

    name: str
    lap: Callable[[], Lap]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The same work for every contender; the first contender is ours.

    `operations` is how many times a lap does what the contest is about: the published
    figure is the cost of one. Laps that take long are run in no more than `rounds_max`
    rounds, however many were asked for.
    """

    name: str
    what: str
    operation: str
    operations: int
    clock: Clock
    contenders: tuple[Contender, ...]
    rounds_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One contender's cost of one operation over all rounds: in ns, or in bytes.

    `ratio` is how many times our median its median is.
    """

    name: str
    median: float
    ratio: float
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A contest that was held."""

    contest: Contest
    rounds: int
    scores: tuple[Score, ...]


def timed(make: Callable[[], Work], clock: Clock) -> Callable[[], Lap]:
    """Return a lap that makes the work, and runs it while the clock runs."""
    now_ns = {Clock.CPU: time.process_time_ns, Clock.WALL: time.perf_counter_ns}[clock]

    def lap() -> Lap:
        work = make()
        try:
            gc.collect()
            started_ns = now_ns()
            work.run()
            cost = now_ns() - started_ns
            return Lap(cost=cost, digest=work.digest())
        finally:
            work.close()

    return lap


def check(contest: Contest) -> Digest:
    """Run every contender once and return the digest that all of them share.

    Raises `DigestMismatchError` for the first one that did other work than ours.
    """
    ours, *peers = contest.contenders
    wanted = ours.lap().digest
    for peer in peers:
        _compare(contest, peer, wanted, peer.lap().digest)
    return wanted


def hold(contest: Contest, *, rounds: int) -> Result:
    """Check the contenders, which also warms them up, then let them run in turns."""
    assert rounds > 0
    rounds = min(rounds, contest.rounds_max or rounds)
    wanted = check(contest)
    costs: dict[str, list[int]] = {contender.name: [] for contender in contest.contenders}
    for number in range(rounds):
        first = number % len(contest.contenders)
        for contender in contest.contenders[first:] + contest.contenders[:first]:
            lap = contender.lap()
            _compare(contest, contender, wanted, lap.digest)
            costs[contender.name].append(lap.cost)
    return Result(contest=contest, rounds=rounds, scores=score(costs, contest.operations))


def score(costs: Mapping[str, Sequence[int]], operations: int) -> tuple[Score, ...]:
    """Return the cost of one operation for each contender; the first one is ours.

    A cost below the clock's resolution counts as one unit, so that a ratio always exists.
    """
    each = {name: [max(cost, 1) / operations for cost in laps] for name, laps in costs.items()}
    ours = median(next(iter(each.values())))
    return tuple(
        Score(
            name=name,
            median=median(laps),
            ratio=median(laps) / ours,
            least=min(laps),
            most=max(laps),
        )
        for name, laps in each.items()
    )


def _compare(contest: Contest, contender: Contender, wanted: Digest, found: Digest) -> None:
    if found == wanted:
        return
    differences = ", ".join(
        f"{name} is {found.get(name)}, ours has {wanted.get(name)}"
        for name in sorted({*wanted, *found})
        if found.get(name) != wanted.get(name)
    )
    msg = f"{contest.name}: {contender.name} did other work: {differences}"
    raise DigestMismatchError(msg)
