import pytest

from engine.actors.journal_health import JournalHealth
from engine.actors.watched_journal import FULL
from engine.domain.ports import JournalFull, JournalUnavailable
from engine.domain.values import Reason

DISK_FULL = Reason(code=FULL, message="no space left on the device")
GONE = Reason(code="JOURNAL_UNAVAILABLE", message="fsync failed")


def test_a_journal_without_a_problem_refuses_nothing() -> None:
    health = JournalHealth()

    health.refuse_new()
    health.refuse_all()

    assert (health.problem, health.failed) == (None, None)


def test_a_full_disk_refuses_what_begins_and_lets_the_rest_go_on() -> None:
    health = JournalHealth()

    health.note(DISK_FULL)

    health.refuse_all()
    with pytest.raises(JournalFull, match="no space left"):
        health.refuse_new()
    assert isinstance(health.error("too late"), JournalFull)
    assert (health.problem, health.failed) == (DISK_FULL, None)


def test_a_journal_that_cannot_write_refuses_all_and_is_not_merely_full_again() -> None:
    health = JournalHealth()

    for problem in (DISK_FULL, GONE, DISK_FULL):
        health.note(problem)

    for refuse in (health.refuse_new, health.refuse_all):
        with pytest.raises(JournalUnavailable, match="fsync failed") as refused:
            refuse()
        assert not isinstance(refused.value, JournalFull)
    assert not isinstance(health.error("too late"), JournalFull)
    assert (health.problem, health.failed) == (GONE, GONE)
