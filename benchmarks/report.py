"""Results as a table for people and as a document for programs.

The machine is described by what explains its figures, and never named.
"""

import os
import platform
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from benchmarks.contest import Clock, Contest, Result

_US: Final = 1_000
_US_FROM_NS: Final = 10_000
_LIBRARIES: Final = ("aiohttp", "msgspec", "pykka")


def machine() -> dict[str, str | int]:
    """Return what of this machine explains the figures."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{library: version(library) for library in _LIBRARIES},
        "sqlite": sqlite3.sqlite_version,
    }


def _cores() -> int:
    return os.cpu_count() or 1


def heading(at: datetime) -> str:
    """Return the line above all tables."""
    described = ", ".join(f"{name} {value}" for name, value in machine().items())
    return f"{at:%Y-%m-%d}; {described}"


def table(result: Result) -> str:
    """Draw one contest. The unit is one in which ours is easy to read."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    contest = result.contest
    unit, size = _unit(result)
    yield f"{contest.name}: {contest.what}"
    work = f"{contest.operations:,} {contest.operation}s"
    yield f"  {contest.clock}; {result.rounds} rounds of {work}"
    yield f"  {'contender':<28}{f'{unit}/{contest.operation}':>14}{'ratio':>9}   min - max"
    for score in result.scores:
        least, middle, most = (
            f"{cost / size:,.1f}" for cost in (score.least, score.median, score.most)
        )
        yield f"  {score.name:<28}{middle:>14}{score.ratio:>8.2f}x   {least} - {most}"


def _unit(result: Result) -> tuple[str, int]:
    if result.contest.clock is Clock.MEMORY:
        return "bytes", 1
    if result.scores[0].median < _US_FROM_NS:
        return "ns", 1
    return "µs", _US


def document(results: Sequence[Result], at: datetime) -> dict[str, Any]:
    """Return everything; costs are in ns, or in bytes for memory."""
    return {
        "at": at.isoformat(timespec="seconds"),
        "machine": machine(),
        "contests": [
            {**_contest(result.contest), "rounds": result.rounds, "scores": _scores(result)}
            for result in results
        ],
    }


def _contest(contest: Contest) -> dict[str, Any]:
    return {
        "name": contest.name,
        "what": contest.what,
        "operation": contest.operation,
        "operations": contest.operations,
        "cost": contest.clock.value,
        "unit": "bytes" if contest.clock is Clock.MEMORY else "ns",
    }


def _scores(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "contender": score.name,
            "median": score.median,
            "ratio": score.ratio,
            "min": score.least,
            "max": score.most,
        }
        for score in result.scores
    ]
