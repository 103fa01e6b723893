"""What becomes due at the venue, and when.

Rule: what is due at the same time happens in the order it was planned.
"""

import heapq
from collections.abc import Iterator
from enum import Enum


class Step(Enum):
    """A kind of thing that becomes due; its target is an order or an execution."""

    PRE_SUBMIT = "pre_submit"
    SUBMIT = "submit"
    FILL = "fill"
    CANCEL = "cancel"
    COMMISSION = "commission"
    AUCTION = "auction"
    PROMPT_END = "prompt_end"


class Agenda:
    """Planned steps; time is an argument."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Step, int]] = []
        self._planned = 0

    def plan(self, step: Step, target: int, due_ms: int) -> None:
        """Let `step` happen to `target` at `due_ms`."""
        self._planned += 1
        heapq.heappush(self._due, (due_ms, self._planned, step, target))

    def take(self, now_ms: int) -> Iterator[tuple[Step, int, int]]:
        """Each step that is due with its target and its time, also those planned meanwhile."""
        while self._due and self._due[0][0] <= now_ms:
            due_ms, _, step, target = heapq.heappop(self._due)
            yield step, target, due_ms

    def rename(self, old: int, new: int) -> None:
        """Let what is planned for an order happen to it under another id."""
        self._due = [
            (due_ms, number, step, new if target == old and step is not Step.COMMISSION else target)
            for due_ms, number, step, target in self._due
        ]
        # Neither the times nor the numbers changed, so it is a heap as it was.

    def rows(self) -> list[tuple[Step, int, int]]:
        """All planned steps in their order, for `plan` to plan them again."""
        return [(step, target, due_ms) for due_ms, _, step, target in sorted(self._due, key=_order)]


def _order(row: tuple[int, int, Step, int]) -> tuple[int, int]:
    return row[:2]
