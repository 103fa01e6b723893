"""What an account holds: the broker's last answer, moved by the fills that it may lack.

Rule 1: an execution moves a position once, however often it is told. A newer revision of
it moves the difference, an older one nothing.

Rule 2: no clock and no cache is trusted further than needed. The broker's time of a fill
may be `SKEW_NS` off ours, and a fill happened before we saw it; what a correction takes
back or adds happened at any time until then. An answer of the broker has all that happened
`SETTLE_NS` before it was asked for, nothing that happened after it was complete, and
perhaps what happened between the two.

Rule 3: so a fill is surely in an answer, surely not in it, or in doubt. One in doubt is
counted when it happened after the answer was asked for, by the broker's time, as that is
the likelier. `doubt` says how far off that may be, and checks take the worse end.

Rule 4: an answer that leaves as much in doubt as the one in use is not taken, as it
settles nothing; once the fills have settled, the next is. The first is always taken: a
range is better than nothing. So is one with other fills in doubt: who never stops trading
would wait for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.messages import PositionFilled, PositionsRead
from engine.domain.risk.exposure import NO_DOUBT, ZERO, Doubt
from engine.domain.values import ConId, Execution, Position, Side, execution_root

SETTLE_NS: Final = 5_000_000_000
"""How long an execution takes, at most, to reach the positions that the broker serves."""

SKEW_NS: Final = 10_000_000_000
"""How far the broker's clock may be ahead of ours or behind it."""

_TOLD_NS: Final = 1_000_000_000
"""The broker may tell whole seconds of when a fill happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A contract of which the broker says something else than our own count."""

    conid: ConId
    counted: Decimal
    broker: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """What an execution did to a position, between which times, and when most likely."""

    conid: ConId
    quantity: Decimal
    earliest_ns: int
    likely_ns: int
    latest_ns: int

    def is_in(self, read: PositionsRead) -> bool:
        """Return whether the answer surely contains it."""
        return self.latest_ns < read.started_ns - SETTLE_NS

    def is_doubtful(self, read: PositionsRead) -> bool:
        """Return whether the answer may contain it, and may not."""
        return not self.is_in(read) and self.earliest_ns <= read.ended_ns

    def is_likely_in(self, read: PositionsRead) -> bool:
        """Return whether the answer rather has it than not, going by the broker's time."""
        return self.is_doubtful(read) and self.likely_ns + _TOLD_NS < read.started_ns


