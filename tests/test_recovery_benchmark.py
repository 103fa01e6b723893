"""The benchmarks of the journal's promises do what they say, on a small scale."""

from pathlib import Path

from benchmarks.contest import check
from benchmarks.recovery import contests


def test_every_promise_is_measured_on_work_that_was_done(tmp_path: Path) -> None:
    found = {
        contest.name: (check(contest), [one.name for one in contest.contenders])
        for contest in contests(tmp_path, singles=4, orders=5, records=70)
    }

    assert found == {
        "journal/intent-p50": (
            {"records": 4},
            ["engine SqliteJournal", "sqlite3, commit per record"],
        ),
        "journal/intent-p99": (
            {"records": 4},
            ["engine SqliteJournal", "sqlite3, commit per record"],
        ),
        "journal/orders": ({"records": 15}, ["engine", "the floor, 300 orders/s"]),
        "journal/replay": (
            {"records": 70, "orders": 10, "awake": 10},
            ["engine", "the ceiling, 30 s for 1,000,000"],
        ),
        "journal/start": (
            {"records": 70, "orders": 10, "awake": 10, "shown": 10},
            ["engine", "the ceiling, 2 s"],
        ),
    }
    assert list(tmp_path.iterdir()) == [], "the files are removed"
