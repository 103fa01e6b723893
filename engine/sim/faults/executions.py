"""Faults of executions, and of when they are seen."""

from dataclasses import dataclass

from engine.sim.faults.kinds import count, number, span, switch

_EXCHANGE = "passes on what an exchange corrects, as a new revision of the execution's id"


@dataclass(kw_only=True)
class ExecutionFaults:
    """A fault of an execution strikes when it happens; one of an order's, when it is taken."""

    correct_next: int = count(
        "An execution's price is corrected later by a tick, under the next revision of its id",
        _EXCHANGE,
    )
    bust_next: int = count(
        "An execution is busted later: the next revision of its id has the size 0", _EXCHANGE
    )
    correction_late_s: float | str = span(
        "How much later that is, in seconds", "passes it on when the exchange does", default=5
    )
    late_commission: bool = switch(
        "An execution's commission comes later", "sends it in a second row"
    )
    late_commission_ms: int = number(
        "How much later, in milliseconds", "does not say how long that takes", default=3000
    )
    trades_late: int = count(
        "The executions of an order are seen later than its status",
        "shows orders and trades from two systems",
    )
    trades_late_s: float | str = span(
        "How much later, in seconds", "does not say how far apart they may be", default="0..120"
    )
    status_late: int = count(
        "The states of an order are seen later than its executions",
        "shows orders and trades from two systems",
    )
    status_late_s: float | str = span(
        "How much later, in seconds", "does not say how far apart they may be", default="0..120"
    )
