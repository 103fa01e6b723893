"""One seed is one day: step for step, whatever else the machine does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.checker import check_day
from tests.simulation.day import run_day

ROOT = Path(__file__).parents[2]
SEED = 92


def digest_in_another_process(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.stdout.partition("digest ")[2].split()[0]


@pytest.mark.usefixtures("quiet")
def test_a_seed_gives_the_same_day_again() -> None:
    first, second = run_day(SEED, check_day), run_day(SEED, check_day)
    assert (first.digest, first.steps) == (second.digest, second.steps)
    assert first.steps > 100


@pytest.mark.usefixtures("quiet")
def test_another_seed_gives_another_day() -> None:
    assert run_day(SEED, check_day).digest != run_day(SEED + 1, check_day).digest


@pytest.mark.usefixtures("quiet")
def test_neither_the_process_nor_its_hashes_change_the_day() -> None:
    here = run_day(SEED, check_day).digest
    assert digest_in_another_process(SEED, "1") == here
    assert digest_in_another_process(SEED, "2") == here
