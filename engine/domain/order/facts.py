"""What is known of an order: everything that its records make of it, and how it is shown."""

from decimal import Decimal

from engine.domain.messages import ReplyDecided, ResolveOrder
from engine.domain.order.change import Change, terms_of
from engine.domain.order.incarnations import Incarnation, Kind
from engine.domain.order.merge import NOTHING, Fills
from engine.domain.values import (
    DOUBTFUL,
    LIVE,
    TERMINAL,
    AccountId,
    ApprovedTicket,
    BrokerOrderId,
    Coid,
    Confidence,
    ConId,
    Evidence,
    Execution,
    OrderId,
    OrderState,
    Pending,
    Question,
    QuestionId,
    QuestionPolicy,
    Reason,
    Resolution,
    SessionName,
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
        "_closing_counts",
        "_created_at_ns",
        "_earlier",
        "_ended_unseen",
        "_lapsed",
        "_order_id",
        "_others",
        "_prompts",
        "_request_sha256",
        "_session",
        "_state",
        "_terms",
        "_ticket",
        "_unshown",
        "_updated_at_ns",
        "adopted",
        "attempts",
        "body",
        "broker_order_id",
        "cancel_wanted",
        "change",
        "declined",
        "evidence",
        "fills",
        "followers",
        "late_sighted",
        "prompt",
        "question",
        "reason",
        "reply",
        "resolution",
        "rounds",
        "sent_at_ns",
        "sent_epoch",
        "unprotected",
        "unsaid",
        "was_unprotected",
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
        self._closing_counts: tuple[Decimal, ...] = ()
        self._broker_filled = NOTHING
        self._cancel_open = False  # Ours, and not refused.
        self._cancelling = False  # Ours or anybody's.
        self._ended_unseen = False
        self._terms: Terms | None = None
        self._lapsed: Terms | None = None
        self._earlier: tuple[Terms, ...] = ()
        self._prompts: tuple[QuestionId, ...] = ()
        self._others: tuple[Incarnation, ...] = ()
        self._session: SessionName | None = None
        self._unshown = NOTHING  # Filled before it was adopted; its executions may never show.
        self.adopted = False
        self.sent_at_ns = 0
        self.sent_epoch = 0
        self.evidence: Evidence | None = None
        self.resolution: ResolveOrder | None = None
        self.late_sighted = False
        self.followers: tuple[ApprovedTicket, ...] = ()
        self.unprotected: tuple[OrderId, ...] = ()
        self.was_unprotected = False
        """True once an exit of it was missing: what is in its place may come to nothing, too."""
        self.unsaid: tuple[str, ...] = ()
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
    def session(self) -> SessionName:
        """The session that sends for the order, as of its first record."""
        assert self._session is not None, "a denied order is never sent"
        return self._session

    @property
    def sent_by(self) -> SessionName | None:
        """The session of its first record; None for a denied order, and before that record."""
        return self._session

    @property
    def questions(self) -> QuestionPolicy:
        """How the broker's questions are answered; about an adopted order, all with no."""
        return QuestionPolicy(answers={}) if self._approved is None else self._approved.questions

    @property
    def coid(self) -> Coid | None:
        """The id on the wire; None for an order that risk denied, and for an adopted one."""
        return None if self._approved is None else self._approved.coid

    @property
    def terms(self) -> Terms:
        """The terms in force: the ticket's, until a change of them is settled."""
        if self._terms is None:
            return terms_of(self.ticket)  # Denied: it never had any.
        return self._terms

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
    def is_closing(self) -> bool:
        """True while the broker has ended the order, and not all its executions were seen."""
        return self._closing is not None and self._state not in TERMINAL

    @property
    def needs_lookup(self) -> bool:
        """True while the broker knows something of this order that we do not."""
        return (
            self.state in DOUBTFUL
            or self.is_closing
            or self.is_unseen
            or (self.change is not None and self.change.doubtful)
            or bool(self.others_open)
        )

    @property
    def is_unseen(self) -> bool:
        """True while only a person says that the broker holds the order, or nobody by which id."""
        if self.state not in LIVE:
            return False
        declared = self.resolution is not None and self.resolution.resolution is Resolution.LIVE
        return declared or self.broker_order_id is None

    @property
    def is_missing(self) -> bool:
        """True while the broker shows an order no more that it had; a machine says when."""
        return False

    @property
    def is_resolvable(self) -> bool:
        """True while a person may say what became of the order; what was said may be wrong."""
        declared = self.is_unseen and self.resolution is not None
        return self.state in DOUBTFUL or declared or self.is_missing

    @property
    def is_provable(self) -> bool:
        """True while nothing of the order was ever seen, so that its absence can be proven."""
        seen = self.broker_order_id is not None or bool(self.fills) or bool(self._others)
        return self.state in DOUBTFUL and not seen

    @property
    def other_ids(self) -> tuple[BrokerOrderId, ...]:
        """The broker's other orders that are, or were, this one."""
        return tuple(other.broker_order_id for other in self._others)

    @property
    def doubles(self) -> tuple[Incarnation, ...]:
        """The broker's second orders under our id: theirs are no news of the first one."""
        if not self._others:
            return ()
        return tuple(other for other in self._others if other.kind is not Kind.FORMER)

    @property
    def others_open(self) -> tuple[Incarnation, ...]:
        """The second orders, proven or not, that may still be at work."""
        return tuple(other for other in self.doubles if not other.over)

    @property
    def duplicates_open(self) -> tuple[Incarnation, ...]:
        """The second orders that are proven, and have not ended yet."""
        return tuple(
            other for other in self._others if other.kind is Kind.DUPLICATE and not other.over
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

    @property
    def quantity_extra(self) -> Decimal:
        """What second orders may fill beyond the quantity; with an ended order, what is left."""
        if not self._others:
            return NOTHING
        doubles, most = self.doubles, self._quantity_most
        filled = [self.fills.of(one.broker_order_id) for one in doubles]
        left = sum(
            (one.may_fill(done, most) for one, done in zip(doubles, filled, strict=True)), NOTHING
        )
        if self.state not in TERMINAL:
            return sum(filled, left)
        # Nothing of an ended order is left but this; what overfilled it already happened.
        return left + max(self.fills.quantity - most, NOTHING) if left else NOTHING

    @property
    def _filled(self) -> Decimal:
        """What the order itself filled, without second orders."""
        if not self._others:
            return self.fills.quantity
        beside = (self.fills.of(one.broker_order_id) for one in self.doubles)
        return self.fills.quantity - sum(beside, NOTHING)

    def _is_change_proven(self) -> bool:
        """Say whether more has filled than the old quantity, and the new one allows more."""
        if self.change is None or not self.terms.quantity:
            return False
        old, new = self.terms.quantity, self.change.wanted.quantity
        return old < new and old < self._filled

    def _is_filled(self) -> bool:
        """Say whether the executions alone prove the order filled; never for a cash quantity."""
        return self.terms.quantity > 0 and self._filled >= self._quantity_most

    def _is_of_other(self, broker_order_id: BrokerOrderId) -> bool:
        """Say whether the broker's id is another one than the order's."""
        return self.broker_order_id not in {None, broker_order_id}

    def _mismatch(self, account: AccountId, conid: ConId | None, side: Side | None) -> str | None:
        ours = self.ticket
        if account != ours.account:
            return f"account {account}, ours is {ours.account}"
        if conid is not None and conid != ours.conid:
            return f"conid {conid}, ours is {ours.conid}"
        if side is not None and side is not ours.side:
            return f"side {side}, ours is {ours.side}"
        return None

    def _facts(self) -> tuple[object, ...]:
        return (
            self._state,
            self.broker_order_id,
            self.pending,
            self._terms,
            self._closing,
            self._closing_counts,
            self._broker_filled,
            self._others,
            self.reason,
            self.resolution,
            self._ended_unseen,
        )

    def snapshot(self, seq: int) -> OrderView:
        """Return the order as it is shown."""
        ticket, terms = self.ticket, self.terms
        unsure = (
            self.state in {*DOUBTFUL, OrderState.SUBMITTING}
            or self.is_unseen
            or (self.change is not None and self.change.doubtful)
        )
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
            group=ticket.group,
            algo=ticket.algo,
            good_till_ms=ticket.good_till_ms,
            adopted=self.adopted,
            evidence=self.evidence,
            other_broker_order_ids=self.other_ids,
            quantity_extra=self.quantity_extra,
            unprotected=self.unprotected,
        )
