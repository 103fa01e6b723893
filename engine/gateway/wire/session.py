"""The broker's words for a session: its own requests, and what their answers say.

Rule 1: the body is parsed first and the status second; an `error` beside HTTP 200 is a
failure, and a text in the body tells more than the status beside it.

Rule 2: what an answer about the login says is never repeated, as the session's token is in
it; of other answers only a redacted excerpt is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from engine.domain.messages import AccountsRead, AuthStatus, Failure, FailureKind
from engine.domain.values import (
    AccountId,
    CashBalance,
    ConId,
    Execution,
    Funds,
    OrderRow,
    Position,
    ProfitAndLoss,
)
from engine.gateway.wire.excerpt import excerpt, redact
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    as_rows,
    decode,
    flag,
    loose_number,
    need_conid,
    need_identifier,
    need_number,
    sentence,
)
from engine.gateway.wire.rows import Readable, execution, order_row, readable, results

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_TOO_MANY_REQUESTS: Final = 429
_REDIRECTS: Final = range(300, 400)
_PAGE_BYTES_MAX: Final = 4096

_EDGE_PAGE: Final = re.compile(rb"\s*<.*access denied", re.IGNORECASE | re.DOTALL)
"""The page of the broker's outer servers, which comes before any server of the API."""
_EDGE_WORDS: Final = "a page of the broker's outer servers; this address, or this path, is blocked"
_NO_BRIDGE: Final = re.compile(r"no bridge|init session first", re.IGNORECASE)
_NOT_PRIMED: Final = re.compile(r"query /accounts first|no accounts", re.IGNORECASE)
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_LEDGER_KEY: Final = re.compile(r"BASE|[A-Z]{3}")
_EVERY_ACCOUNT: Final = "All"
"""What logins with several accounts list among them, for all of them together."""


