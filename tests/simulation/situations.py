"""Faults that come together: what a single one seldom leads to, and a bad night does.

Each act waits until the day has what it needs, does its faults in their order, and takes
back what it switched on. Some of them need an order that nobody tells of, some a list that
is old, some both of them for minutes.
"""

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from engine.sim.actions import act
from engine.sim.faults import Faults
from tests.simulation.host import EXTERNAL_CONID, Host
from tests.simulation.venue import Gateway

LOOK_S: Final = 0.25
"""So often an act looks whether its moment has come."""

PATIENCE_S: Final = 40.0
"""After so long it gives up waiting for it."""

LOSING: Final = ("status_503_with_accept", "hang_next_order")
"""Faults that let the venue take an order and say nothing of it."""

MANY: Final = 9
"""More orders than a client sends while a list stays frozen."""

HIDDEN_S: Final = "150..200"
"""How long no stream tells of an order, where that has to outlast a proof of its absence."""

Act = Callable[[Gateway], Awaitable[None]]


class Situations:
    """The acts of the weather that combine several faults."""

    def __init__(self, *, host: Host, chance: random.Random) -> None:
        self._host = host
        self._chance = chance
        self.acts: dict[str, Act] = {
            "unseen_order": self._unseen_order,
            "order_beside_a_frozen_list": self._order_beside_a_frozen_list,
            "order_lost_with_its_login": self._order_lost_with_its_login,
            "order_taken_after_all_proof": self._order_taken_after_all_proof,
            "order_taken_after_it_was_parked": self._order_taken_after_it_was_parked,
            "renumbered_at_work": self._renumbered_at_work,
            "bracket_without_its_exit": self._bracket_without_its_exit,
            "second_order_of_a_change": self._second_order_of_a_change,
            "killed_while_it_saves": self._killed_while_it_saves,
        }

    async def _unseen_order(self, gateway: Gateway) -> None:
        """Let the venue take an order that neither the answer, the list nor the stream shows."""
        faults = gateway.sim.faults
        setattr(faults, self._chance.choice(LOSING), 1)
        faults.mute_sor = faults.frozen_orders_list = True
        await asyncio.sleep(self._chance.uniform(5.0, 60.0))
        faults.mute_sor = faults.frozen_orders_list = False

    async def _order_beside_a_frozen_list(self, gateway: Gateway) -> None:
        """Lose an order while the list is old, and shows others that stand as they stood."""
        faults = gateway.sim.faults
        if not await self._until(lambda: _works(gateway)):
            return
        faults.frozen_orders_list = True
        if await self._lose_next(gateway, orders=MANY):
            # Nothing that is told of later orders may show how old the list is.
            await asyncio.sleep(self._chance.uniform(110.0, 140.0))
        faults.frozen_orders_list = False
        faults.change(dict.fromkeys(("hide_from_stream", *LOSING), 0))
        faults.hide_s = Faults().hide_s

    async def _order_lost_with_its_login(self, gateway: Gateway) -> None:
        """Lose an order that ends before the login does, and whose end the next one forgets."""
        faults = gateway.sim.faults
        faults.cancel_next, faults.reset_forgets_ended = "Order held too long", True
        if await self._lose_next(gateway):
            await asyncio.sleep(self._chance.uniform(0.5, 3.0))
            faults.reset_brokerage()
            for _ in range(3):
                await asyncio.sleep(self._chance.uniform(20.0, 30.0))
                self._trade_elsewhere(gateway)
            await asyncio.sleep(40.0)
        faults.cancel_next, faults.reset_forgets_ended = None, False

    async def _order_taken_after_all_proof(self, gateway: Gateway) -> None:
        """Let the venue take an order so late that its absence has been proven by then."""
        faults = gateway.sim.faults
        faults.accept_late, faults.accept_late_s = 1, "100..160"
        if await self._until(_struck(gateway, "accept_late")):
            faults.accept_late_s = Faults().accept_late_s
            await asyncio.sleep(self._chance.uniform(15.0, 20.0))
            self._trade_elsewhere(gateway)
        faults.accept_late_s = Faults().accept_late_s

    async def _order_taken_after_it_was_parked(self, gateway: Gateway) -> None:
        """Let the venue take an order so late that a person has been asked about it by then."""
        faults = gateway.sim.faults
        faults.accept_late, faults.accept_late_s = 1, "195..230"
        await self._until(_struck(gateway, "accept_late"))
        faults.accept_late_s = Faults().accept_late_s

    async def _renumbered_at_work(self, gateway: Gateway) -> None:
        """Give the orders that work other numbers, as a restart of the broker's servers does."""
        faults = gateway.sim.faults
        if not await self._until(lambda: _works(gateway)):
            return
        faults.renumber_on_reset = True
        faults.reset_brokerage()
        await asyncio.sleep(2.0)
        faults.renumber_on_reset = False

    async def _bracket_without_its_exit(self, gateway: Gateway) -> None:
        """Let the last order of the next bracket, or group, come to nothing."""
        fault = self._chance.choice(("group_member_refused", "group_member_lost"))
        setattr(gateway.sim.faults, fault, 1)

    async def _second_order_of_a_change(self, gateway: Gateway) -> None:
        """Let the next change make a second order beside the first."""
        gateway.sim.faults.second_incarnation = 1

    async def _killed_while_it_saves(self, _gateway: Gateway) -> None:
        """Tear the engine out while it writes a snapshot, and start it again."""
        host, engine = self._host, self._host.engine
        journal = None if engine is None else engine.journal
        if journal is None:
            return
        watched: Any = journal
        save = journal.save_snapshot

        async def saving(snapshot: Any) -> None:
            if host.engine is engine:
                reason, nobody = "while it saved a snapshot", contextvars.Context()
                host.loop.call_soon(host.kill, reason, context=nobody)
            await save(snapshot)

        watched.save_snapshot = saving
        await self._until(lambda: host.engine is not engine)
        watched.save_snapshot = save
        await asyncio.sleep(self._chance.uniform(0.5, 10.0))
        host.start()

    # --- what they need ---------------------------------------------------------------------

    async def _lose_next(self, gateway: Gateway, orders: int = 1) -> bool:
        """Lose the answers to the next orders, and hide them from the stream; False without one."""
        faults = gateway.sim.faults
        lost = self._chance.choice(LOSING)
        faults.hide_from_stream, faults.hide_s = orders, HIDDEN_S
        setattr(faults, lost, orders)
        struck = await self._until(_struck(gateway, lost))
        if orders == 1:
            faults.hide_from_stream, faults.hide_s = 0, Faults().hide_s
        return struck

    def _trade_elsewhere(self, gateway: Gateway) -> None:
        """Let somebody trade another contract in all accounts: that dates their lists."""
        for account in sorted(gateway.venue.accounts):
            ticket = {"account": account, "conid": EXTERNAL_CONID, "side": "BUY", "quantity": 1}
            act(gateway.sim, "external", ticket)

    async def _until(self, comes: Callable[[], bool]) -> bool:
        """Wait until something is so; False when it does not come to be."""
        for _ in range(round(PATIENCE_S / LOOK_S)):
            if comes():
                return True
            await asyncio.sleep(LOOK_S)
        return False


def _struck(gateway: Gateway, fault: str) -> Callable[[], bool]:
    """Return what tells whether a fault has struck since."""
    struck = gateway.sim.faults.struck
    before = struck[fault]
    return lambda: struck[fault] > before


def _works(gateway: Gateway) -> bool:
    """Tell whether an order of the engine works at the venue."""
    orders = gateway.venue.orders.values()
    return any(one.working and not one.is_external for one in orders)
