"""Many days in several processes: the same days as in one, and no loss goes unnoticed."""

import gc
import os

import pytest

from tests.simulation import runner
from tests.simulation.checker import check_day
from tests.simulation.day import Outcome, run_day
from tests.simulation.runner import live_many, live_some

SHORT_DAYS = range(13, 15)


@pytest.mark.usefixtures("quiet")
def test_days_in_a_process_of_their_own_are_the_days_in_this_one() -> None:
    here = [run_day(seed, check_day) for seed in SHORT_DAYS]

    assert live_some(SHORT_DAYS) == here
    assert gc.isenabled()


def test_every_seed_is_lived_once_and_told_in_order() -> None:
    found = [outcome.seed for outcome in live_many(range(13, 16), workers=2)]

    assert found == [13, 14, 15]


def test_a_process_that_dies_with_its_days_is_an_error_and_no_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(_seed: int) -> Outcome:
        os._exit(7)

    monkeypatch.setattr(runner, "live_one", die)

    with pytest.raises(RuntimeError, match=r"range\(3, 5\) ended with code 7"):
        live_some(range(3, 5))
