"""A sample of the crash matrix; `make crash` runs more of it, and all of it on demand."""

from pathlib import Path

import pytest

from tests.crash.matrix import Cell, Result, run_cell
from tests.crash.sample import run_all, sample

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """What came of two dozen cells."""
    return run_all(sample(24, seed=1), workers=2)


def test_nothing_is_lost_or_sent_twice_wherever_it_dies(results: list[Result]) -> None:
    assert [(str(one.cell), one.problems) for one in results if one.problems] == []


def test_the_engines_really_died(results: list[Result]) -> None:
    assert sum(one.deaths for one in results) >= len(results) * 0.8


@pytest.mark.parametrize("record", ["INTENT", "ATTEMPT"])
def test_an_engine_that_sends_what_is_not_durable_is_found_out(tmp_path: Path, record: str) -> None:
    result = run_cell(Cell(flow="limit", points=(f"lie:{record}",)), tmp_path)

    assert result.deaths == 1
    assert result.problems != []


def test_a_sample_has_cells_of_every_flow() -> None:
    cells: list[Cell] = sample(24, seed=1)

    flows = {cell.flow for cell in cells}

    assert flows == {"market", "limit", "question", "modify", "cancel", "bracket"}
