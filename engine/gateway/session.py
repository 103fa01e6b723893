"""A session's own requests over HTTP; each is answered by exactly one message."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

from engine import log, metrics
from engine.domain.messages import (
    AuthStatusRead,
    CallDone,
    CallFailed,
    CallGateway,
    Failure,
    FailureKind,
    FundsRead,
    LedgerRead,
    OrdersRead,
    OrderStatusRead,
    PositionsRead,
    ProfitRead,
    SessionCall,
    SessionMessage,
    TradesRead,
)
from engine.domain.values import AccountId, BrokerOrderId
from engine.gateway.client import Broken, GatewayClient, Lane, NoAnswer, Request
from engine.gateway.wire import session as wire
from engine.gateway.wire.excerpt import redact
from engine.gateway.wire.lenient import BadAnswer

_ORDERS: Final = "/iserver/account/orders"
_STATUS: Final = "/iserver/account/order/status"
_TRADES: Final = "/iserver/account/trades"
_PORTFOLIO_ACCOUNTS: Final = "/portfolio/accounts"
_PROFIT: Final = "/iserver/account/pnl/partitioned"
_SLOW: Final = (_ORDERS, _TRADES, _PORTFOLIO_ACCOUNTS, _PROFIT)
_ALL_DAYS: Final = "?days=7"
"""All that the broker keeps: what traded while the engine was off is found as well.

