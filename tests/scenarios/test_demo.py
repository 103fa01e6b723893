"""`engine demo`, the first thing that a stranger runs."""

import re
import subprocess
import sys

import pytest

from tests.scenarios.processes import WAIT_S


@pytest.mark.timeout(120)
def test_the_demo_trades_and_says_what_filled() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine", "demo", "--for", "1"],
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    # The row of the order may come before the answer to the reply.
    story = r"INTENT → ATTEMPT → QUESTION o10151 → REPLY( → ROW)* → OUTCOME"
    assert re.search(story, done.stdout)
    assert "QTY_EXCEEDS_MAX" in done.stdout
    assert "filled: BUY 10 AAPL" in done.stdout
    assert "filled: SELL 4 AAPL" in done.stdout
