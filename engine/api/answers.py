"""What clients get: the bodies of the answers, made from the engine's views.

Rule 1: decimals are strings of plain digits, times are RFC 3339 in UTC, states are as
the engine spells them. A figure that was never received is null.

Rule 2: names and meanings change only additively; clients rely on them.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from engine.api.strict_json import plain
from engine.domain.values import (
    Confidence,
    OrderState,
    OrderType,
    Pending,
    Reason,
    SessionState,
    Side,
    TimeInForce,
    TradingState,
)
from engine.domain.views import (
    AccountView,
    Aged,
    HealthView,
    LimitsView,
    OrderView,
    PositionView,
    SessionView,
)

_NS: int = 10**9

DecimalText = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}),
]
TimeText = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


def time_text(at_ns: int) -> str:
    """Return epoch nanoseconds as RFC 3339 UTC, to the microsecond."""
    seconds, rest_ns = divmod(at_ns, _NS)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Shown(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReasonBody(Shown):
    """Why something is as it is: the code is for programs."""

    code: str
    message: str

    @classmethod
    def of(cls, reason: Reason | None) -> Self | None:
        """Return the reason, None when there is none."""
        return None if reason is None else cls(code=reason.code, message=reason.message)


class ErrorBody(Shown):
    """What was refused and what is allowed."""

    code: str
    message: str
    details: dict[str, object]


class ErrorAnswer(Shown):
    """A request that was not done."""

    error: ErrorBody


class OrderBody(Shown):
    """An order as it durably is; `seq` is the event that made it so."""

    order_id: str
    client_order_id: str
    account: str
    conid: int
    symbol: str
    side: Side
    type: OrderType
    quantity: DecimalText
    filled_quantity: DecimalText
    remaining_quantity: DecimalText
    average_price: DecimalText | None
    limit_price: DecimalText | None
    stop_price: DecimalText | None
    tif: TimeInForce
    strategy: str | None
    state: OrderState
    pending: Pending
    confidence: Confidence
    reason: ReasonBody | None
    broker_order_id: str | None
    created_at: TimeText
    updated_at: TimeText
    seq: int

    @classmethod
    def of(cls, view: OrderView) -> Self:
        """Return the body of an order."""
        return cls(
            order_id=view.order_id,
            client_order_id=view.client_order_id,
            account=view.account,
            conid=view.conid,
            symbol=view.symbol,
            side=view.side,
            type=view.type,
            quantity=view.quantity,
            filled_quantity=view.filled_quantity,
            remaining_quantity=view.remaining_quantity,
            average_price=view.average_price,
            limit_price=view.limit_price,
            stop_price=None,
            tif=view.tif,
            strategy=view.strategy,
            state=view.state,
            pending=view.pending,
            confidence=view.confidence,
            reason=ReasonBody.of(view.reason),
            broker_order_id=view.broker_order_id,
            created_at=time_text(view.created_at_ns),
            updated_at=time_text(view.updated_at_ns),
            seq=view.seq,
        )


class DeniedAnswer(Shown):
    """An order that the engine refused; it was never sent and never will be."""

    order: OrderBody
    error: ErrorBody


class OrdersAnswer(Shown):
    """Orders, newest first. `truncated` says that more pass the filter."""

    orders: tuple[OrderBody, ...]
    truncated: bool


class SessionBody(Shown):
    """A gateway session. `reason` says why it is not ready."""

    name: str
    state: SessionState
    reason: ReasonBody | None
    accounts: tuple[str, ...]
    gateway: str
    epoch: int
    since: TimeText
    socket_connected: bool
    last_heartbeat_age_ms: int | None

    @classmethod
    def of(cls, view: SessionView) -> Self:
        """Return the body of a session."""
        return cls(
            name=view.name,
            state=view.state,
            reason=ReasonBody.of(view.reason),
            accounts=view.accounts,
            gateway=view.gateway,
            epoch=view.epoch,
            since=time_text(view.since_ns),
            socket_connected=view.socket_connected,
            last_heartbeat_age_ms=view.last_heartbeat_age_ms,
        )


class SessionsAnswer(Shown):
    """Every configured session."""

    sessions: tuple[SessionBody, ...]


class AgedBody(Shown):
    """A figure and its age; both null when it was never received."""

    value: DecimalText | None
    age_ms: int | None

    @classmethod
    def of(cls, aged: Aged) -> Self:
        """Return the figure."""
        return cls(value=aged.value, age_ms=aged.age_ms)


class AccountBody(Shown):
    """An account: may it trade, why not, and its money in its own currency."""

    account: str
    session: str
    session_state: SessionState
    trading_state: TradingState
    ready: bool
    reason: ReasonBody | None
    currency: str | None
    net_liquidation: AgedBody
    available_funds: AgedBody
    daily_pnl: AgedBody
    unrealized_pnl: AgedBody

    @classmethod
    def of(cls, view: AccountView) -> Self:
        """Return the body of an account."""
        return cls(
            account=view.account,
            session=view.session,
            session_state=view.session_state,
            trading_state=view.trading_state,
            ready=view.ready,
            reason=ReasonBody.of(view.reason),
            currency=view.currency,
            net_liquidation=AgedBody.of(view.net_liquidation),
            available_funds=AgedBody.of(view.available_funds),
            daily_pnl=AgedBody.of(view.daily_pnl),
            unrealized_pnl=AgedBody.of(view.unrealized_pnl),
        )


class AccountsAnswer(Shown):
    """Every configured account."""

    accounts: tuple[AccountBody, ...]


class PositionBody(Shown):
    """A holding, and what open orders could still add to it on either side."""

    account: str
    conid: int
    symbol: str
    quantity: DecimalText
    working_buy: DecimalText
    working_sell: DecimalText
    average_price: DecimalText | None
    market_price: DecimalText | None
    market_value: DecimalText | None
    unrealized_pnl: DecimalText | None
    currency: str | None
    age_ms: int | None

    @classmethod
    def of(cls, view: PositionView) -> Self:
        """Return the body of a position."""
        return cls(
            account=view.account,
            conid=view.conid,
            symbol=view.symbol,
            quantity=view.quantity,
            working_buy=view.working_buy,
            working_sell=view.working_sell,
            average_price=view.average_price,
            market_price=view.market_price,
            market_value=view.market_value,
            unrealized_pnl=view.unrealized_pnl,
            currency=view.currency,
            age_ms=view.age_ms,
        )


class PositionsAnswer(Shown):
    """What an account holds."""

    account: str
    positions: tuple[PositionBody, ...]


class LimitBody(Shown):
    """One limit in force. `source` is null unless the listing was asked to explain."""

    name: str
    value: str
    source: str | None


class LimitsAnswer(Shown):
    """The limits in force. With `file_error`, the file on disk is refused and they are older."""

    account: str
    groups: tuple[str, ...]
    version: int
    policy_hash: str
    file_error: str | None
    limits: tuple[LimitBody, ...]

    @classmethod
    def of(cls, view: LimitsView, *, explain: bool) -> Self:
        """Return the limits, each with its source when `explain` asks for it."""
        return cls(
            account=view.account,
            groups=view.groups,
            version=view.version,
            policy_hash=view.policy_hash,
            file_error=view.file_error,
            limits=tuple(
                LimitBody(
                    name=limit.name, value=limit.value, source=limit.source if explain else None
                )
                for limit in view.limits
            ),
        )


class HaltAnswer(Shown):
    """A restriction that is durably in force, and how many cancels it asked for."""

    scope: str
    level: TradingState
    reason: str
    cancels_requested: int


class ResumeAnswer(Shown):
    """`resumed` is false when the scope was not restricted."""

    scope: str
    resumed: bool
    reason: str


class SessionReadiness(Shown):
    """Whether one session is ready, and why not."""

    name: str
    ready: bool
    state: SessionState
    reason: ReasonBody | None


class ReadyAnswer(Shown):
    """Whether the engine takes orders, with the reason of everything that is in the way."""

    ready: bool
    draining: bool
    sessions: tuple[SessionReadiness, ...]
    problems: tuple[ReasonBody, ...]

    @classmethod
    def of(cls, view: HealthView) -> Self:
        """Return the body of readiness."""
        return cls(
            ready=view.ready,
            draining=view.draining,
            sessions=tuple(
                SessionReadiness(
                    name=session.name,
                    ready=session.state is SessionState.READY,
                    state=session.state,
                    reason=ReasonBody.of(session.reason),
                )
                for session in view.sessions
            ),
            problems=tuple(
                ReasonBody(code=problem.code, message=problem.message) for problem in view.problems
            ),
        )


class LiveAnswer(Shown):
    """Whether the engine is worth keeping; when not, it must be restarted."""

    alive: bool


class StartedAnswer(Shown):
    """Whether the engine has replayed its journal and begun."""

    started: bool


class DrainAnswer(Shown):
    """The engine takes no new orders from now on, and stops when it is done."""

    draining: bool


class EventBody(Shown):
    """One record of the journal; `order_id` is absent when it is about no order."""

    seq: int
    at: TimeText
    type: str
    account: str | None
    order_id: str | None
    body: dict[str, object]
