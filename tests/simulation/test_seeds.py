"""A thousand days in bad weather, and nothing that must hold was broken on any of them.

They are lived in processes of their own, in which nothing is measured: what a day covers
of the engine is covered by the other tests as well.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.coverage import SOMETIMES

ROOT = Path(__file__).parents[2]
DAYS = int(os.environ.get("SIMULATION_DAYS", "1000"))
"""Fewer for a quick look; what must be reached is looked at from a thousand on."""

WORKERS = 2
SECONDS_MAX = 1_500


@pytest.mark.timeout(SECONDS_MAX + 30)
def test_a_thousand_days_hold_and_reach_all_that_is_interesting() -> None:
    measured = ("COV_", "COVERAGE_")
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.simulation", "--json",
            "--seeds", f"0:{DAYS}", "--workers", str(WORKERS),
        ],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if not name.startswith(measured)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )  # fmt: skip
    assert done.stdout, done.stderr
    *problems, summary = done.stdout.splitlines()
    report = json.loads(summary)
    assert report["failed"] == [], "\n".join(problems)
    assert (report["days"], done.returncode) == (DAYS, 0)
    never = [what for what in SOMETIMES if not report["sometimes"].get(what)]
    assert DAYS < 1_000 or not never, f"never reached in {DAYS} days: {never}"
