"""Whether the holdings of an account leave room for an order that nobody can find.

Between two reads of the positions an account's holding of a contract moves by what traded.
If the executions that are known explain the move, no unknown order has filled.

The times of executions are the broker's, and the positions come from a system of their own
that may be behind: so an execution near a read may be in it or not. What is tried is every
cut through the executions around both reads, in their order.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.messages import PositionsRead
from engine.domain.values import AccountId, ConId, Execution, Side, execution_root

SLACK_NS: Final = 60_000_000_000
"""So far from a read an execution may be on either side of it."""

EXECUTIONS_NS: Final = 86_400_000_000_000
"""Executions are remembered for a day."""

_READS_MAX: Final = 4
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What an account held, read between the two wall times."""

    started_ns: int
    ended_ns: int
    quantities: Mapping[ConId, Decimal]


class PositionReads:
    """The last reads of each account's positions, and the executions known meanwhile."""

    def __init__(self) -> None:
        self._holdings: dict[AccountId, deque[Holding]] = {}
        self._executions: dict[str, Execution] = {}

    def read(self, message: PositionsRead, now_ns: int, wall_ns: int) -> None:
        """Take a read; its times are monotonic, and wall time is what orders are dated by."""
        ahead_ns = wall_ns - now_ns
        quantities = {one.conid: one.quantity for one in message.positions}
        holding = Holding(
            started_ns=message.started_ns + ahead_ns,
            ended_ns=message.ended_ns + ahead_ns,
            quantities=quantities,
        )
        reads = self._holdings.setdefault(message.account, deque(maxlen=_READS_MAX))
        reads.append(holding)

    def trade(self, executions: Iterable[Execution], wall_ns: int) -> None:
        """Take a read of the trades."""
        for execution in executions:
            self._executions[execution_root(execution.execution_id)] = execution
        since_ms = (wall_ns - EXECUTIONS_NS) // _NS_PER_MS
        self._executions = {
            root: one for root, one in self._executions.items() if one.at_ms >= since_ms
        }

    def before(self, account: AccountId, wall_ns: int) -> Holding | None:
        """Return the newest read that had ended by then; None where there was none."""
        reads = self._holdings.get(account, ())
        return next((one for one in reversed(reads) if one.ended_ns <= wall_ns), None)

    def after(self, account: AccountId, wall_ns: int) -> Holding | None:
        """Return the newest read, if it had not begun by then."""
        reads = self._holdings.get(account)
        return reads[-1] if reads and reads[-1].started_ns > wall_ns else None

    def explain(self, account: AccountId, conid: ConId, before: Holding, after: Holding) -> bool:
        """Say whether the executions known explain how the holding of a contract moved."""
        moved = after.quantities.get(conid, Decimal(0)) - before.quantities.get(conid, Decimal(0))
        trades = sorted(
            (
                (one.at_ms * _NS_PER_MS, one.quantity if one.side is Side.BUY else -one.quantity)
                for one in self._executions.values()
                if (one.account, one.conid) == (account, conid)
            ),
            key=lambda trade: trade[0],
        )
        return any(
            sum((quantity for _, quantity in trades[first:last]), Decimal(0)) == moved
            for first in _cuts(trades, before)
            for last in _cuts(trades, after)
            if first <= last
        )


def _cuts(trades: Sequence[tuple[int, Decimal]], read: Holding) -> range:
    """Return how many of the trades, the oldest first, the read may have had in it."""
    surely = sum(at_ns <= read.started_ns - SLACK_NS for at_ns, _ in trades)
    perhaps = sum(at_ns <= read.ended_ns + SLACK_NS for at_ns, _ in trades)
    return range(surely, perhaps + 1)
