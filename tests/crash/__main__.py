"""The crash matrix: `python -m tests.crash [--sample N | --all] [--runs N] [--minutes M]`."""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from tests.crash.matrix import Cell, Result
from tests.crash.sample import Journal, every_cell, run_all, sample
from tests.journal.postgres import PostgresMissing, PostgresServer, running_server


def _tell(result: Result) -> None:
    verdict = "; ".join(result.problems) or "ok"
    deaths = f"{result.deaths} of {len(result.cell.points)} deaths"
    sys.stdout.write(f"{result.cell}: {deaths}: {verdict}\n")
    sys.stdout.flush()


def _batches(wanted: argparse.Namespace) -> list[Cell]:
    cells = list(every_cell()) if wanted.all else sample(wanted.sample, seed=wanted.seed)
    return [cell for cell in cells for _ in range(wanted.runs)]


def main() -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description="kill engines at every boundary")
    parser.add_argument("--all", action="store_true", help="the whole matrix")
    parser.add_argument("--sample", type=int, default=36, help="so many cells of it")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--runs", type=int, default=1, help="so often each")
    parser.add_argument("--minutes", type=float, help="draw cells for so long instead")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--postgres", action="store_true", help="on PostgreSQL, from a server of our own"
    )
    wanted = parser.parse_args()
    results: list[Result] = []
    with _journals(postgres=wanted.postgres) as journal:
        if wanted.minutes is None:
            results = run_all(_batches(wanted), workers=wanted.workers, journal=journal, tell=_tell)
        else:
            until_s = time.monotonic() + wanted.minutes * 60
            chance, cells = random.Random(wanted.seed), list(every_cell())
            while time.monotonic() < until_s:
                drawn = chance.sample(cells, k=wanted.workers * 4)
                results += run_all(drawn, workers=wanted.workers, journal=journal, tell=_tell)
    bad = [result for result in results if result.problems]
    deaths = sum(result.deaths for result in results)
    sys.stdout.write(f"{len(results)} runs, {deaths} deaths, {len(bad)} with problems\n")
    return 1 if bad else 0


@contextmanager
def _journals(*, postgres: bool) -> Iterator[Journal]:
    if not postgres:
        yield nullcontext
        return
    try:
        with running_server() as server:
            yield lambda: _database(server)
    except PostgresMissing as missing:
        sys.exit(str(missing))


@contextmanager
def _database(server: PostgresServer) -> Iterator[str]:
    name = server.new_database()
    yield server.url(name)
    server.drop_database(name)


if __name__ == "__main__":
    sys.exit(main())
