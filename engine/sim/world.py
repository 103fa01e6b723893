"""Everything one simulated gateway is made of, without a server around it.

Rule 1: handlers change the world synchronously; there is no await between a
check and what it allows.

Rule 2: news of the venue reaches every subscriber once, in order, through
`publish`.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from engine.sim.config import SimConfig
from engine.sim.faults import Faults
from engine.sim.instruments import catalogue
from engine.sim.market import Market
from engine.sim.orders import CommissionKnown, Execution, Order, OrderChanged, OrderStatus, Traded
from engine.sim.rows import execution_row, order_row, row_delta, sparse_row
from engine.sim.session import Brokerage, Session
from engine.sim.venue import Venue

_log = structlog.get_logger("engine.sim")

SERVER_INFO: Final = {
    "serverName": "JifN19053",
    "serverVersion": "Build 10.44.1d, Mar 3, 2026 1:55:32 PM",
}
_MAC: Final = "AA:BB:CC:DD:EE:FF"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNews:
    """One row of `sor` and the status the order had then, which filters look at."""

    status: str
    row: dict[str, Any]


class Subscriber(Protocol):
    """A client's socket, as the world sees it."""

    def orders_changed(self, rows: list[OrderNews]) -> None:
        """Rows of `sor`, in order."""
        ...

    def traded(self, rows: list[dict[str, Any]]) -> None:
        """Rows of `str`, in order."""
        ...

    def notified(self, rows: list[dict[str, Any]]) -> None:
        """Rows of `ntf`, in order."""
        ...

    def session_changed(self) -> None:
        """The login state of the brokerage session is not what it was."""
        ...

    def advance(self, now_ms: int) -> None:
        """Send what is due by the clock."""
        ...

    def close(self) -> None:
        """Close the socket with code 1000."""
        ...


