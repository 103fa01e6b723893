"""Planted bugs are found. `python -m tests.simulation --bugs` proves it of all."""

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.runner import find_bug, live_one

QUICK = ("send before commit", "drop a fill")
"""These show themselves on nearly every day."""


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found_within_a_few_days(name: str) -> None:
    found = find_bug(name, range(1, 21))
    assert found is not None
    assert live_one(found.seed).problems == (), "without the bug the same day holds"


def test_twenty_five_bugs_and_more_can_be_planted() -> None:
    assert len(BUGS) >= 25
