"""Everything one simulated gateway is made of, without a server around it.

Rule 1: handlers change the world synchronously; there is no await between a
check and what it allows.

Rule 2: news of the venue reaches every subscriber once, in order, through
`publish`.
"""

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from engine.sim.catalogue import catalogue
from engine.sim.config import SimConfig
from engine.sim.faults import Faults
from engine.sim.market import Market
from engine.sim.orders import (
    CommissionKnown,
    Execution,
    Order,
    OrderChanged,
    OrderStatus,
    Prompted,
    Traded,
)
from engine.sim.rows import execution_row, order_row, row_delta, sparse_row
from engine.sim.session import Brokerage, Session
from engine.sim.state import kept, read, restore
from engine.sim.venue import Venue

_log = structlog.get_logger("engine.sim")

SERVER_INFO: Final = {
    "serverName": "JifN19053",
    "serverVersion": "Build 10.44.1d, Mar 3, 2026 1:55:32 PM",
}
_MAC: Final = "AA:BB:CC:DD:EE:FF"
_PAST_STATES: Final = 16
PROMPT_OPTIONS: Final = ("Use on this order", "Always use", "Do not use")


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

    def bulletin(self, rows: list[dict[str, Any]]) -> None:
        """Rows of `blt`."""
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
    """The state of one gateway: session, market, venue, faults, sockets.

    `clock_ms` tells the time at the venue.
    """

    def __init__(
        self,
        config: SimConfig,
        clock_ms: Callable[[], int],
        faults: Faults,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a world, which goes on from `state` when one is given.

        Raises:
            StateError: The state cannot be used.
        """
        self.config = config
        self.faults = faults
        found = None if state is None else read(state)
        # The venue's time does not go back, even when the machine's does.
        ahead_ms = 0 if found is None else max(0, found.at_ms - clock_ms())
        self.clock_ms: Callable[[], int] = (
            clock_ms if not ahead_ms else lambda: clock_ms() + ahead_ms
        )
        now_ms = self.clock_ms()
        self.market = Market(
            catalogue(datetime.fromtimestamp(now_ms // 1000, UTC).date()),
            seed=config.seed,
            interval_ms=config.quote_interval_ms,
            now_ms=now_ms,
        )
        self.venue = Venue(
            market=self.market,
            accounts=config.accounts,
            # Two logins of one simulator have orders of their own, in one market.
            seed=f"{config.seed}:{config.username}",
            auction_interval_ms=config.auction_interval_ms,
            fill_delay_ms=config.fill_delay_ms,
            cancel_delay_ms=config.cancel_delay_ms,
            commission_delay_ms=config.commission_delay_ms,
        )
        if found is not None:
            restore(self.venue, found)
        self.session = Session(
            accounts=config.accounts,
            seed=f"{config.seed}:{config.username}",
            established_delay_ms=config.established_delay_ms,
            idle_ms=int(config.idle_timeout_s * 1000),
        )
        if config.logged_in:
            self.session.log_in(now_ms)
        self.subscribers: list[Subscriber] = []
        self.silent_until_ms = 0
        self.down_until_ms = 0
        self.rng = random.Random(f"world:{config.seed}:{config.username}")
        self.request_ids = itertools.count(13_000_000)
        self._told_rows: dict[int, dict[str, Any]] = {}
        self._past: dict[int, list[Order]] = {}
        self._frozen_at_ms: int | None = None
        self._told_state: tuple[bool, bool, Brokerage | None] = (False, False, None)
        self._notice_ids = itertools.count(118)
        self._resets_done = 0
        self._closes_done = 0

    def state(self) -> dict[str, Any]:
        """What the venue goes on from after a restart, as JSON values."""
        return kept(self.venue, self.clock_ms())

    @property
    def is_silent(self) -> bool:
        """True while nothing is answered."""
        return self.faults.silent_gateway or self.clock_ms() < self.silent_until_ms

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
        if faults.backend_down and self.session.brokerage is not None:
            faults.struck["backend_down"] += 1
            self.session.reset_brokerage()
        if not faults.frozen_orders_list:
            self._frozen_at_ms = None
        elif self._frozen_at_ms is None:
            faults.struck["frozen_orders_list"] += 1
            self._frozen_at_ms = self.clock_ms()
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
                    self._remember(order)
                    order_rows += self._changes(order)
                    notices += self._notices(order)
                case Traded(execution=execution):
                    _log_fill(execution)
                    trade_rows.append(self.execution_row(execution, with_commission=False))
                case CommissionKnown(execution=execution):
                    trade_rows.append(self.execution_row(execution, with_commission=True))
                case Prompted():
                    notices.append(prompt_row(news))
        for subscriber in tuple(self.subscribers):
            if order_rows:
                subscriber.orders_changed(order_rows)
            if trade_rows:
                subscriber.traded(trade_rows)
            if notices:
                subscriber.notified(notices)

    def tell_notice(self, text: str) -> None:
        """A text of the broker on every open socket."""
        row = {"id": str(next(self._notice_ids)), "text": text, "title": None, "url": None}
        for subscriber in tuple(self.subscribers):
            subscriber.notified([row])

    def tell_bulletin(self, text: str) -> None:
        """A text of an exchange on every open socket."""
        row = {"id": next(self._notice_ids), "exchanges": None, "message": text}
        for subscriber in tuple(self.subscribers):
            subscriber.bulletin([row])

    def listed_orders(self, now_ms: int) -> list[Order]:
        """The orders as the list shows them, the newest first; a fault may make it old."""
        faults = self.faults
        if self._frozen_at_ms is None and not faults.order_list_lag_ms:
            return list(reversed(self.venue.orders.values()))
        as_of_ms = now_ms - faults.order_list_lag_ms
        if self._frozen_at_ms is not None:
            as_of_ms = min(as_of_ms, self._frozen_at_ms)
        found: list[Order] = []
        for order in reversed(self.venue.orders.values()):
            past = self._past.get(order.order_id, [order])
            seen = [row for row in past if row.updated_at_ms <= as_of_ms]
            if seen:
                found.append(seen[-1])
        return found

    def order_row(self, order: Order) -> dict[str, Any]:
        """The full row of an order as it is now."""
        at_ms = order.updated_at_ms + self.faults.clock_skew_ms
        shown = replace(order, updated_at_ms=at_ms)
        return order_row(shown, self.venue.instrument(order.ticket.conid))

    def execution_row(self, execution: Execution, *, with_commission: bool) -> dict[str, Any]:
        """The row of an execution."""
        other = self.venue.orders[execution.order_id].is_external
        return execution_row(
            replace(execution, at_ms=execution.at_ms + self.faults.clock_skew_ms),
            self.venue.instrument(execution.ticket.conid),
            submitter="otheruser" if other else self.config.username,
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
                "connected": not self.faults.backend_down,
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
                "allowCrypto": True,
                "allowFA": False,
                "allowedAssetTypes": "STK,OPT,FUT,CASH,IND,CRYPTO",
            },
            "chartPeriods": {
                "STK": ["*"],
                "OPT": ["2h", "1d", "2d", "1w", "1m"],
                "FUT": ["*"],
                "CASH": ["*"],
            },
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

    def _remember(self, order: Order) -> None:
        """Keep what an order was, for lists that show it late; only the last states are kept."""
        past = self._past.setdefault(order.order_id, [])
        past.append(order)
        del past[:-_PAST_STATES]

    def _changes(self, order: Order) -> list[OrderNews]:
        """What `sor` says about one state of an order: the news, sometimes ids alone too."""
        row = self.order_row(order)
        delta = row_delta(self._told_rows.get(order.order_id), row)
        self._told_rows[order.order_id] = row
        rows = [delta]
        if order.status is OrderStatus.SUBMITTED and not order.filled_quantity:
            rows.insert(0, sparse_row(row))
        return [OrderNews(status=order.status.value, row=each) for each in rows]


def prompt_row(asked: Prompted) -> dict[str, Any]:
    """A prompt as a notice shows it, and as it may come in place of an acknowledgement."""
    return {
        "orderId": asked.order_id,
        "reqId": asked.request_id,
        "dismissable": [],
        "text": "If your order is not immediately executable, it may be held.\n"
        "Use the Price Management Algo?",
        "options": list(PROMPT_OPTIONS),
        "type": "M",
        "messageId": "p12",
        "prompt": True,
    }


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