class World:
    """The state of one gateway: session, market, venue, faults, sockets."""

    def __init__(self, config: SimConfig, clock_ms: Callable[[], int], faults: Faults) -> None:
        self.config = config
        self.clock_ms = clock_ms
        self.faults = faults
        now_ms = clock_ms()
        self.market = Market(
            catalogue(), seed=config.seed, interval_ms=config.quote_interval_ms, now_ms=now_ms
        )
        self.venue = Venue(
            market=self.market,
            accounts=config.accounts,
            seed=config.seed,
            fill_delay_ms=config.fill_delay_ms,
            cancel_delay_ms=config.cancel_delay_ms,
            commission_delay_ms=config.commission_delay_ms,
        )
        self.session = Session(
            accounts=config.accounts,
            seed=config.seed,
            established_delay_ms=config.established_delay_ms,
            idle_ms=int(config.idle_timeout_s * 1000),
        )
        if config.logged_in:
            self.session.log_in(now_ms)
        self.subscribers: list[Subscriber] = []
        self.request_ids = itertools.count(13_000_000)
        self._told_rows: dict[int, dict[str, Any]] = {}
        self._told_state: tuple[bool, bool, Brokerage | None] = (False, False, None)
        self._notice_ids = itertools.count(118)
        self._resets_done = 0
        self._closes_done = 0

    def advance(self, now_ms: int) -> None:
        """Move market and venue on and tell every socket what is new."""
        self.apply_faults()
        self.market.advance(now_ms)
        self.venue.advance(now_ms)
        self.publish()
        for subscriber in tuple(self.subscribers):
            subscriber.advance(now_ms)

    def apply_faults(self) -> None:
        """Do what was asked for by the faults since the last call."""
        faults = self.faults
        self.venue.commission_delay_ms = (
            faults.late_commission_ms if faults.late_commission else self.config.commission_delay_ms
        )
        if faults.brokerage_resets_wanted > self._resets_done:
            self._resets_done = faults.brokerage_resets_wanted
            faults.struck["reset_brokerage"] += 1
            self.session.reset_brokerage()
        if faults.websocket_closes_wanted > self._closes_done:
            self._closes_done = faults.websocket_closes_wanted
            faults.struck["close_websockets"] += 1
            for subscriber in tuple(self.subscribers):
                subscriber.close()
        if faults.competing and not self._told_state[1]:
            # Another login owns the username now: this one's session is displaced.
            faults.struck["competing"] += 1
            self.session.reset_brokerage()
        established = self.session.established(self.clock_ms())
        state = (established, faults.competing, self.session.brokerage if established else None)
        if state != self._told_state:
            self._told_state = state
            for subscriber in tuple(self.subscribers):
                subscriber.session_changed()

    def publish(self) -> None:
        """Hand the venue's news to the sockets and the log."""
        order_rows: list[OrderNews] = []
        trade_rows: list[dict[str, Any]] = []
        notices: list[dict[str, Any]] = []
        for news in self.venue.take_news():
            match news:
                case OrderChanged(order=order):
                    order_rows += self._changes(order)
                    notices += self._notices(order)
                case Traded(execution=execution):
                    _log_fill(execution)
                    trade_rows.append(self.execution_row(execution, with_commission=False))
                case CommissionKnown(execution=execution):
                    trade_rows.append(self.execution_row(execution, with_commission=True))
        for subscriber in tuple(self.subscribers):
            if order_rows:
                subscriber.orders_changed(order_rows)
            if trade_rows:
                subscriber.traded(trade_rows)
            if notices:
                subscriber.notified(notices)

    def order_row(self, order: Order) -> dict[str, Any]:
        """The full row of an order as it is now."""
        return order_row(order, self.venue.instrument(order.ticket.conid))

    def execution_row(self, execution: Execution, *, with_commission: bool) -> dict[str, Any]:
        """The row of an execution."""
        return execution_row(
            execution,
            self.venue.instrument(execution.ticket.conid),
            submitter=self.config.username,
            with_commission=with_commission,
        )

    def known_execution_row(self, execution: Execution) -> dict[str, Any]:
        """The row of an execution as a list shows it: with the commission once that is known."""
        known = execution.execution_id in self.venue.commissions_known
        return self.execution_row(execution, with_commission=known)

    def auth_status(self, now_ms: int) -> dict[str, Any]:
        """The body of auth/status; most fields are missing without a brokerage session."""
        session = self.session
        if session.brokerage is None:
            return {
                "authenticated": False,
                "competing": self.faults.competing,
                "connected": True,
                "MAC": _MAC,
            }
        return {
            "authenticated": True,
            "established": session.established(now_ms),
            "competing": self.faults.competing,
            "connected": True,
            "message": "",
            "MAC": _MAC,
            "serverInfo": SERVER_INFO,
            "hardware_info": f"0123abcd|{_MAC}",
            "fail": "",
        }

    def accounts_body(self) -> dict[str, Any]:
        """The answer of /iserver/accounts, also what the `act` topic carries."""
        brokerage, accounts = self.session.brokerage, self.config.accounts
        properties = {
            "hasChildAccounts": False,
            "supportsCashQty": True,
            "liteUnderPro": False,
            "noFXConv": False,
            "isProp": False,
            "supportsFractions": False,
            "allowCustomerTime": False,
            "autoFx": False,
        }
        return {
            "accounts": list(accounts),
            "acctProps": dict.fromkeys(accounts, properties),
            "aliases": {account: account for account in accounts},
            "allowFeatures": {
                "showGFIS": True,
                "allowFXConv": True,
                "snapshotRefreshTimeout": 30,
                "liteUser": False,
                "debugPnl": True,
                "allowDynAccount": False,
                "allowCrypto": False,
                "allowFA": False,
                "allowedAssetTypes": "STK,FUT",
            },
            "chartPeriods": {"STK": ["*"], "FUT": ["*"]},
            "groups": [],
            "profiles": [],
            "selectedAccount": brokerage.selected_account if brokerage else accounts[0],
            "serverInfo": SERVER_INFO,
            "sessionId": f"{self.session.login.session_id[:8]}.000002ef"
            if self.session.login
            else "",
            "isFT": False,
            "isPaper": self.is_paper,
        }

    @property
    def is_paper(self) -> bool:
        """True unless an account id is a live one; paper ids start with a D."""
        return all(account.startswith("D") for account in self.config.accounts)

    def _notices(self, order: Order) -> list[dict[str, Any]]:
        """What the broker says in words about an order it did not want."""
        if order.reason is None:
            return []
        row = self._told_rows[order.order_id]
        text = f"Order {row['orderDesc']} was rejected: {order.reason}"
        return [{"id": str(next(self._notice_ids)), "text": text, "title": None, "url": None}]

    def _changes(self, order: Order) -> list[OrderNews]:
        """What `sor` says about one state of an order: the news, sometimes ids alone too."""
        row = self.order_row(order)
        delta = row_delta(self._told_rows.get(order.order_id), row)
        self._told_rows[order.order_id] = row
        rows = [delta]
        if order.status is OrderStatus.SUBMITTED and not order.filled_quantity:
            rows.insert(0, sparse_row(row))
        return [OrderNews(status=order.status.value, row=each) for each in rows]


def _log_fill(execution: Execution) -> None:
    _log.info(
        "order_filled",
        account=execution.ticket.account,
        order_id=execution.order_id,
        coid=execution.ticket.coid,
        conid=execution.ticket.conid,
        side=execution.ticket.side,
        quantity=str(execution.quantity),
        price=str(execution.price),
    )
