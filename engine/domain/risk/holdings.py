"""What an account holds: the broker's last complete answer, moved by the fills seen since.

Rule 1: an execution moves a position once, however often it is told.

Rule 2: an answer that may or may not contain a fill is not believed: the broker serves
positions from a cache that runs behind its executions. The next answer is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.messages import PositionFilled, PositionsRead
from engine.domain.risk.exposure import ZERO
from engine.domain.values import ConId, Execution, ExecutionId, Position, Side

SETTLE_NS: Final = 5_000_000_000
"""How long before a read an execution must have been seen to be surely in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A contract of which the broker says something else than our own count."""

    conid: ConId
    counted: Decimal
    broker: Decimal


class Holdings:
    """The positions of one account."""

    def __init__(self) -> None:
        self._quantities: dict[ConId, Decimal] = {}
        self._positions: dict[ConId, Position] = {}
        self._executions: set[ExecutionId] = set()
        self._recent: list[PositionFilled] = []
        self._read: PositionsRead | None = None

    @property
    def known(self) -> bool:
        """True once the broker's holdings were read."""
        return self._read is not None

    @property
    def read_ns(self) -> int | None:
        """When the broker's answer was complete, None before the first."""
        return None if self._read is None else self._read.ended_ns

    @property
    def quantities(self) -> Mapping[ConId, Decimal]:
        """Everything that is not flat, and perhaps some that is."""
        return self._quantities

    def quantity(self, conid: ConId) -> Decimal | None:
        """Return the position, None while nothing is known."""
        return self._quantities.get(conid, ZERO) if self.known else None

    def position(self, conid: ConId) -> Position | None:
        """Return the broker's last word of a contract, None if it had none."""
        return self._positions.get(conid)

    def fill(self, message: PositionFilled) -> bool:
        """Move a position; False when the execution was counted before.

        News of a fill that is older than the broker's last answer, by more than that may
        lag, is in it already: the stream replays the day's executions at every connect.
        """
        execution = message.execution
        if execution.execution_id in self._executions:
            return False
        self._executions.add(execution.execution_id)
        if self._read is not None and message.now_ns < self._read.started_ns - SETTLE_NS:
            return False
        self._recent.append(message)
        self._move(execution)
        return True

    def is_news(self, message: PositionsRead) -> bool:
        """Return whether the read began after the one that is in use."""
        return self._read is None or message.started_ns > self._read.started_ns

    def is_unsure(self, message: PositionsRead) -> bool:
        """Return whether an execution came so close that the read may not contain it."""
        earliest_ns = message.started_ns - SETTLE_NS
        return any(earliest_ns <= fill.now_ns <= message.ended_ns for fill in self._recent)

    def replace(self, message: PositionsRead) -> tuple[Break, ...]:
        """Believe the broker's answer and return where it differs from our own count.

        A contract that it does not list is flat. What filled after the answer is added.
        """
        before, counted_before = self._quantities, self.known
        self._read = message
        self._recent = [fill for fill in self._recent if fill.now_ns > message.ended_ns]
        self._positions = {position.conid: position for position in message.positions}
        self._quantities = {}
        for position in message.positions:
            total = self._quantities.get(position.conid, ZERO) + position.quantity
            self._quantities[position.conid] = total
        for fill in self._recent:
            self._move(fill.execution)
        if not counted_before:
            return ()
        return tuple(
            Break(conid=conid, counted=before.get(conid, ZERO), broker=after)
            for conid in sorted({**before, **self._quantities})
            if before.get(conid, ZERO) != (after := self._quantities.get(conid, ZERO))
        )

    def _move(self, execution: Execution) -> None:
        signed = execution.quantity if execution.side is Side.BUY else -execution.quantity
        before = self._quantities.get(execution.conid, ZERO)
        self._quantities[execution.conid] = before + signed
