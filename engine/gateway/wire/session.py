"""The broker's words for a session: its own requests, and what their answers say.

Rule: the body is parsed first and the status second; an `error` beside HTTP 200 is a
failure, and a text in the body tells more than the status beside it.
"""

import re
from decimal import Decimal
from typing import Final

import msgspec

from engine.domain.messages import AccountsRead, AuthStatus, Failure, FailureKind
from engine.domain.values import (
    AccountId,
    ConId,
    Execution,
    Funds,
    OrderRow,
    Position,
)
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    as_rows,
    decode,
    excerpt,
    flag,
    loose_number,
    need_number,
    need_text,
    need_whole,
    number,
    sentence,
    text,
)
from engine.gateway.wire.rows import execution, order_row

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_TOO_MANY_REQUESTS: Final = 429
_REDIRECTS: Final = range(300, 400)

_NO_BRIDGE: Final = re.compile(r"no bridge|init session first", re.IGNORECASE)
_NOT_PRIMED: Final = re.compile(r"query /accounts first|no accounts", re.IGNORECASE)
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


def read(status: int, body: bytes) -> object:
    """Return the document of an answer to a reading request.

    Raises `CallRefused` for every answer but a whole JSON document without an error,
    beside HTTP 200.
    """
    try:
        document = decode(body)
    except BadAnswer as error:
        failure = _failure_of_status(status, excerpt(body))
        if failure is None:
            failure = Failure(kind=FailureKind.BAD_ANSWER, message=str(error))
        raise CallRefused(failure, status=status) from error
    words = document.get("error") if isinstance(document, dict) else None
    if words:
        failure = _failure_of_text(status, sentence(words) or excerpt(body))
        raise CallRefused(failure, status=status)
    failure = _failure_of_status(status, excerpt(body))
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
        message=sentence(row.get("message")) or sentence(row.get("fail")),
    )


def tickle(document: object) -> tuple[AuthStatus, str | None]:
    """Return the auth status inside a tickle, and the session token that streams may ask for.

    Raises `CallRefused` when the brokerage part of the answer is an error.
    """
    row = as_row(document, "the tickle")
    brokerage = as_row(row.get("iserver"), "iserver")
    if words := sentence(brokerage.get("error")):
        raise CallRefused(_failure_of_text(_OK, words), status=_OK)
    return auth_status(brokerage.get("authStatus")), text(row, "session")


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
    return AccountsRead(
        accounts=tuple(AccountId(item) for item in listed if item not in others), paper=paper
    )


def orders(document: object) -> tuple[tuple[OrderRow, ...], bool]:
    """Return the rows of the live-orders list, and whether it is a snapshot.

    Raises `BadAnswer` when one row cannot be read: with a hole in it, the list could not
    prove that an order is absent.
    """
    row = as_row(document, "the orders list")
    rows = tuple(order_row(item) for item in as_rows(row.get("orders"), "orders"))
    return rows, flag(row, "snapshot") is True


def trades(document: object) -> tuple[Execution, ...]:
    """Return the executions. Raises `BadAnswer` when one of them cannot be read."""
    return tuple(execution(item) for item in as_rows(document, "trades"))


def positions(account: AccountId, document: object) -> tuple[Position, ...]:
    """Return what the account holds. Raises `BadAnswer` when one row cannot be read."""
    return tuple(_position(account, item) for item in as_rows(document, "positions"))


def funds(account: AccountId, document: object) -> Funds:
    """Return the account's money. A figure that the summary marks as null is None."""
    row = as_row(document, "the summary")
    currency = next(
        (found for key in _FUNDS_KEYS if (found := text(_entry(row, key), "currency"))), None
    )
    if currency is None:
        message = "the summary names no currency"
        raise BadAnswer(message)
    net_liquidation, available, excess = (_amount(row, key) for key in _FUNDS_KEYS)
    return Funds(
        account=account,
        currency=currency,
        net_liquidation=net_liquidation,
        available_funds=available,
        excess_liquidity=excess,
    )


_FUNDS_KEYS: Final = ("netliquidation", "availablefunds", "excessliquidity")


def _entry(row: Row, key: str) -> Row:
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def _amount(row: Row, key: str) -> Decimal | None:
    entry = _entry(row, key)
    return None if flag(entry, "isNull") else number(entry, "amount")


def _group_name(group: object) -> str | None:
    name = group.get("name") if isinstance(group, dict) else group
    return name if isinstance(name, str) else None


def _position(account: AccountId, row: Row) -> Position:
    return Position(
        account=account,
        conid=ConId(need_whole(row, "conid")),
        symbol=text(row, "description") or text(row, "contractDesc") or "",
        quantity=need_number(row, "position"),
        average_price=loose_number(row, "avgPrice"),
        market_price=loose_number(row, "marketPrice"),
        market_value=loose_number(row, "marketValue"),
        unrealized_pnl=loose_number(row, "unrealizedPnl"),
        currency=need_text(row, "currency"),
    )


def _failure_of_text(status: int, words: str) -> Failure:
    message = f"HTTP {status}: {words}"
    if _NO_BRIDGE.search(words):
        return Failure(kind=FailureKind.NO_BRIDGE, message=message)
    if _NOT_PRIMED.search(words):
        return Failure(kind=FailureKind.NOT_PRIMED, message=message)
    return _failure_of_status(status, words) or Failure(
        kind=FailureKind.SERVER_ERROR, message=message
    )


def _failure_of_status(status: int, words: str) -> Failure | None:
    message = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    if status == _OK:
        return None
    if status == _UNAUTHORIZED or status in _REDIRECTS:
        return Failure(kind=FailureKind.UNAUTHORIZED, message=message)
    if status == _TOO_MANY_REQUESTS:
        return Failure(kind=FailureKind.RATE_LIMITED, message=message)
    return Failure(kind=FailureKind.SERVER_ERROR, message=message)
