"""What is known of an order: everything that its records make of it, and how it is shown."""

from decimal import Decimal

from engine.domain.messages import ReplyDecided
from engine.domain.order.change import Change, terms_of
from engine.domain.order.merge import NOTHING, Fills
from engine.domain.values import (
    TERMINAL,
    AccountId,
    ApprovedTicket,
    BrokerOrderId,
    Coid,
    Confidence,
    ConId,
    Execution,
    OrderId,
    OrderState,
    Pending,
    Question,
    QuestionId,
    Reason,
    Side,
    Terms,
    Ticket,
)
from engine.domain.views import OrderView


class OrderFacts:
    """What is known of one order. Its attributes are for reading."""

    __slots__ = (
        "_approved",
        "_broker_filled",
        "_cancel_open",
        "_cancelling",
        "_closing",
        "_created_at_ns",
        "_earlier",
        "_ended_unseen",
        "_lapsed",
        "_order_id",
        "_prompts",
        "_request_sha256",
        "_state",
        "_terms",
        "_ticket",
        "_updated_at_ns",
        "attempts",
        "body",
        "broker_order_id",
        "cancel_wanted",
        "change",
        "declined",
        "fills",
        "prompt",
        "question",
        "reason",
        "reply",
        "rounds",
    )

    def __init__(self) -> None:
        self._state: OrderState | None = None
        self._order_id: OrderId | None = None
        self._ticket: Ticket | None = None
        self._approved: ApprovedTicket | None = None
        self._request_sha256 = ""
        self._created_at_ns = 0
        self._updated_at_ns = 0
        self._closing: tuple[OrderState, Reason | None, bool] | None = None
        self._broker_filled = NOTHING
        self._cancel_open = False  # Ours, and not refused.
        self._cancelling = False  # Ours or anybody's.
        self._ended_unseen = False
        self._terms: Terms | None = None
        self._lapsed: Terms | None = None
        self._earlier: tuple[Terms, ...] = ()
        self._prompts: tuple[QuestionId, ...] = ()
        self.body = b""
        self.attempts = 0
        self.rounds = 0
        self.cancel_wanted = False
        self.change: Change | None = None
        self.reason: Reason | None = None
        self.broker_order_id: BrokerOrderId | None = None
        self.question: Question | None = None
        self.prompt: Question | None = None
        self.declined: Question | None = None
        self.reply: ReplyDecided | None = None
        self.fills = Fills()

    @property
    def state(self) -> OrderState:
        """The state; asking before the first record is a mistake."""
        assert self._state is not None, "an order without its first record"
        return self._state

    @property
    def state_known(self) -> bool:
        """False until the first record."""
        return self._state is not None

    @property
    def order_id(self) -> OrderId:
        """Our name of the order."""
        assert self._order_id is not None
        return self._order_id

    @property
    def ticket(self) -> Ticket:
        """What the client asked for."""
        assert self._ticket is not None
        return self._ticket

    @property
    def approved(self) -> ApprovedTicket:
        """What risk let pass; a denied order has none."""
        assert self._approved is not None
        return self._approved

    @property
    def coid(self) -> Coid | None:
        """The id on the wire; None for an order that risk denied."""
        return None if self._approved is None else self._approved.coid

    @property
    def terms(self) -> Terms:
        """The terms in force: the ticket's, until a change of them is settled."""
        return self._terms or terms_of(self.ticket)

    @property
    def lapsed(self) -> Terms | None:
        """Terms that were held for not applied; the broker may have been late with them."""
        return self._lapsed

    @property
    def pending(self) -> Pending:
        """What was asked of the broker and is not confirmed; a cancel goes before a change."""
        if self._state is None or self._state in TERMINAL:
            return Pending.NONE
        if self._cancelling:
            return Pending.CANCEL
        return Pending.NONE if self.change is None else Pending.REPLACE

    @property
    def needs_lookup(self) -> bool:
        """True while the broker knows something of this order that we do not."""
        return (
            self.state is OrderState.IN_DOUBT
            or self._closing is not None
            or (self.change is not None and self.change.doubtful)
        )

    def question_declined(self, what: str) -> Reason:
        """Say which question was answered with no; `what` is what it was about."""
        asked = "the broker's question"
        if self.declined is not None:
            ids, text = ", ".join(self.declined.message_ids), " / ".join(self.declined.texts)
            asked = f"the broker's question {ids or 'without an id'} ({text})"
        return Reason(
            code="QUESTION_DECLINED",
            message=f"{asked} about {what} was declined; see broker_messages",
        )

    def was_prompted(self, question_id: QuestionId) -> bool:
        """Tell whether this prompt was raised before."""
        return question_id in self._prompts

    def mismatch_of(self, execution: Execution) -> str | None:
        """Say why an execution cannot be this order's, None when it can."""
        return self._mismatch(execution.account, execution.conid, execution.side)

    @property
    def _quantity_most(self) -> Decimal:
        """What may fill at most: of two terms the larger, of a cash quantity risk's figure."""
        most = self.terms.quantity
        if self.change is not None:
            most = max(most, self.change.wanted.quantity)
        if most == 0 and self._approved is not None:
            most = self._approved.quantity_max
        return most

    def _is_change_proven(self) -> bool:
        """Say whether more has filled than the old quantity, and the new one allows more."""
        if self.change is None or not self.terms.quantity:
            return False
        old, new = self.terms.quantity, self.change.wanted.quantity
        return old < new and old < self.fills.quantity

    def _is_filled(self) -> bool:
        """Say whether the executions alone prove the order filled; never for a cash quantity."""
        return self.terms.quantity > 0 and self.fills.quantity >= self._quantity_most

    def _mismatch(
        self,
        account: AccountId,
        conid: ConId | None,
        side: Side | None,
        broker_order_id: BrokerOrderId | None = None,
    ) -> str | None:
        ours, known = self.ticket, self.broker_order_id
        if account != ours.account:
            return f"account {account}, ours is {ours.account}"
        if conid is not None and conid != ours.conid:
            return f"conid {conid}, ours is {ours.conid}"
        if side is not None and side is not ours.side:
            return f"side {side}, ours is {ours.side}"
        if known is not None and broker_order_id not in {None, known}:
            # A second order under our id: it must not speak for the first one.
            return f"broker_order_id {broker_order_id}, ours is {known}"
        return None

    def _facts(self) -> tuple[object, ...]:
        return (
            self._state,
            self.broker_order_id,
            self.pending,
            self._terms,
            self._closing,
            self._broker_filled,
            self.reason,
            self._ended_unseen,
        )

    def snapshot(self, seq: int) -> OrderView:
        """Return the order as it is shown."""
        ticket, terms = self.ticket, self.terms
        doubtful = {OrderState.IN_DOUBT, OrderState.PARKED, OrderState.SUBMITTING}
        unsure = self.state in doubtful or (self.change is not None and self.change.doubtful)
        return OrderView(
            order_id=self.order_id,
            client_order_id=ticket.client_order_id,
            account=ticket.account,
            conid=ticket.conid,
            symbol=ticket.symbol,
            side=ticket.side,
            type=ticket.type,
            quantity=terms.quantity,
            filled_quantity=self.fills.quantity,
            average_price=self.fills.average_price,
            limit_price=terms.limit_price,
            tif=ticket.tif,
            strategy=ticket.strategy,
            state=self.state,
            pending=self.pending,
            confidence=Confidence.UNCONFIRMED if unsure else Confidence.CONFIRMED,
            reason=self.reason,
            coid=self.coid,
            broker_order_id=self.broker_order_id,
            created_at_ns=self._created_at_ns,
            updated_at_ns=self._updated_at_ns,
            seq=seq,
            request_sha256=self._request_sha256,
            sec_type=ticket.sec_type,
            cash_quantity=ticket.cash_quantity,
            stop_price=terms.stop_price,
            trailing_type=ticket.trailing_type,
            trailing_amount=ticket.trailing_amount,
            cap_price=ticket.cap_price,
            outside_rth=ticket.outside_rth,
            wanted=None if self.change is None else self.change.wanted,
            quantity_max=NOTHING if self._approved is None else self._approved.quantity_max,
        )
