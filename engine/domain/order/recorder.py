"""What an order does whenever a record changes it: write it, and follow it up.

Rule 1: every change goes through `_record`, so what it has to lead to is never forgotten:
the broker's id is learned, a lookup begins and ends, a turn that is of no use is given back.

Rule 2: a turn is given back once, and never while a request of it is on the wire.

Rule 3: every id that the broker has for the order is learned, so that what any of them
fills is told to it.
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
from engine.domain.order.incarnations import Sightings
from engine.domain.values import (
    LIVE,
    TERMINAL,
    BrokerOrderId,
    Confidence,
    OrderPolicy,
    OrderRow,
    OutcomeKind,
    Question,
    QuestionId,
)
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
        "_asked_for_proof",
        "_cancel_durable",
        "_cancel_tries",
        "_in_flight",
        "_looking",
        "_next_prompt",
        "_own_read",
        "_prompt_cut",
        "_rows",
        "_second_tries",
        "_sightings",
        "_turn",
        "_turn_wanted",
        "_unseen",
        "_void",
        "halted",
        "policy",
    )

    def __init__(self) -> None:
        super().__init__()
        self._turn: TurnGranted | None = None
        self._turn_wanted = False
        self._looking = False
        self._asked_for_proof = False
        self._cancel_durable = False
        self._cancel_tries = 0
        self._in_flight = False
        self._void = False
        self._unseen = False
        self._next_prompt: PromptRaised | None = None
        self._prompt_cut: QuestionId | None = None
        self._rows = NO_ROWS
        self._second_tries = 0
        self._own_read: tuple[OrderRow, int] | None = None
        self._sightings: Sightings | None = None  # Few orders ever have a second one.
        self.halted = False
        """Set by the shell: nothing about this order may be confirmed to the broker."""
        self.policy = OrderPolicy()
        """Set by the shell: how the account's odd orders are treated."""

    @property
    def waits_for_turn(self) -> bool:
        """True when it asked for the lane and has not got it."""
        return self._turn_wanted and self._turn is None and not self._in_flight

    @property
    def has_turn(self) -> bool:
        """True while the lane is this order's."""
        return self._turn_wanted and not self.waits_for_turn

    @property
    def is_missing(self) -> bool:
        """True while the broker's lists lack an order that the broker had."""
        return self._unseen and self.state in LIVE

    @property
    def _open_prompt(self) -> Question | None:
        """The prompt under way; one that a restart cut off is in the records only."""
        prompt = self.prompt
        return None if prompt is None or prompt.question_id == self._prompt_cut else prompt

    def _cut_prompt_off(self) -> None:
        """Go on without the answer to a prompt."""
        self._prompt_cut = None if self.prompt is None else self.prompt.question_id

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
        known_ids = self._broker_ids
        had_change = self.change is not None
        filled = self.fills.quantity

        anomalies = self.apply(record, at_ns)

        if isinstance(record, OrderAnswered) and record.outcome.kind is OutcomeKind.ACK:
            self._unseen = False
        effects: list[OrderEffect] = [
            WriteRecord(record=record, view=self.view(), confirm=confirm),
            *(self._anomaly(kind, detail) for kind, detail in anomalies),
            *self._aliases(known_ids),
        ]
        if not had_alias:
            effects.extend(self._send_cancel())  # It waited for the order to be seen.
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

    @property
    def _broker_ids(self) -> tuple[BrokerOrderId, ...]:
        """All ids that the broker has for the order."""
        own = () if self.broker_order_id is None else (self.broker_order_id,)
        return (*own, *self.other_ids) if self._others else own

    def _aliases(self, known: tuple[BrokerOrderId, ...] = ()) -> tuple[OrderEffect, ...]:
        """Let every id of the broker's be learned that is not in `known`."""
        return tuple(
            LearnAlias(
                order_id=self.order_id, account=self.ticket.account, broker_order_id=broker_order_id
            )
            for broker_order_id in self._broker_ids
            if broker_order_id not in known
        )

    def _send_cancel(self) -> tuple[OrderEffect, ...]:
        if not (self._cancel_open and self._cancel_durable) or self.broker_order_id is None:
            return ()
        delay_ms = CANCEL_RETRY_MS[min(self._cancel_tries, len(CANCEL_RETRY_MS) - 1)]
        self._cancel_tries += 1
        # All that is there under its id; what a list has not proven a second one, too.
        wanted = (
            self.broker_order_id,
            *(one.broker_order_id for one in self.doubles if not one.over),
        )
        return (*map(self._cancel_at_broker, wanted), StartTimer(name="cancel", delay_ms=delay_ms))

    def _cancel_at_broker(self, broker_order_id: BrokerOrderId) -> CancelAtBroker:
        return CancelAtBroker(
            order_id=self.order_id,
            session=self.session,
            account=self.ticket.account,
            broker_order_id=broker_order_id,
            sec_type=self.ticket.sec_type,
        )

    def _follow_lookup(self) -> tuple[OrderEffect, ...]:
        if not self.needs_lookup:
            return self._stop_looking()
        if self._looking and self._asked_for_proof is not self.lookup.provable:
            self._looking = False  # What the session may prove has changed.
        return self._look()

    @property
    def lookup(self) -> RequestLookup:
        """What the session has to know to look for the order."""
        group = self.ticket.group
        # The exits of a bracket have no id of ours at the broker.
        is_exit = group is not None and group.is_exit
        return RequestLookup(
            order_id=self.order_id,
            session=self.session,
            account=self.ticket.account,
            coid=None if is_exit else self.coid,
            conid=self.ticket.conid,
            side=self.ticket.side,
            sent_at_ns=self.sent_at_ns,
            session_epoch=self.sent_epoch,
            provable=self.is_provable and not is_exit,
        )

    def _look(self) -> tuple[OrderEffect, ...]:
        if self._looking:
            return ()
        self._looking = True
        lookup = self.lookup
        self._asked_for_proof = lookup.provable
        return (lookup,)

    def _stop_looking(self) -> tuple[OrderEffect, ...]:
        if not self._looking:
            return ()
        self._looking = False
        return (StopLookup(order_id=self.order_id, session=self.session),)

    def _release_turn(self) -> tuple[OrderEffect, ...]:
        if not self._turn_wanted:
            return ()
        self._turn_wanted = False
        self._turn = None
        return (ReleaseTurn(order_id=self.order_id, session=self.session),)

    def _anomaly(self, kind: str, detail: str) -> ReportAnomaly:
        return ReportAnomaly(machine="order", kind=kind, detail=f"{self.order_id}: {detail}")

    def view(self, seq: int = 0) -> OrderView:
        """Return the order as it is shown; `seq` is filled in once it is durable."""
        shown = self.snapshot(seq)
        return replace(shown, confidence=Confidence.UNCONFIRMED) if self._unseen else shown