Without it, only the current day's trades are listed.
"""
_OF_ACCOUNT: Final = {
    SessionCall.POSITIONS: "/portfolio2/{account}/positions",
    SessionCall.FUNDS: "/portfolio/{account}/summary",
    SessionCall.LEDGER: "/portfolio/{account}/ledger",
}

FAILURES: Final = {
    Broken.LATE: FailureKind.TIMEOUT,
    Broken.RATE_LIMITED: FailureKind.RATE_LIMITED,
    Broken.UNREACHABLE: FailureKind.UNREACHABLE,
    Broken.TLS_REFUSED: FailureKind.TLS_REFUSED,
    Broken.TIMEOUT: FailureKind.TIMEOUT,
    Broken.DISCONNECTED: FailureKind.UNREACHABLE,
    Broken.TOO_LARGE: FailureKind.BAD_ANSWER,
    Broken.CLOSED: FailureKind.UNREACHABLE,
}


_NS_PER_MS: Final = 1_000_000


class Unanswered(wire.CallRefused):
    """There is no answer. `began_ns` is when the request went out, as well as that is known."""

    def __init__(self, failure: Failure, *, began_ns: int) -> None:
        super().__init__(failure)
        self.began_ns = began_ns


async def fetch(client: GatewayClient, request: Request, *, private: bool = False) -> object:
    """Make a reading request and return its document; of a `private` one nothing is shown.

    Raises `wire.CallRefused` when there is none.
    """
    began_ns = client.clock()
    result = await client.request(request)
    if isinstance(result, NoAnswer):
        if result.why is Broken.TIMEOUT:
            # It may have waited for its turn; its time counted from when it was written.
            began_ns = max(began_ns, client.clock() - request.deadline_ms * _NS_PER_MS)
        failure = Failure(kind=FAILURES[result.why], message=result.message)
        raise Unanswered(failure, began_ns=began_ns)
    return wire.read(result.status, result.body, private=private)


_log = log.get("gateway.session")


@dataclass(frozen=True, slots=True)
class HttpSessionGateway:
    """Makes the requests that keep a session open and read its state."""

    client: GatewayClient

    def call(self, effect: CallGateway, tell: Callable[[SessionMessage], None]) -> None:
        """Make the request."""
        self.client.answer(self._call(effect), tell, partial(_failed, effect.call))

    async def _call(self, effect: CallGateway) -> SessionMessage:
        try:
            return await self._answer(effect)
        except Unanswered as silence:
            return CallFailed(call=effect.call, failure=silence.failure, began_ns=silence.began_ns)
        except wire.CallRefused as refused:
            return CallFailed(call=effect.call, failure=refused.failure)
        except BadAnswer as error:
            failure = Failure(kind=FailureKind.BAD_ANSWER, message=str(error))
            return CallFailed(call=effect.call, failure=failure)

    def defer_reads(self) -> None:
        """Let the slow endpoints rest first: an engine of before may have just asked them.

        The broker counts by login, not by process; one read too early after a restart
        closes its door for minutes.
        """
        for endpoint in _SLOW:
            self.client.defer(endpoint)

    async def _answer(self, effect: CallGateway) -> SessionMessage:
        match effect.call:
            case SessionCall.AUTH_STATUS | SessionCall.OPEN_BROKERAGE | SessionCall.TICKLE:
                return await self._auth(effect)
            case SessionCall.ACCOUNTS:
                return wire.accounts(await self._get("/iserver/accounts"))
            case SessionCall.PORTFOLIO_ACCOUNTS:
                await self._get(_PORTFOLIO_ACCOUNTS)
                return CallDone(call=effect.call)
            case SessionCall.SUPPRESS:
                return await self._suppress(effect)
            case SessionCall.ORDERS:
                return await self._orders(force=effect.force, account=effect.account)
            case SessionCall.ORDER_STATUS:
                return await self._order_status(effect.broker_order_id)
            case SessionCall.TRADES:
                query = _ALL_DAYS if effect.force else ""
                trades = wire.trades(await self._get(_TRADES, query=query))
                self._report(effect.call, trades.unread)
                return TradesRead(executions=trades.rows, complete=not trades.unread)
            case SessionCall.PROFIT:
                profits = wire.profits(await self._get(_PROFIT))
                self._report(effect.call, profits.unread)
                return ProfitRead(results=profits.rows)
            case SessionCall.POSITIONS | SessionCall.FUNDS | SessionCall.LEDGER:
                return await self._of_account(effect.call, _account(effect))

    async def _auth(self, effect: CallGateway) -> AuthStatusRead:
        match effect.call:
            case SessionCall.TICKLE:
                document = await self._post("/tickle", private=True, deadline_ms=effect.deadline_ms)
                told = wire.tickle(document)
                self.client.stream_token = told.token
                return AuthStatusRead(
                    call=effect.call, status=told.status, sso_expires_ms=told.sso_expires_ms
                )
            case SessionCall.OPEN_BROKERAGE:
                body = wire.open_brokerage_body(compete=effect.compete)
                document = await self._post("/iserver/auth/ssodh/init", body=body, private=True)
            case _:
                document = await self._post("/iserver/auth/status", private=True)
        return AuthStatusRead(call=effect.call, status=wire.auth_status(document))

    async def _suppress(self, effect: CallGateway) -> CallDone:
        # The broker answers an empty list with HTTP 500.
        if effect.message_ids:
            body = wire.suppress_body(effect.message_ids)
            await self._post("/iserver/questions/suppress", body=body)
        return CallDone(call=effect.call)

    async def _orders(self, *, force: bool, account: AccountId | None) -> OrdersRead:
        # Never with `filters`: they stick to the broker's cache and silence the stream.
        asked = {"force": "true"} if force else {}
        if account is not None:
            asked["accountId"] = account
        query = f"?{urlencode(asked)}" if asked else ""
        orders = wire.orders(await self._get(_ORDERS, query=query))
        self._report(SessionCall.ORDERS, orders.unread)
        return OrdersRead(
            rows=orders.rows,
            snapshot=orders.snapshot,
            forced=force,
            complete=not orders.unread,
            account=account,
        )

    async def _order_status(self, broker_order_id: BrokerOrderId | None) -> OrderStatusRead:
        assert broker_order_id is not None, "an order's status needs its id"
        path = f"{_STATUS}/{quote(broker_order_id, safe='')}"
        return OrderStatusRead(row=wire.order_status(await self._get(path, endpoint=_STATUS)))

    async def _of_account(
        self, call: SessionCall, account: AccountId
    ) -> PositionsRead | FundsRead | LedgerRead:
        path = _OF_ACCOUNT[call]
        started_ns = self.client.clock()
        document = await self._get(path.format(account=quote(account, safe="")), endpoint=path)
        now_ns = self.client.clock()
        match call:
            case SessionCall.POSITIONS:
                return PositionsRead(
                    account=account,
                    positions=wire.positions(account, document),
                    started_ns=started_ns,
                    ended_ns=now_ns,
                )
            case SessionCall.FUNDS:
                return FundsRead(funds=wire.funds(account, document), now_ns=now_ns)
            case _:
                balances = wire.ledger(document)
                return LedgerRead(account=account, balances=balances, now_ns=now_ns)

    def _report(self, call: SessionCall, unread: tuple[str, ...]) -> None:
        """Say that a list had rows that could not be read, and why the first could not."""
        if unread:
            metrics.ANOMALIES.labels("gateway", "unreadable_row").inc(len(unread))
            _log.warning(
                "rows_left_unread",
                session=self.client.session,
                call=call.value,
                count=len(unread),
                detail=unread[0],
            )

    async def _get(self, path: str, *, query: str = "", endpoint: str | None = None) -> object:
        return await fetch(
            self.client,
            Request(
                method="GET",
                path=path + query,
                endpoint=endpoint or path,
                lane=Lane.STATUS,
            ),
        )

    async def _post(
        self,
        path: str,
        *,
        body: bytes | None = None,
        private: bool = False,
        deadline_ms: int | None = None,
    ) -> object:
        request = Request(method="POST", path=path, endpoint=path, lane=Lane.STATUS, body=body)
        if deadline_ms is not None:
            request = replace(request, deadline_ms=deadline_ms)
        return await fetch(self.client, request, private=private)


def _account(effect: CallGateway) -> AccountId:
    assert effect.account is not None, f"{effect.call} needs an account"
    return effect.account


def _failed(call: SessionCall, error: Exception) -> CallFailed:
    message = redact(f"{type(error).__name__}: {error}")
    return CallFailed(call=call, failure=Failure(kind=FailureKind.SERVER_ERROR, message=message))
