"""Which cells there are, and running many of them."""

import itertools
import random
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tests.crash.flows import FLOWS, points, recovery_points
from tests.crash.matrix import MOODS, Cell, Result, run_cell

Journal = Callable[[], AbstractContextManager[str | None]]
"""Makes the URL of an empty journal; None is the default one, in a file."""


def every_cell() -> Iterator[Cell]:
    """Return the whole matrix."""
    for flow in FLOWS:
        for point in points(flow):
            moods = MOODS if point.startswith("wire:PLACE") else MOODS[:1]
            for mood in moods:
                yield Cell(flow=flow, points=(point,), mood=mood)
        for pair in recovery_points(flow):
            yield Cell(flow=flow, points=pair)
    first = "wire:PLACE:last:1"
    yield Cell(flow="limit", points=(first, "recovery:3", "recovery:5"))
    yield Cell(flow="limit", points=(first, "recovery:1", "recovery:2"))
    yield Cell(flow="market", points=("stop",))
    yield Cell(flow="bracket", points=("stop",))


def sample(count: int, *, seed: int) -> list[Cell]:
    """Draw some cells, of every flow the same number."""
    chance = random.Random(seed)
    by_flow = {
        flow: chance.sample(list(cells), k=count)
        if len(cells := [cell for cell in every_cell() if cell.flow == flow]) >= count
        else cells
        for flow in FLOWS
    }
    rounds = itertools.zip_longest(*by_flow.values())
    drawn = [cell for cells in rounds for cell in cells if cell is not None]
    return drawn[:count]


def run_all(
    cells: list[Cell],
    *,
    workers: int,
    journal: Journal = nullcontext,
    tell: Callable[[Result], None] = lambda _result: None,
) -> list[Result]:
    """Run the cells, some at a time."""
    lock = threading.Lock()

    def run(cell: Cell) -> Result:
        with tempfile.TemporaryDirectory() as folder, journal() as url:
            try:
                result = run_cell(cell, Path(folder), journal_url=url)
            except Exception as error:  # noqa: BLE001 - the other cells are worth their time
                told = traceback.format_exception_only(error)
                result = Result(cell, problems=[f"it broke: {''.join(told).strip()[-2000:]}"])
        with lock:
            tell(result)
        return result

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, cells))
