"""What an account should hold: what both sides agreed on, moved by the executions since.

Rule 1: only executions move it. An answer of the broker that is something else changes
nothing here; it is a difference until an execution explains it or a person accepts it.

Rule 2: an answer that agrees proves only what it was asked about. What was agreed on stays
the base to count from, and executions that are told late count from there: an answer may be
an old one that agrees because nobody has told us of a fill yet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from engine.domain.risk.exposure import ZERO
from engine.domain.risk.moves import Move, Span
from engine.domain.values import ConId


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """A position that is not known any closer."""

    lowest: Decimal
    highest: Decimal

    def __contains__(self, quantity: Decimal) -> bool:
        return self.lowest <= quantity <= self.highest

    def nearest(self, quantity: Decimal) -> Decimal:
        """Return the value that is closest to `quantity`."""
        return min(max(quantity, self.lowest), self.highest)

    def moved(self, move: Move, *, sure: bool) -> "Between":
        """Return it after a move, or after one that perhaps was."""
        low = move.quantity if sure else min(move.quantity, ZERO)
        high = move.quantity if sure else max(move.quantity, ZERO)
        return Between(lowest=self.lowest + low, highest=self.highest + high)


_FLAT: Final = Between(lowest=ZERO, highest=ZERO)


@dataclass(slots=True, kw_only=True)
class _Ledger:
    """One contract: what was agreed, the moves since, and those that it may have already."""

    quantity: Decimal
    span: Span
    later: list[Move] = field(default_factory=list)
    unsure: list[Move] = field(default_factory=list)

    def add(self, move: Move) -> None:
        """Note a move, unless it surely is in what was agreed."""
        if move.is_in(self.span):
            return
        (self.unsure if move.is_doubtful(self.span) else self.later).append(move)

    def at(self, read: Span) -> Between:
        """Return what an answer should have."""
        found = Between(lowest=self.quantity, highest=self.quantity)
        for move in self.unsure:
            found = found.moved(move, sure=False)
        for move in self.later:
            if move.is_in(read):
                found = found.moved(move, sure=True)
            elif move.is_doubtful(read):
                found = found.moved(move, sure=False)
        return found

    def expected(self) -> Between:
        """Return what it should be with all that has happened."""
        found = Between(lowest=self.quantity, highest=self.quantity)
        for move in self.unsure:
            found = found.moved(move, sure=False)
        for move in self.later:
            found = found.moved(move, sure=True)
        return found

    def fold(self, read: Span) -> None:
        """Count what is settled into the base, so that it need not be kept."""
        settled = [move for move in self.later if move.is_in(read)]
        self.quantity += sum((move.quantity for move in settled), ZERO)
        self.later = [move for move in self.later if not move.is_in(read)]

    def resolve(self, found: Decimal, read: Span) -> None:
        """Learn from an answer that agrees which moves the base had, unless it has doubts."""
        if self.unsure and not any(move.is_doubtful(read) for move in (*self.later, *self.unsure)):
            settled = (move.quantity for move in self.later if move.is_in(read))
            self.quantity, self.unsure = found - sum(settled, ZERO), []

    def rebased(self, quantity: Decimal, read: Span) -> "_Ledger":
        """Return the ledger that counts from an answer on."""
        ledger = _Ledger(quantity=quantity, span=read)
        for move in (*self.unsure, *self.later):
            ledger.add(move)
        return ledger


class Ledgers:
    """The contracts of one account."""

    def __init__(self) -> None:
        self._base: Span | None = None
        self._ledgers: dict[ConId, _Ledger] = {}
        self._early: list[Move] = []

    @property
    def based(self) -> bool:
        """True once there is something to compare with."""
        return self._base is not None

    def begin(self, quantities: Mapping[ConId, Decimal], read: Span) -> None:
        """Agree on all that is held; what is not named is flat."""
        self._base = read
        self._ledgers = {
            conid: _Ledger(quantity=quantity, span=read) for conid, quantity in quantities.items()
        }
        early, self._early = self._early, []
        self.move(early)

    def move(self, moves: Iterable[Move]) -> None:
        """Count what executions did."""
        for move in moves:
            if self._base is None:
                self._early.append(move)
            else:
                self._of(move.conid).add(move)

    def differences(
        self, quantities: Mapping[ConId, Decimal], read: Span
    ) -> dict[ConId, tuple[Decimal, Decimal]]:
        """Take an answer; return the contracts that differ: what should be, and what is."""
        differing = {}
        for conid in sorted({*self._ledgers, *quantities}):
            ledger, found = self._of(conid), quantities.get(conid, ZERO)
            should = ledger.at(read)
            if found not in should:
                differing[conid] = (should.nearest(found), found)
            else:
                ledger.resolve(found, read)
            ledger.fold(read)
        return differing

    def accept(self, conid: ConId, quantity: Decimal, read: Span) -> None:
        """Agree on what the broker says of a contract, whatever it should have been."""
        self._ledgers[conid] = self._of(conid).rebased(quantity, read)

    @property
    def conids(self) -> tuple[ConId, ...]:
        """The contracts that the account perhaps should hold."""
        return tuple(conid for conid, ledger in self._ledgers.items() if ledger.expected() != _FLAT)

    def expected(self, conid: ConId) -> Between:
        """Return what the account should hold with all that has happened."""
        ledger = self._ledgers.get(conid)
        return _FLAT if ledger is None else ledger.expected()

    def _of(self, conid: ConId) -> _Ledger:
        ledger = self._ledgers.get(conid)
        if ledger is None:
            assert self._base is not None
            ledger = self._ledgers[conid] = _Ledger(quantity=ZERO, span=self._base)
        return ledger
