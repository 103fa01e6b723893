"""What an order does whenever a record changes it: write it, and follow it up.

Rule 1: every change goes through `_record`, so what it has to lead to is never forgotten:
the broker's id is learned, a lookup begins and ends, a turn that is of no use is given back.

Rule 2: a turn is given back once, and never while a request of it is on the wire.
"""

from dataclasses import dataclass, replace
from typing import Final

from engine.domain.messages import (
    CancelAtBroker,
    LearnAlias,
    OrderAnswered,
    OrderEffect,
    OrderRecord,
    PromptRaised,
    ReleaseTurn,
    ReportAnomaly,
    RequestLookup,
    StartTimer,
    StopLookup,
    StopTimer,
    TurnGranted,
    WriteRecord,
)
from engine.domain.order.change import Shown
from engine.domain.order.history import OrderHistory
from engine.domain.values import TERMINAL, Confidence, OutcomeKind
from engine.domain.views import OrderView

CANCEL_RETRY_MS: Final = (5_000, 15_000, 45_000, 300_000)
"""Waits between repeated cancels; a cancel by id is idempotent at the broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What the polls keep showing of a doubtful change, and whether for long enough."""

    shown: Shown
    count: int
    ripe: bool = False


NO_ROWS: Final = Rows(shown=Shown.NOTHING, count=0)


class OrderRecorder(OrderHistory):
    """An order that knows what is under way for it, besides what is journaled."""

    __slots__ = (
        "_cancel_durable",
        "_cancel_tries",
        "_in_flight",
        "_looking",
        "_next_prompt",
        "_rows",
        "_turn",
        "_turn_wanted",
        "_unseen",
        "_void",
        "halted",
    )

    def __init__(self) -> None:
        super().__init__()
        self._turn: TurnGranted | None = None
        self._turn_wanted = False
        self._looking = False
        self._cancel_durable = False
        self._cancel_tries = 0
        self._in_flight = False
        self._void = False
        self._unseen = False
        self._next_prompt: PromptRaised | None = None
        self._rows = NO_ROWS
        self.halted = False
        """Set by the shell: nothing about this order may be confirmed to the broker."""

    @property
    def waits_for_turn(self) -> bool:
        """True when it asked for the lane and has not got it."""
        return self._turn_wanted and self._turn is None and not self._in_flight

    @property
    def has_turn(self) -> bool:
        """True while the lane is this order's."""
        return self._turn_wanted and not self.waits_for_turn

    @property
    def is_looked_for(self) -> bool:
        """True while the session looks for it at the broker."""
        return self._looking

    def _record(
        self, record: OrderRecord, at_ns: int, *, confirm: bool = False
    ) -> tuple[OrderEffect, ...]:
        """Apply the record, have it written, and do what its consequences ask for."""
        was_terminal = self.state in TERMINAL if self.state_known else False
        had_alias = self.broker_order_id is not None
        had_change = self.change is not None
        filled = self.fills.quantity

        anomalies = self.apply(record, at_ns)

        if isinstance(record, OrderAnswered) and record.outcome.kind is OutcomeKind.ACK:
            self._unseen = False
        effects: list[OrderEffect] = [
            WriteRecord(record=record, view=self.view(), confirm=confirm),
            *(self._anomaly(kind, detail) for kind, detail in anomalies),
            *self._aliases(known_before=had_alias),
        ]
        if was_terminal and self.fills.quantity > filled:
            effects.append(self._anomaly("late_fill", f"filled {self.fills.quantity}"))
        ended = self.state in TERMINAL and not was_terminal
        change_ended = had_change and self.change is None
        if ended or change_ended:
            effects.extend(self._leave_turn())
        if ended:
            effects.append(StopTimer(name="cancel"))
        if was_terminal and had_alias and self.state not in TERMINAL:
            effects.extend(self._send_cancel())  # It was wanted, and there is an order after all.
        if change_ended:
            effects.extend(self._stop_weighing())
        effects.extend(self._follow_lookup())
        return tuple(effects)

    def _leave_turn(self) -> tuple[OrderEffect, ...]:
        """Give up a turn, unless a request is on the wire: then its answer ends it."""
        if not self._turn_wanted:
            return ()
        stop = StopTimer(name="turn")
        return (stop,) if self._in_flight else (stop, *self._release_turn())

    def _stop_weighing(self) -> tuple[OrderEffect, ...]:
        if not self._rows.count:
            return ()
        self._rows = NO_ROWS
        return (StopTimer(name="modify"),)

    def _aliases(self, *, known_before: bool) -> tuple[OrderEffect, ...]:
        if known_before or self.broker_order_id is None:
            return ()
        learned = LearnAlias(
            order_id=self.order_id,
            account=self.ticket.account,
            broker_order_id=self.broker_order_id,
        )
        # A cancel that waited for the order to be seen fires now.
        return (learned, *self._send_cancel())

    def _send_cancel(self) -> tuple[OrderEffect, ...]:
        if not (self._cancel_open and self._cancel_durable) or self.broker_order_id is None:
            return ()
        delay_ms = CANCEL_RETRY_MS[min(self._cancel_tries, len(CANCEL_RETRY_MS) - 1)]
        self._cancel_tries += 1
        return (
            CancelAtBroker(
                order_id=self.order_id,
                session=self.approved.session,
                account=self.ticket.account,
                broker_order_id=self.broker_order_id,
                sec_type=self.ticket.sec_type,
            ),
            StartTimer(name="cancel", delay_ms=delay_ms),
        )

    def _follow_lookup(self) -> tuple[OrderEffect, ...]:
        return self._look() if self.needs_lookup else self._stop_looking()

    def _look(self) -> tuple[OrderEffect, ...]:
        if self._looking:
            return ()
        self._looking = True
        return (RequestLookup(order_id=self.order_id, session=self.approved.session),)

    def _stop_looking(self) -> tuple[OrderEffect, ...]:
        if not self._looking:
            return ()
        self._looking = False
        return (StopLookup(order_id=self.order_id, session=self.approved.session),)

    def _release_turn(self) -> tuple[OrderEffect, ...]:
        if not self._turn_wanted:
            return ()
        self._turn_wanted = False
        self._turn = None
        return (ReleaseTurn(order_id=self.order_id, session=self.approved.session),)

    def _anomaly(self, kind: str, detail: str) -> ReportAnomaly:
        return ReportAnomaly(machine="order", kind=kind, detail=f"{self.order_id}: {detail}")

    def view(self, seq: int = 0) -> OrderView:
        """Return the order as it is shown; `seq` is filled in once it is durable."""
        shown = self.snapshot(seq)
        return replace(shown, confidence=Confidence.UNCONFIRMED) if self._unseen else shown