class CallRefused(Exception):  # noqa: N818 - says what the gateway did
    """There is no answer, or not the one that was asked for. `status` is None without one."""

    def __init__(self, failure: Failure, *, status: int | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.status = status


def open_brokerage_body(*, compete: bool) -> bytes:
    """Return the body that opens the brokerage session; `compete` takes it from others."""
    return msgspec.json.encode({"publish": True, "compete": compete})


def suppress_body(message_ids: tuple[str, ...]) -> bytes:
    """Return the body that suppresses questions; the list replaces any earlier one."""
    return msgspec.json.encode({"messageIds": list(message_ids)})


def refuses_pace(status: int, _body: bytes) -> bool:
    """Tell whether an answer says that this address asked too fast.

    A page beside HTTP 403 does not: the broker's outer servers send it for a blocked
    address, and for what one kind of account may not ask, too.
    """
    return status == _TOO_MANY_REQUESTS


def read(status: int, body: bytes, *, private: bool = False) -> object:
    """Return the document of an answer to a reading request.

    Raises `CallRefused` for every answer but a whole JSON document without an error,
    beside HTTP 200. Of a `private` one no excerpt goes with it.
    """

    def shown() -> str:
        """Return what people may see of the answer; to make it costs more than to read it."""
        return "" if private else excerpt(body)

    if refuses_pace(status, body):
        raise CallRefused(_refusal(FailureKind.RATE_LIMITED, status, shown()), status=status)
    if status == _FORBIDDEN and _EDGE_PAGE.match(body[:_PAGE_BYTES_MAX]) is not None:
        # It may be about this path alone, so it says nothing of the login, nor of the pace.
        raise CallRefused(_refusal(FailureKind.SERVER_ERROR, status, _EDGE_WORDS), status=status)
    try:
        document = decode(body)
    except BadAnswer as error:
        failure = _failure_of_status(status, shown())
        if failure is None:
            excerpted = shown()
            message = f"{error}: {excerpted}" if excerpted else str(error)
            failure = Failure(kind=FailureKind.BAD_ANSWER, message=message)
        raise CallRefused(failure, status=status) from error
    words = document.get("error") if isinstance(document, dict) else None
    if words:
        failure = _failure_of_text(status, sentence(words) or shown() or "an error without words")
        raise CallRefused(failure, status=status)
    if status != _OK:
        failure = _failure_of_status(status, shown())
        if failure is not None:
            raise CallRefused(failure, status=status)
    return document


def auth_status(document: object) -> AuthStatus:
    """Return the answer to `auth/status` and `ssodh/init`.

    A logged-out gateway leaves fields out; what is missing is not so.
    """
    row = as_row(document, "the auth status")
    return AuthStatus(
        authenticated=flag(row, "authenticated") is True,
        connected=flag(row, "connected") is True,
        competing=flag(row, "competing") is True,
        established=flag(row, "established"),
        message=redact(sentence(row.get("message")) or sentence(row.get("fail"))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickle:
    """What the keep-alive tells: the session, its login, and what streams may ask for.

    `sso_expires_ms` is what is left of the login, None when it is not told.
    """

    status: AuthStatus
    sso_expires_ms: int | None
    token: str | None


def tickle(document: object) -> Tickle:
    """Return what a tickle says.

    Raises `CallRefused` when the brokerage part of the answer is an error.
    """
    row = as_row(document, "the tickle")
    brokerage = as_row(row.get("iserver"), "iserver")
    if words := sentence(brokerage.get("error")):
        raise CallRefused(_failure_of_text(_OK, words), status=_OK)
    token = row.get("session")
    expires_ms = loose_number(row, "ssoExpires")
    return Tickle(
        status=auth_status(brokerage.get("authStatus")),
        sso_expires_ms=None if expires_ms is None else max(0, int(expires_ms)),
        token=token if isinstance(token, str) else None,
    )


def accounts(document: object) -> AccountsRead:
    """Return the accounts that can trade, and whether they are paper.

    Raises `BadAnswer` when the answer does not say paper or live: that is never guessed.
    """
    row = as_row(document, "the accounts")
    listed = row.get("accounts")
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        message = "accounts is not an array of texts"
        raise BadAnswer(message)
    paper = flag(row, "isPaper")
    if paper is None:
        message = "isPaper missing, so the accounts may be paper or live"
        raise BadAnswer(message)
    groups = row.get("groups")
    others = {_EVERY_ACCOUNT}
    if isinstance(groups, list):
        others.update(filter(None, map(_group_name, groups)))
    names = (need_identifier({"account": item}, "account") for item in listed)
    return AccountsRead(
        accounts=tuple(AccountId(name) for name in names if name not in others), paper=paper
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersList:
    """The live-orders list. `unread` tells of each row that could not be read why."""

    rows: tuple[OrderRow, ...]
    unread: tuple[str, ...]
    snapshot: bool


def orders(document: object) -> OrdersList:
    """Return the rows of the live-orders list, and whether it is a snapshot.

    Raises `BadAnswer` when it is no list at all.
    """
    row = as_row(document, "the orders list")
    found = readable(
        _items(row.get("orders"), "orders"), lambda item: order_row(as_row(item, "the order"))
    )
    return OrdersList(rows=found.rows, unread=found.unread, snapshot=flag(row, "snapshot") is True)


def order_status(document: object) -> OrderRow:
    """Return what the status of one order says. Raises `BadAnswer` when it is none."""
    return order_row(as_row(document, "the order's status"))


def trades(document: object) -> Readable[Execution]:
    """Return the executions. Raises `BadAnswer` when it is no list at all."""
    return readable(
        _items(document, "trades"), lambda item: execution(as_row(item, "the execution"))
    )


def positions(account: AccountId, document: object) -> tuple[Position, ...]:
    """Return what the account holds.

    Raises `BadAnswer` when one row cannot be read: a position that is left out would count
    as none. Nothing is judged by a position's currency, so that may be empty.
    """
    return tuple(_position(account, item) for item in as_rows(document, "positions"))


def funds(account: AccountId, document: object) -> Funds:
    """Return the account's money, as far as it can be read.

    A figure that is null or no number is None, and a currency that nothing names is empty:
    no order is judged by them, so they are no reason to do without the rest.
    """
    row = as_row(document, "the summary")
    currency = next(filter(None, (_currency(_entry(row, key)) for key in _FUNDS.values())), "")
    figures = {name: _amount(row, key) for name, key in _FUNDS.items()}
    return Funds(account=account, currency=currency, **figures)


_FUNDS: Final[Mapping[str, str]] = {
    "net_liquidation": "netliquidation",
    "available_funds": "availablefunds",
    "excess_liquidity": "excessliquidity",
    "buying_power": "buyingpower",
    "initial_margin": "initmarginreq",
    "maintenance_margin": "maintmarginreq",
    "gross_position_value": "grosspositionvalue",
    "total_cash": "totalcashvalue",
}
"""Our names of the figures, and the broker's."""


def ledger(document: object) -> tuple[CashBalance, ...]:
    """Return the account's money by currency, in the broker's order; `BASE` is all of it.

    What is no figure is None, and what is no row of a currency is left out: no order is
    judged by them. A portfolio that was not opened yet answers with no row at all.
    """
    rows = as_row(document, "the ledger").items()
    return tuple(
        CashBalance(
            currency=currency,
            cash=loose_number(row, "cashbalance"),
            settled_cash=loose_number(row, "settledcash"),
            net_liquidation=loose_number(row, "netliquidationvalue"),
            exchange_rate=loose_number(row, "exchangerate"),
        )
        for currency, row in rows
        if isinstance(row, dict) and _LEDGER_KEY.fullmatch(currency)
    )


def profits(document: object) -> Readable[ProfitAndLoss]:
    """Return the running results of the accounts; none in the first answer of a session.

    The row `ACCOUNT.Core` is the account's. Rows of an adviser's models, `ACCOUNT.model`,
    are left out: nobody says whether they add to it or are parts of it, and a loss must
    not be hidden by a sum. Raises `BadAnswer` when there are no rows to be empty.
    """
    return results(as_row(document, "the results").get("upnl"))


def _items(value: object, what: str) -> list[object]:
    if isinstance(value, list):
        return value
    message = f"{what} is {type(value).__name__}, expected an array"
    raise BadAnswer(message)


def _entry(row: Row, key: str) -> Row:
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def _amount(row: Row, key: str) -> Decimal | None:
    entry = _entry(row, key)
    return None if flag(entry, "isNull") else loose_number(entry, "amount")


def _currency(entry: Row) -> str:
    found = entry.get("currency")
    return found if isinstance(found, str) and _CURRENCY.fullmatch(found) else ""


def _group_name(group: object) -> str | None:
    name = group.get("name") if isinstance(group, dict) else group
    return name if isinstance(name, str) else None


def _position(account: AccountId, row: Row) -> Position:
    return Position(
        account=account,
        conid=ConId(need_conid(row, "conid")),
        symbol=sentence(row.get("description")) or sentence(row.get("contractDesc")),
        quantity=need_number(row, "position"),
        average_price=loose_number(row, "avgPrice"),
        market_price=loose_number(row, "marketPrice"),
        market_value=loose_number(row, "marketValue"),
        unrealized_pnl=loose_number(row, "unrealizedPnl"),
        currency=_currency(row),
    )


def _failure_of_text(status: int, words: str) -> Failure:
    words = redact(words)
    message = f"HTTP {status}: {words}"
    if _NO_BRIDGE.search(words):
        return Failure(kind=FailureKind.NO_BRIDGE, message=message)
    if _NOT_PRIMED.search(words):
        return Failure(kind=FailureKind.NOT_PRIMED, message=message)
    return _failure_of_status(status, words) or Failure(
        kind=FailureKind.SERVER_ERROR, message=message
    )


def _failure_of_status(status: int, words: str) -> Failure | None:
    if status == _OK:
        return None
    if status == _UNAUTHORIZED or status in _REDIRECTS:
        return _refusal(FailureKind.UNAUTHORIZED, status, words)
    return _refusal(FailureKind.SERVER_ERROR, status, words)


def _refusal(kind: FailureKind, status: int, words: str) -> Failure:
    return Failure(kind=kind, message=f"HTTP {status}: {words}" if words else f"HTTP {status}")
