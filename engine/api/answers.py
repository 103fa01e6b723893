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
    CashBalance,
    PositionBreak,
    Reason,
    Reconciliation,
    SessionState,
    TradingState,
)
from engine.domain.views import (
    AccountView,
    Aged,
    HealthView,
    LimitsView,
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


def time_or_none(at_ns: int | None) -> str | None:
    """Return a time as `time_text` does, None when there is none."""
    return None if at_ns is None else time_text(at_ns)


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


class SessionBody(Shown):
    """A gateway session. `reason` says why it is not ready.

    `login_by` is when the login ends or, where one is needed, by when a person should have
    logged in. Until `no_submit_until` the broker's calendar lets no order be sent.
    """

    name: str
    state: SessionState
    reason: ReasonBody | None
    accounts: tuple[str, ...]
    gateway: str
    epoch: int
    since: TimeText
    socket_connected: bool
    last_heartbeat_age_ms: int | None
    login_by: TimeText | None
    login_failures: int
    no_submit_until: TimeText | None

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
            login_by=time_or_none(view.login_by_ns),
            login_failures=view.login_failures,
            no_submit_until=time_or_none(view.no_submit_until_ns),
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


class CashBody(Shown):
    """An account's cash in one currency; `BASE` is all of it in the account's own."""

    currency: str
    cash: DecimalText | None
    settled_cash: DecimalText | None
    net_liquidation: DecimalText | None
    exchange_rate: DecimalText | None

    @classmethod
    def of(cls, balance: CashBalance) -> Self:
        """Return the body of a balance."""
        return cls(
            currency=balance.currency,
            cash=balance.cash,
            settled_cash=balance.settled_cash,
            net_liquidation=balance.net_liquidation,
            exchange_rate=balance.exchange_rate,
        )


class BreakBody(Shown):
    """A holding that neither the orders nor the trades explain."""

    conid: int
    symbol: str
    expected: DecimalText
    found: DecimalText

    @classmethod
    def of(cls, found: PositionBreak) -> Self:
        """Return the body of a break."""
        return cls(
            conid=found.conid, symbol=found.symbol, expected=found.expected, found=found.found
        )


class AccountBody(Shown):
    """An account: may it trade, why not, and its money in its own currency.

    `cash` is by currency; it was read `cash_age_ms` ago, null when it never was. Until
    `reconciliation` is past pending no order is taken; `reconcile_step` says what is being
    read, or what differs while it is explaining and no break yet. `breaks` are what a
    comparison with the broker found and nothing explains. So many `external_orders` work
    that this engine did not send; they count in the exposure.
    """

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
    excess_liquidity: AgedBody
    buying_power: AgedBody
    initial_margin: AgedBody
    maintenance_margin: AgedBody
    gross_position_value: AgedBody
    total_cash: AgedBody
    cash: tuple[CashBody, ...]
    cash_age_ms: int | None
    reconciliation: Reconciliation
    reconcile_step: str | None
    reconciled_age_ms: int | None
    breaks: tuple[BreakBody, ...]
    external_orders: int

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
            excess_liquidity=AgedBody.of(view.excess_liquidity),
            buying_power=AgedBody.of(view.buying_power),
            initial_margin=AgedBody.of(view.initial_margin),
            maintenance_margin=AgedBody.of(view.maintenance_margin),
            gross_position_value=AgedBody.of(view.gross_position_value),
            total_cash=AgedBody.of(view.total_cash),
            cash=tuple(map(CashBody.of, view.cash)),
            cash_age_ms=view.cash_age_ms,
            reconciliation=view.reconciliation,
            reconcile_step=view.reconcile_step or None,
            reconciled_age_ms=view.reconciled_age_ms,
            breaks=tuple(map(BreakBody.of, view.breaks)),
            external_orders=view.external_orders,
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
    lowest: DecimalText
    highest: DecimalText
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
            lowest=view.lowest,
            highest=view.highest,
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
