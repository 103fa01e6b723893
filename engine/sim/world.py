"""Everything one simulated gateway is made of, without a server around it.

Rule 1: handlers change the world synchronously; there is no await between a
check and what it allows.

Rule 2: news of the venue reaches every subscriber once, in order, through
`publish`.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from engine.sim.book import Pace
from engine.sim.catalogue import catalogue
from engine.sim.config import SimConfig
from engine.sim.faults import Faults
from engine.sim.market import Market
from engine.sim.orders import (
    CommissionKnown,
    Corrected,
    Execution,
    Order,
    OrderChanged,
    OrderStatus,
    Prompted,
    Traded,
)
from engine.sim.rows import execution_row, order_row, row_delta, sparse_row
from engine.sim.session import Brokerage, Session
from engine.sim.sight import Sight
from engine.sim.state import kept, read, restore
from engine.sim.venue import Venue

_log = structlog.get_logger("engine.sim")

SERVER_INFO: Final = {
    "serverName": "JifN19053",
    "serverVersion": "Build 10.44.1d, Mar 3, 2026 1:55:32 PM",
}
_MAC: Final = "AA:BB:CC:DD:EE:FF"
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
        faults.seed(f"{config.seed}:{config.username}")
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
        self.venue = _venue(config, self.market, self._commission_delay_ms)
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
        self.sight = Sight(self.venue, faults)
        self.subscribers: list[Subscriber] = []
        self.silent_until_ms = 0
        self.down_until_ms = 0
        self.paused_until_ms = 0
        self.maintained_until_ms = 0
        self.rng = random.Random(f"world:{config.seed}:{config.username}")
        self.request_ids = itertools.count(13_000_000)
        self._told_rows: dict[int, dict[str, Any]] = {}
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = itertools.count()
        self._told_state: tuple[bool, bool, Brokerage | None] = (False, False, None)
        self._notice_ids = itertools.count(118)
        self._displaced = False
        self._resets_done = 0
        self._closes_done = 0

    def state(self) -> dict[str, Any]:
        """What the venue goes on from after a restart, as JSON values."""
        return kept(self.venue, self.clock_ms())

    @property
    def is_silent(self) -> bool:
        """True while nothing is answered."""
        return self.faults.holds("silent_gateway") or self.clock_ms() < self.silent_until_ms

    @property
    def is_paused(self) -> bool:
        """True while the gateway stands still; what was asked then is answered afterwards."""
        return self.clock_ms() < self.paused_until_ms

    @property
    def is_maintained(self) -> bool:
        """True while nobody can log in because the broker maintains its servers."""
        return self.faults.holds("maintenance") or self.clock_ms() < self.maintained_until_ms

    def later(self, due_ms: int, do: Callable[[], None]) -> None:
        """Do something at that time, or as soon as the world moves on after it."""
        heapq.heappush(self._later, (due_ms, next(self._planned), do))

    def advance(self, now_ms: int) -> None:
        """Move market and venue on and tell every socket what is new."""
        self.apply_faults()
        self.market.advance(now_ms)
        while self._later and self._later[0][0] <= now_ms:
            heapq.heappop(self._later)[2]()
        self.venue.advance(now_ms)
        self.publish()
        for subscriber in tuple(self.subscribers):
            subscriber.advance(now_ms)

    def apply_faults(self) -> None:
        """Do what was asked for by the faults since the last call."""
        faults, now_ms = self.faults, self.clock_ms()
        faults.begin_spell(now_ms)
        if faults.brokerage_resets_wanted > self._resets_done:
            self._resets_done = faults.brokerage_resets_wanted
            faults.struck["reset_brokerage"] += 1
            self._reset(now_ms)
        if faults.websocket_closes_wanted > self._closes_done:
            self._closes_done = faults.websocket_closes_wanted
            faults.struck["close_websockets"] += 1
            for subscriber in tuple(self.subscribers):
                subscriber.close()
        displaced = faults.holds("competing")
        if displaced and not self._displaced:
            # Another login owns the username now: this one's session is displaced.
            faults.struck["competing"] += 1
            self._reset(now_ms)
        self._displaced = displaced
        if faults.holds("backend_down") and self.session.brokerage is not None:
            faults.struck["backend_down"] += 1
            self._reset(now_ms)
        if self.is_maintained and self.session.login is not None:
            faults.struck["maintenance"] += 1
            self.session.log_out()
        self.sight.look(now_ms)
        self._tell_state(now_ms)

    def _commission_delay_ms(self) -> int:
        faults = self.faults
        if faults.shows("late_commission"):
            return faults.late_commission_ms
        return self.config.commission_delay_ms

    def _reset(self, now_ms: int) -> None:
        """End the brokerage session, and what the broker may forget with it."""
        self.session.reset_brokerage()
        if self.faults.shows("coid_amnesia"):
            self.venue.forget_coids()
        for order_id, order in tuple(self.venue.orders.items()):
            if order.working and self.faults.shows("renumber_on_reset"):
                self.venue.renumber(order_id, now_ms)

    def _tell_state(self, now_ms: int) -> None:
        """Tell the sockets when the login state is not what it was."""
        established = self.session.established(now_ms)
        competing = self.is_competing
        state = (established, competing, self.session.brokerage if established else None)
        if state != self._told_state:
            self._told_state = state
            for subscriber in tuple(self.subscribers):
                subscriber.session_changed()

    @property
    def is_competing(self) -> bool:
        """True while the status says that another session of the user competes."""
        return self.faults.holds("competing") or self.faults.holds("competing_shown")

    def select_next_account(self) -> None:
        """Let another account be the selected one, as another client of the login might."""
        brokerage, accounts = self.session.brokerage, self.config.accounts
        if brokerage is not None:
            place = accounts.index(brokerage.selected_account)
            brokerage.selected_account = accounts[(place + 1) % len(accounts)]

    def publish(self) -> None:
        """Hand the venue's news to the sockets and the log."""
        found = self.venue.take_news()
        if not found:
            return
        order_rows: list[OrderNews] = []
        trade_rows: list[dict[str, Any]] = []
        notices: list[dict[str, Any]] = []
        for news in found:
            match news:
                case OrderChanged(order=order):
                    self.sight.remember(order)
                    order_rows += self._changes(order)
                    notices += self._notices(order)
                case Traded(execution=execution):
                    _log_fill(execution)
                    self._draw_correction(execution)
                    trade_rows += self._trade_rows(execution, with_commission=False)
                case CommissionKnown(execution=execution):
                    trade_rows += self._trade_rows(execution, with_commission=True)
                case Corrected(execution=execution):
                    known = execution.execution_id in self.venue.commissions_known
                    trade_rows += self._trade_rows(execution, with_commission=known)
                case Prompted():
                    notices.append(prompt_row(news))
        self._hand_out(order_rows, trade_rows, notices)

    def _hand_out(
        self,
        order_rows: list[OrderNews],
        trade_rows: list[dict[str, Any]],
        notices: list[dict[str, Any]],
    ) -> None:
        for subscriber in tuple(self.subscribers):
            if order_rows:
                subscriber.orders_changed(order_rows)
            if trade_rows:
                subscriber.traded(trade_rows)
            if notices:
                subscriber.notified(notices)

    def _draw_correction(self, execution: Execution) -> None:
        """Let the venue correct or bust an execution later, when a fault says so."""
        faults = self.faults
        busts = faults.takes("bust_next")
        if not busts and not faults.takes("correct_next"):
            return
        base = execution.execution_id.rpartition(".")[0]
        due_ms = self.clock_ms() + faults.span_ms("correction_late_s")

        def correct() -> None:
            found = self.venue.execution_index(base)
            old = self.venue.executions[found]
            tick = self.venue.instrument(old.ticket.conid).increment(old.price)
            self.venue.correct(
                found,
                due_ms,
                quantity=old.quantity * 0 if busts else old.quantity,
                price=old.price if busts else old.price + tick,
            )

        self.later(due_ms, correct)

    def _trade_rows(self, execution: Execution, *, with_commission: bool) -> list[dict[str, Any]]:
        """The rows that tell of an execution now; late ones are told when it is time."""
        rows = self.sight.drifted([self.execution_row(execution, with_commission=with_commission)])
        delay_ms = self.sight.trade_delay_ms(execution.order_id)
        if not delay_ms:
            return rows
        self.later(self.clock_ms() + delay_ms, lambda: self._hand_out([], rows, []))
        return []

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

    def order_row(self, order: Order) -> dict[str, Any]:
        """The full row of an order as it is then."""
        at_ms = order.updated_at_ms + self.faults.clock_skew_ms
        shown = replace(order, updated_at_ms=at_ms)
        row = order_row(shown, self.venue.instrument(order.ticket.conid))
        return self.sight.bare(row)

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
                "competing": self.is_competing,
                "connected": not self.faults.holds("backend_down"),
                "MAC": _MAC,
            }
        return {
            "authenticated": True,
            "established": session.established(now_ms),
            "competing": self.is_competing,
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

    def _changes(self, order: Order) -> list[OrderNews]:
        """What `sor` says about one state of an order: the news, sometimes ids alone too."""
        row = self.order_row(order)
        delta = row_delta(self._told_rows.get(order.order_id), row)
        self._told_rows[order.order_id] = row
        rows = [self.sight.partial(delta)]
        if order.status is OrderStatus.SUBMITTED and not order.filled_quantity:
            rows.insert(0, sparse_row(row))
        told = [OrderNews(status=order.status.value, row=each) for each in self.sight.drifted(rows)]
        now_ms = self.clock_ms()
        delay_ms = self.sight.order_delay_ms(order.order_id, now_ms)
        if not delay_ms:
            return told
        self.later(now_ms + delay_ms, lambda: self._hand_out(told, [], []))
        return []


def _venue(config: SimConfig, market: Market, commission_delay_ms: Callable[[], int]) -> Venue:
    return Venue(
        market=market,
        accounts=config.accounts,
        # Two logins of one simulator have orders of their own, in one market.
        seed=f"{config.seed}:{config.username}",
        pace=Pace(
            fill_delay_ms=config.fill_delay_ms,
            cancel_delay_ms=config.cancel_delay_ms,
            auction_interval_ms=config.auction_interval_ms,
            day_ends_at_s=config.day_ends_at_s,
        ),
        commission_delay_ms=commission_delay_ms,
    )


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
