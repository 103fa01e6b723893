"""What an account holds: the broker's last answer, moved by the fills that it may lack.

Rule 1: a fill is surely in an answer, surely not in it, or in doubt; `moves.py` says how
that is told. One in doubt is counted when it happened after the answer was asked for, by
the broker's time, as that is the likelier. `doubt` says how far off that may be, and
checks take the worse end.

Rule 2: an answer that leaves as much in doubt as the one in use is not taken, as it
settles nothing; once the fills have settled, the next is. The first is always taken: a
range is better than nothing. So is one with other fills in doubt: who never stops trading
would wait for ever.

Rule 3: whether an answer is what it should be is not asked here; `reconcile.py` does.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from engine.domain.messages import PositionsRead
from engine.domain.risk.exposure import NO_DOUBT, ZERO, Doubt
from engine.domain.risk.moves import SETTLE_NS, SKEW_NS, Move, Span
from engine.domain.values import ConId, Position


class Holdings:
    """The positions of one account."""

    def __init__(self) -> None:
        self._quantities: dict[ConId, Decimal] = {}
        self._doubts: dict[ConId, Doubt] = {}
        self._positions: dict[ConId, Position] = {}
        self._doubtful = 0
        self._moves: list[Move] = []
        self._read: PositionsRead | None = None
        self._span: Span | None = None

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

    def move(self, moves: Iterable[Move]) -> None:
        """Move positions, unless the broker's answer surely has the moves already."""
        for move in moves:
            if self._span is None or not move.is_in(self._span):
                self._moves.append(move)
                self._count(move)

    def is_news(self, message: PositionsRead) -> bool:
        """Return whether the read began after the one that is in use."""
        return self._read is None or message.started_ns > self._read.started_ns

    def is_unsure(self, message: PositionsRead) -> bool:
        """Return whether the read settles nothing that the one in use leaves in doubt."""
        if self._read is None:
            return False
        before, span = self._doubtful, span_of(message)
        after = sum(move.is_doubtful(span) for move in self._moves)
        if after == before:
            # After so long, other fills are in doubt than before.
            return after > 0 and message.started_ns - self._read.ended_ns <= SETTLE_NS + SKEW_NS
        return after > before

    def replace(self, message: PositionsRead) -> None:
        """Believe the broker's answer. A contract that it does not list is flat.

        What it may not contain is added.
        """
        self._read, self._span = message, span_of(message)
        self._positions = {position.conid: position for position in message.positions}
        self._quantities, self._doubts, self._doubtful = quantities_of(message), {}, 0
        self._moves = [move for move in self._moves if not move.is_in(self._span)]
        for move in self._moves:
            self._count(move)

    def _count(self, move: Move) -> None:
        read = self._span
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


def span_of(message: PositionsRead) -> Span:
    """Return when the answer was asked for and when it was complete."""
    return Span(started_ns=message.started_ns, ended_ns=message.ended_ns)


def quantities_of(message: PositionsRead) -> dict[ConId, Decimal]:
    """Return what the answer says is held; a contract may be listed more than once."""
    quantities: dict[ConId, Decimal] = {}
    for position in message.positions:
        quantities[position.conid] = quantities.get(position.conid, ZERO) + position.quantity
    return quantities