class Holdings:
    """The positions of one account."""

    def __init__(self) -> None:
        self._quantities: dict[ConId, Decimal] = {}
        self._doubts: dict[ConId, Doubt] = {}
        self._positions: dict[ConId, Position] = {}
        self._executions: dict[str, Execution] = {}
        self._doubtful = 0
        self._moves: list[_Move] = []
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
    def doubtful(self) -> int:
        """How many fills the broker's answer may have or lack; a later answer settles them."""
        return self._doubtful

    @property
    def quantities(self) -> Mapping[ConId, Decimal]:
        """Everything that is not flat, and perhaps some that is."""
        return self._quantities

    @property
    def doubted(self) -> frozenset[ConId]:
        """The contracts whose position is in doubt."""
        return frozenset(self._doubts)

    def quantity(self, conid: ConId) -> Decimal | None:
        """Return the position, None while nothing is known."""
        return self._quantities.get(conid, ZERO) if self.known else None

    def doubt(self, conid: ConId) -> Doubt:
        """Return how far the position may be from its quantity."""
        return self._doubts.get(conid, NO_DOUBT)

    def position(self, conid: ConId) -> Position | None:
        """Return the broker's last word of a contract, None if it had none."""
        return self._positions.get(conid)

    def fill(self, message: PositionFilled) -> Decimal | None:
        """Move a position, unless the broker's answer surely has the fill already.

        Returns by how much the execution grew: its quantity when it is new, the difference
        when it corrects one. None when there is nothing new in it.
        """
        execution = message.execution
        root = execution_root(execution.execution_id)
        known = self._executions.get(root)
        if known is not None and execution.execution_id <= known.execution_id:
            return None
        self._executions[root] = execution
        for move in _moves(message, known):
            if self._read is None or not move.is_in(self._read):
                self._moves.append(move)
                self._count(move)
        return execution.quantity - (ZERO if known is None else known.quantity)

    def is_news(self, message: PositionsRead) -> bool:
        """Return whether the read began after the one that is in use."""
        return self._read is None or message.started_ns > self._read.started_ns

    def is_unsure(self, message: PositionsRead) -> bool:
        """Return whether the read settles nothing that the one in use leaves in doubt."""
        if self._read is None:
            return False
        before = self._doubtful
        after = sum(move.is_doubtful(message) for move in self._moves)
        if after == before:
            # After so long, other fills are in doubt than before.
            return after > 0 and message.started_ns - self._read.ended_ns <= SETTLE_NS + SKEW_NS
        return after > before

    def replace(self, message: PositionsRead) -> tuple[Break, ...]:
        """Believe the broker's answer and return where it differs from our own count.

        A contract that it does not list is flat. What it may not contain is added.
        """
        before, doubts, counted_before = self._quantities, self._doubts, self.known
        self._read = message
        self._positions = {position.conid: position for position in message.positions}
        self._quantities, self._doubts, self._doubtful = {}, {}, 0
        for position in message.positions:
            total = self._quantities.get(position.conid, ZERO) + position.quantity
            self._quantities[position.conid] = total
        self._moves = [move for move in self._moves if not move.is_in(message)]
        for move in self._moves:
            self._count(move)
        if not counted_before:
            return ()
        breaks = (
            Break(
                conid=conid,
                counted=before.get(conid, ZERO),
                broker=self._quantities.get(conid, ZERO),
            )
            for conid in sorted({**before, **self._quantities})
        )
        return tuple(
            found
            for found in breaks
            if not _overlap(
                (found.counted, doubts.get(found.conid, NO_DOUBT)),
                (found.broker, self.doubt(found.conid)),
            )
        )

    def _count(self, move: _Move) -> None:
        read = self._read
        counted = read is None or not move.is_likely_in(read)
        if counted:
            total = self._quantities.get(move.conid, ZERO) + move.quantity
            self._quantities[move.conid] = total
        if read is not None and move.is_doubtful(read):
            self._doubtful += 1
            known = self.doubt(move.conid)
            wrong = -move.quantity if counted else move.quantity
            self._doubts[move.conid] = Doubt(
                below=known.below + max(-wrong, ZERO),
                above=known.above + max(wrong, ZERO),
            )


def _moves(message: PositionFilled, known: Execution | None) -> Iterable[_Move]:
    """Return what the execution does to positions that have its older revision already."""
    execution = message.execution
    changes = {execution.conid: _signed(execution)}
    likely_ns, latest_ns = message.now_ns, min(message.now_ns + SKEW_NS, message.seen_ns)
    if known is not None:
        changes[known.conid] = changes.get(known.conid, ZERO) - _signed(known)
        likely_ns = latest_ns = message.seen_ns
    return tuple(
        _Move(
            conid=conid,
            quantity=quantity,
            earliest_ns=message.now_ns - SKEW_NS,
            likely_ns=likely_ns,
            latest_ns=latest_ns,
        )
        for conid, quantity in changes.items()
        if quantity
    )


def _signed(execution: Execution) -> Decimal:
    return execution.quantity if execution.side is Side.BUY else -execution.quantity


def _overlap(one: tuple[Decimal, Doubt], other: tuple[Decimal, Doubt]) -> bool:
    """Return whether two ranges of a position have a value in common."""
    return (
        one[0] - one[1].below <= other[0] + other[1].above
        and other[0] - other[1].below <= one[0] + one[1].above
    )
