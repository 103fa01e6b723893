"""What executions do to positions, and whether an answer of the broker has that already.

Rule 1: an execution moves a position once, however often it is told. A newer revision of
it moves the difference, an older one nothing.

Rule 2: no clock and no cache is trusted further than needed. The broker's time of a fill
may be `SKEW_NS` off ours, and a fill happened before we saw it, and after its order was
approved here. What a correction takes back or adds happened at any time until we saw it.
An answer of the broker has all that happened `SETTLE_NS` before it was asked for, nothing
that happened after it was complete, and perhaps what happened between the two.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.messages import PositionFilled
from engine.domain.risk.exposure import ZERO
from engine.domain.values import ConId, Execution, Side, execution_root

SETTLE_NS: Final = 5_000_000_000
"""How long an execution takes, at most, to reach the positions that the broker serves."""

SKEW_NS: Final = 10_000_000_000
"""How far the broker's clock may be ahead of ours or behind it."""

_TOLD_NS: Final = 1_000_000_000
"""The broker may tell whole seconds of when a fill happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When an answer of the broker was asked for and when it was complete, monotonic."""

    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What an execution did to a position, between which times, and when most likely."""

    conid: ConId
    quantity: Decimal
    earliest_ns: int
    likely_ns: int
    latest_ns: int

    def is_in(self, read: Span) -> bool:
        """Return whether the answer surely contains it."""
        return self.latest_ns < read.started_ns - SETTLE_NS

    def is_doubtful(self, read: Span) -> bool:
        """Return whether the answer may contain it, and may not."""
        return not self.is_in(read) and self.earliest_ns <= read.ended_ns

    def is_likely_in(self, read: Span) -> bool:
        """Return whether the answer rather has it than not, going by the broker's time."""
        return self.is_doubtful(read) and self.likely_ns + _TOLD_NS < read.started_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What is new in a fill: its moves, and by how much its execution grew.

    That is its quantity when it is new, and the difference when it corrects one.
    """

    moves: tuple[Move, ...]
    grown: Decimal


class Executions:
    """The executions of one account, each in its newest revision."""

    def __init__(self) -> None:
        self._known: dict[str, Execution] = {}

    def take(self, message: PositionFilled, *, begun_ns: int | None = None) -> Taken | None:
        """Return what is new in it, None when nothing is.

        `begun_ns` is when its order was approved here; it cannot have filled before.
        """
        execution = message.execution
        root = execution_root(execution.execution_id)
        known = self._known.get(root)
        if known is not None and execution.execution_id <= known.execution_id:
            return None
        self._known[root] = execution
        grown = execution.quantity - (ZERO if known is None else known.quantity)
        return Taken(moves=tuple(_moves(message, known, begun_ns)), grown=grown)


def _moves(
    message: PositionFilled, known: Execution | None, begun_ns: int | None
) -> Iterable[Move]:
    """Yield what the execution does to positions that have its older revision already."""
    execution = message.execution
    changes = {execution.conid: _signed(execution)}
    earliest_ns = message.now_ns - SKEW_NS
    if begun_ns is not None:
        earliest_ns = max(earliest_ns, begun_ns)
    likely_ns, latest_ns = message.now_ns, min(message.now_ns + SKEW_NS, message.seen_ns)
    if known is not None:
        changes[known.conid] = changes.get(known.conid, ZERO) - _signed(known)
        likely_ns = latest_ns = message.seen_ns
    for conid, quantity in changes.items():
        if quantity:
            yield Move(
                conid=conid,
                quantity=quantity,
                earliest_ns=earliest_ns,
                likely_ns=max(likely_ns, earliest_ns),
                latest_ns=max(latest_ns, earliest_ns),
            )


def _signed(execution: Execution) -> Decimal:
    return execution.quantity if execution.side is Side.BUY else -execution.quantity
