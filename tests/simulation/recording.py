"""Keeps the journal of a simulated day, and what it made, among the golden ones.

python -m tests.simulation.recording SEED
"""

import sys

from engine.journal.export import line_of
from tests.journal import recorded
from tests.simulation.checker import check_day
from tests.simulation.day import Day, quiet_logs, run_day
from tests.simulation.journal import Disk


def lines_of(disk: Disk) -> bytes:
    """Return the export of what is on a disk."""
    return b"".join(
        line_of(
            (
                *(one.seq, one.at_ns, one.epoch, one.type, one.account, one.order_id),
                *(one.session, one.body, b"", one.hash),
            )
        )
        for one in disk.records
    )


def main(seed: int) -> None:
    """Live the day, and keep it if every rule held."""
    kept: list[bytes] = []

    def check(day: Day) -> list[str]:
        kept.append(lines_of(day.disk))
        return check_day(day)

    quiet_logs()
    outcome = run_day(seed, check)
    if outcome.problems:
        sys.exit(f"seed {seed} broke a rule: {outcome.problems}")
    recorded.keep(f"day-{seed}", kept[0])


if __name__ == "__main__":
    main(int(sys.argv[1]))
