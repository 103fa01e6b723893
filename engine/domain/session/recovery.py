"""The accounts of a login that are read anew, one by one, before they may trade.

Each account goes positions, orders, trades, funds; then it is done, whatever the others
do. Positions are read account by account, the list of orders and the trades for all
accounts of the login at once; they count for an account when they were asked for after its
positions were in, so that every execution in the positions is known.

Rule: a list that lacks an order which works, as far as is known, is not believed: unscoped
lists have been seen empty while the list of the one account had its rows. So that account's
own list is read before it goes on. Lists are never read with the broker's filters.

How long it takes. Reads share six requests a second (ten, less those kept for orders and
cancels), one at a time; each list may be read every 5 s, and the first of a login is cold.
With twenty accounts: their positions take 20 / 6 = 3.4 s, within the 5 s that the lists have
to wait anyway; the lists are in 5.3 s after the cold ones, and then the session is ready,
with every account that has its funds by then; the rest of the funds take until 40 / 6 =
6.7 s. Measured against the simulated gateway at the broker's pace: the session and the first
account after 5.3 s, the tenth after 6.4 s, all twenty after 7.4 s. A gateway that needs
200 ms an answer makes it some 9 s: 40 reads one after the other, beside the lists. An
account whose own list has to be read adds 5 s to its time and to that of those after it:
20 of them take 100 s more.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from engine.domain.messages import DeliverToRisk, OrdersRead, ReconcileAccount, TradesRead
from engine.domain.values import AccountId, BrokerOrderId

Live: TypeAlias = Callable[[AccountId], frozenset[BrokerOrderId]]
"""Tells the orders of an account that its list has to show."""

_Progress: TypeAlias = Iterator[DeliverToRisk]


class Step(StrEnum):
    """What of an account is read next."""

    POSITIONS = "positions"
    ORDERS = "orders"
    TRADES = "trades"
    FUNDS = "funds"
    DONE = ""


@dataclass(slots=True, kw_only=True)
class _Account:
    """How far an account is. `since_ns` is when its positions came in."""

    step: Step = Step.POSITIONS
    since_ns: int = 0
    alone: bool = False
    tries: int = 0
    funds: bool = False
    orders: int = 0
    executions: int = 0


ALONE_TRIES_MAX: Final = 3
"""So often an account's own list is tried; then the one of all accounts has to do."""

_WAITS_FOR_LISTS: Final = frozenset({Step.ORDERS, Step.TRADES})


class Recovery:
    """Follows the reads, and tells each account's risk how far it is."""

    def __init__(self, live: Live) -> None:
        self.epoch = 0
        """The login that the accounts are read in; 0 when they are read in none."""
        self._live = live
        self._accounts: dict[AccountId, _Account] = {}
        self._told: dict[AccountId, ReconcileAccount] = {}

    def begin(self, accounts: Iterable[AccountId], epoch: int) -> _Progress:
        """Read all accounts anew."""
        self.epoch = epoch
        self._accounts.clear()
        for account in accounts:
            self._accounts[account] = _Account()
            yield self._tell(account)

    def stop(self) -> None:
        """The login is gone; what the next one shows first is no news of these reads."""
        self.epoch = 0
        self._accounts.clear()

    def told(self, account: AccountId) -> ReconcileAccount | None:
        """Return what the account's risk was told last; None before the first login."""
        return self._told.get(account)

    @property
    def waits_for_lists(self) -> bool:
        """True while an account needs nothing but the next lists."""
        return any(one.step in _WAITS_FOR_LISTS for one in self._accounts.values())

    def next_alone(self) -> AccountId | None:
        """Return an account whose own list is needed; None when there is none."""
        return next(
            (
                account
                for account, one in self._accounts.items()
                if one.step is Step.ORDERS and one.alone
            ),
            None,
        )

    def read_positions(self, account: AccountId, now_ns: int) -> _Progress:
        """Its positions are in."""
        one = self._accounts.get(account)
        if one is not None and one.step is Step.POSITIONS:
            one.since_ns = now_ns
            yield from self._go(account, Step.ORDERS)

    def read_orders(self, message: OrdersRead, asked_ns: int) -> _Progress:
        """A warm list is in; one of a single account counts for that one only."""
        for account, one in self._accounts.items():
            if one.step is not Step.ORDERS or one.since_ns > asked_ns:
                continue
            if message.account not in (None, account):
                continue
            shown = {row.broker_order_id for row in message.rows if row.account == account}
            one.orders = len(shown)
            if message.account is None and not self._live(account) <= shown:
                one.alone = True
                continue
            yield from self._go(account, Step.TRADES)

    def fail_alone(self, account: AccountId) -> _Progress:
        """The list of that account alone could not be read."""
        one = self._accounts[account]
        one.tries += 1
        if one.tries >= ALONE_TRIES_MAX:
            yield from self._go(account, Step.TRADES)

    def read_trades(self, message: TradesRead, asked_ns: int) -> _Progress:
        """The trades are in."""
        for account, one in self._accounts.items():
            if one.step is not Step.TRADES or one.since_ns > asked_ns:
                continue
            one.executions = sum(trade.account == account for trade in message.executions)
            yield from self._go(account, Step.DONE if one.funds else Step.FUNDS)

    def read_funds(self, account: AccountId) -> _Progress:
        """Its funds are in, or cannot be read; nothing is compared with them."""
        one = self._accounts.get(account)
        if one is None or one.step is Step.DONE:
            return
        one.funds = True
        if one.step is Step.FUNDS:
            yield from self._go(account, Step.DONE)

    def _go(self, account: AccountId, step: Step) -> _Progress:
        self._accounts[account].step = step
        yield self._tell(account)

    def _tell(self, account: AccountId) -> DeliverToRisk:
        one = self._accounts[account]
        message = self._told[account] = ReconcileAccount(
            account=account,
            epoch=self.epoch,
            step=one.step.value,
            done=one.step is Step.DONE,
            orders=one.orders,
            executions=one.executions,
        )
        return DeliverToRisk(account=account, message=message)
