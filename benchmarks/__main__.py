"""`python -m benchmarks`: hold the contests and print how the contenders compare."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import actors, feed, journal, memory, recovery, submit
from benchmarks.contest import Contest, DigestMismatchError, hold
from benchmarks.report import document, heading, table
from engine import log

ROUNDS: Final = 9

_SCRATCH: Final = Path(__file__).parents[1] / "target"


def _journal() -> Iterator[Contest]:
    _SCRATCH.mkdir(exist_ok=True)
    yield from journal.contests(_SCRATCH)


def _recovery() -> Iterator[Contest]:
    _SCRATCH.mkdir(exist_ok=True)
    yield from recovery.contests(_SCRATCH)


def _submit() -> Iterator[Contest]:
    _SCRATCH.mkdir(exist_ok=True)
    yield from submit.contests(_SCRATCH)


def _actors() -> Iterator[Contest]:
    yield from actors.contests()
    found = memory.contests()
    if not found:
        print("actors/memory: left out, this system has no /proc/self/statm\n", file=sys.stderr)
    yield from found


FAMILIES: Final[Mapping[str, Callable[[], Iterator[Contest]]]] = {
    "feed": lambda: iter(feed.contests()),
    "actors": _actors,
    "journal": _journal,
    "recovery": _recovery,
    "submit": _submit,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Hold the contests that were asked for; return 1 when a contender did other work."""
    options = _options(arguments)
    log.configure(level="WARNING")  # an opened journal is no news here
    at = datetime.now(UTC)
    print(heading(at), end="\n\n", flush=True)
    results = []
    try:
        for family in [options.only] if options.only else FAMILIES:
            for contest in FAMILIES[family]():
                results.append(hold(contest, rounds=options.rounds))
                print(table(results[-1]), end="\n\n", flush=True)
    except DigestMismatchError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(document(results, at), indent=2) + "\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=FAMILIES, help="hold the contests of one family")
    parser.add_argument(
        "--rounds", type=_rounds, default=ROUNDS, help=f"laps of each contender (default {ROUNDS})"
    )
    parser.add_argument("--json", type=_file, metavar="FILE", help="write all figures as well")
    return parser.parse_args(arguments)


def _rounds(text: str) -> int:
    rounds = int(text) if text.isdecimal() else 0
    if rounds < 1:
        msg = f"found {text!r}, needs a number of rounds of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return rounds


def _file(text: str) -> Path:
    file = Path(text)
    if file.is_dir() or not file.parent.is_dir():
        msg = f"found {text!r}, needs a file in a folder that exists"
        raise argparse.ArgumentTypeError(msg)
    return file


if __name__ == "__main__":
    sys.exit(main())
