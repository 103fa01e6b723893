"""Bad weather: which faults a day has, how often, and when; all drawn from the seed.

Rule 1: the chances themselves are drawn. One day has nothing but slow lines, another one
all of it at once: each finds what the other hides.

Rule 2: what is wrong ends: `heal` takes every fault back, and the day must come right.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from engine.actors.feed import FeedActor
from engine.actors.order import OrderActor
from engine.actors.risk import RiskActor
from engine.actors.session import SessionActor
from engine.sim.actions import act
from engine.sim.faults import Faults
from tests.simulation.history import History
from tests.simulation.host import EXTERNAL_CONID, Host
from tests.simulation.journal import DiskConditions
from tests.simulation.network import Conditions
from tests.simulation.situations import Situations
from tests.simulation.venue import Gateway

CALM_SHARE: Final = 0.05
"""So many days are calm: what fails then fails without any excuse."""

SITUATION_SHARE: Final = 0.5
"""So many days have a combination of faults as their own, and the others a single fault."""

COUNTED: Final = (
    "hang_next_order",
    "hang_order_without_accept",
    "status_503_with_accept",
    "status_503_without_accept",
    "next_order_429",
    "inactive_next",
    "modify_hang",
    "modify_503_with_accept",
    "modify_503_without_accept",
    "cancel_ignored",
    "cancel_503",
    "lose_sor",
    "reorder_sor",
    "lose_str",
    "prompt_next",
    "init_fails",
    "answer_late",
    "accept_late",
    "empty_answer",
    "truncated_answer",
    "html_answer",
    "reply_not_found",
    "change_answer_late",
    "second_incarnation",
    "cancel_503_with_accept",
    "cancel_hang",
    "cancel_unanswered",
    "cancel_at_once",
    "fill_after_cancel",
    "correct_next",
    "bust_next",
    "trades_late",
    "status_late",
    "cold_orders_list",
    "filters_poisoned",
    "freeze_orders_list",
    "hide_from_list",
    "hide_from_stream",
    "cold_trades_list",
    "reorder_str",
    "garbage_frame",
    "oversized_frame",
    "gc_pause",
    "edge_403",
    "group_member_refused",
    "group_member_lost",
    "order_vanishes",
)
"""Faults of the simulated gateway that strike so many of the next."""

SWITCHED: Final = (
    "silent_websocket",
    "split_frames",
    "mute_sor",
    "duplicate_sor",
    "duplicate_str",
    "frozen_orders_list",
    "silent_gateway",
    "backend_down",
    "unknown_question",
    "late_commission",
    "invalidated_question_goes_live",
    "unauthorized",
    "competing",
    "competing_shown",
    "empty_accounts",
    "empty_orders_list",
    "reset_forgets_ended",
    "duplicate_coid_400",
    "coid_amnesia",
    "question_without_ids",
    "html_question",
    "bundled_questions",
    "renumber_on_reset",
    "partial_rows",
    "numbers_as_texts",
    "texts_as_numbers",
    "empty_numbers",
    "thousands_separators",
    "penalty_extends",
    "stale_positions",
)
"""Faults of the simulated gateway that last for a while."""

DEADLY: Final = (
    "order sent",
    "durable INTENT",
    "durable ATTEMPT",
    "durable OUTCOME",
    "durable QUESTION",
    "durable REPLY",
    "durable CANCEL",
    "durable MODIFY",
    "durable EXECUTION",
)
"""Moments at which an engine dies, between two of its steps."""

FAILING: Final[tuple[type[Any], ...]] = (OrderActor, RiskActor, SessionActor, FeedActor)
"""Actors that raise now and then, at no fault of theirs."""

PENALTY_BOX_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a day may bring: the weight of each fault, and the mean time between two."""

    weights: dict[str, float]
    pause_s: float
    conditions: Conditions


def draw_forecast(
    chance: random.Random, faults: tuple[str, ...], situations: tuple[str, ...]
) -> Forecast:
    """Draw which faults this day has, each with a weight of its own."""
    if chance.random() < CALM_SHARE:
        return Forecast(weights={}, pause_s=1.0, conditions=Conditions())
    share = chance.choice((0.15, 0.4, 0.8))
    weights = {name: chance.choice((0.3, 1.0, 3.0)) for name in faults if chance.random() < share}
    # One fault is the day's own: what happens again and again finds what once does not.
    own = situations if chance.random() < SITUATION_SHARE else faults
    weights[chance.choice(own)] = chance.choice((3.0, 12.0))
    bad_line = chance.random() < 0.5
    conditions = Conditions(
        delay_ms=chance.choice(((0.05, 1.0), (1.0, 30.0), (0.1, 400.0), (20.0, 1_500.0))),
        split=chance.choice((0.0, 0.3, 0.9)),
        refuse=chance.choice((0.0, 0.02, 0.1)) if bad_line else 0.0,
        cut=chance.choice((0.0, 0.03, 0.15)) if bad_line else 0.0,
        silence=chance.choice((0.0, 0.01, 0.05)) if bad_line else 0.0,
        fate_bytes=chance.choice((300, 1_000, 5_000)),
    )
    return Forecast(weights=weights, pause_s=chance.choice((1.0, 4.0, 12.0)), conditions=conditions)


class Weather:
    """Does to the day what was drawn for it."""

    def __init__(
        self, *, host: Host, gateways: tuple[Gateway, ...], history: History, chance: random.Random
    ) -> None:
        self._host = host
        self._gateways = gateways
        self._history = history
        self._chance = chance
        situations = Situations(host=host, chance=chance)
        self.failures = 0
        self.hidden: set[tuple[str, int]] = set()
        """Orders, by gateway, that lists or trades lacked for a while; known once it healed."""
        self._failing: dict[type[Any], None] = {}
        self._jobs: dict[asyncio.Task[None], None] = {}
        self._acts: dict[str, Callable[[Gateway], Awaitable[None]]] = {
            **{name: self._counted(name) for name in COUNTED},
            **{name: self._switched(name) for name in SWITCHED},
            "drop_response": self._drop_response,
            "reject": self._reject,
            "cancel_by_broker": self._cancel_by_broker,
            "questions": self._questions,
            "latency": self._latency,
            "order_list_lag": self._order_list_lag,
            "reset_brokerage": self._reset_brokerage,
            "close_websockets": self._close_websockets,
            "log_out": self._log_out,
            "restart_gateway": self._restart_gateway,
            "cut_lines": self._cut_lines,
            "silence_lines": self._silence_lines,
            "slow_disk": self._slow_disk,
            "full_disk": self._full_disk,
            "kill_now": self._kill_now,
            "kill_at_turn": self._kill_at_turn,
            **{f"kill_after_{what}": self._kill_after(what) for what in DEADLY},
            **{f"fail_{actor.__name__}": self._fail(actor) for actor in FAILING},
            "external_order": self._external_order,
            "move_position": self._move_position,
            "pause": self._pause,
            **situations.acts,
        }
        self.forecast = draw_forecast(chance, tuple(self._acts), tuple(situations.acts))
        for gateway in gateways:
            gateway.line.conditions = self.forecast.conditions
            gateway.sim.faults.penalty_box_s = PENALTY_BOX_S

    async def run(self) -> None:
        """Let it rain until somebody cancels this."""
        names, weights = tuple(self.forecast.weights), tuple(self.forecast.weights.values())
        while names:
            await asyncio.sleep(self._chance.expovariate(1 / self.forecast.pause_s))
            name = self._chance.choices(names, weights)[0]
            gateway = self._chance.choice(self._gateways)
            self._history.note("weather", (name, gateway.name))
            self._job(self._acts[name](gateway))

    def _job(self, work: Any) -> None:
        job = asyncio.get_running_loop().create_task(work)
        self._jobs[job] = None
        job.add_done_callback(lambda done: self._jobs.pop(done, None))

    async def heal(self) -> None:
        """Take everything back that was done, and start what is not running."""
        for job in tuple(self._jobs):
            job.cancel()
        self.stop_failing()
        for gateway in self._gateways:
            faults = gateway.sim.faults
            faults.change({**Faults().values(), "penalty_box_s": PENALTY_BOX_S})
            act(gateway.sim, "answer_cancels", {})
            # What one client was not shown for minutes would outlast the evening.
            sight = gateway.sim.world.sight
            hidden = {*sight._unlisted, *sight._status_late_ms, *sight._trades_late_ms}
            self.hidden |= {(gateway.name, order_id) for order_id in hidden}
            sight._unlisted.clear()
            sight._untold.clear()
            sight._freeze_until_ms = 0
            brokerage = gateway.sim.world.session.brokerage
            if brokerage is not None:
                brokerage.order_filters = frozenset()  # The other client reads without one.
            gateway.restarting = False
            gateway.line.conditions = Conditions()
            gateway.line.reset_all(silent_only=True)
            if gateway.sim.world.session.login is None:
                gateway.log_in()
        self._host.kill_at_turn = self._host.kill_after = None
        if self._host.disk.conditions.full or self._host.journal_failed:
            self._host.kill("its disk was full")
        self._host.disk.conditions = DiskConditions()
        self._host.start()

    # --- at the gateway ---------------------------------------------------------------------

    def _counted(self, name: str) -> Callable[[Gateway], Awaitable[None]]:
        async def act(gateway: Gateway) -> None:
            setattr(gateway.sim.faults, name, self._chance.choice((1, 1, 2)))

        return act

    def _switched(self, name: str) -> Callable[[Gateway], Awaitable[None]]:
        async def act(gateway: Gateway) -> None:
            setattr(gateway.sim.faults, name, True)
            await asyncio.sleep(self._chance.choice((0.5, 5.0, 30.0)))
            setattr(gateway.sim.faults, name, False)

        return act

    async def _drop_response(self, gateway: Gateway) -> None:
        gateway.sim.faults.drop_response_bytes = self._chance.randint(0, 260)

    async def _reject(self, gateway: Gateway) -> None:
        gateway.sim.faults.reject_next = self._chance.choice(
            ("Order rejected by the exchange", "No trading permissions.", "Something else")
        )

    async def _cancel_by_broker(self, gateway: Gateway) -> None:
        gateway.sim.faults.cancel_next = "Order held too long"

    async def _questions(self, gateway: Gateway) -> None:
        gateway.sim.faults.question_rounds = self._chance.choice((1, 2, 4, 12))
        await asyncio.sleep(self._chance.choice((2.0, 20.0)))
        gateway.sim.faults.question_rounds = 0

    async def _latency(self, gateway: Gateway) -> None:
        gateway.sim.faults.extra_latency_ms = self._chance.choice((300, 4_000, 11_000, 14_000))
        await asyncio.sleep(self._chance.choice((5.0, 25.0)))
        gateway.sim.faults.extra_latency_ms = 0

    async def _order_list_lag(self, gateway: Gateway) -> None:
        gateway.sim.faults.order_list_lag_ms = self._chance.choice((2_000, 20_000, 120_000))
        await asyncio.sleep(self._chance.choice((5.0, 60.0)))
        gateway.sim.faults.order_list_lag_ms = 0

    async def _reset_brokerage(self, gateway: Gateway) -> None:
        gateway.sim.faults.reset_brokerage()

    async def _close_websockets(self, gateway: Gateway) -> None:
        gateway.sim.faults.close_websockets()

    async def _log_out(self, gateway: Gateway) -> None:
        gateway.sim.world.session.log_out()
        await asyncio.sleep(self._chance.uniform(1.0, 40.0))
        gateway.log_in()

    async def _restart_gateway(self, gateway: Gateway) -> None:
        if not gateway.restarting:
            seconds = self._chance.uniform(0.5, 30.0)
            await gateway.restart(seconds, keeps_login=self._chance.random() < 0.5)
            await asyncio.sleep(self._chance.uniform(0.0, 20.0))
            if gateway.sim.world.session.login is None:
                gateway.log_in()

    # --- on the line ------------------------------------------------------------------------

    async def _cut_lines(self, gateway: Gateway) -> None:
        gateway.line.reset_all()

    async def _silence_lines(self, gateway: Gateway) -> None:
        gateway.line.silence_all()
        await asyncio.sleep(self._chance.uniform(5.0, 90.0))
        gateway.line.reset_all(silent_only=True)

    # --- on the engine's own machine ----------------------------------------------------------

    async def _slow_disk(self, _gateway: Gateway) -> None:
        slow_ms = self._chance.choice((80.0, 800.0, 4_000.0, 12_000.0))
        self._host.disk.conditions.commit_ms = (slow_ms / 4, slow_ms)
        await asyncio.sleep(self._chance.uniform(2.0, 20.0))
        self._host.disk.conditions.commit_ms = DiskConditions().commit_ms

    async def _full_disk(self, _gateway: Gateway) -> None:
        self._host.disk.conditions.full = True
        await asyncio.sleep(self._chance.uniform(1.0, 15.0))
        await self._die("its disk was full")

    async def _kill_now(self, _gateway: Gateway) -> None:
        await self._die("at some moment")

    async def _kill_at_turn(self, _gateway: Gateway) -> None:
        self._host.kill_at_turn = self._chance.randint(1, 60)
        await asyncio.sleep(self._chance.uniform(1.0, 20.0))
        if not self._host.running:
            self._host.start()

    def _kill_after(self, what: str) -> Callable[[Gateway], Awaitable[None]]:
        async def act(_gateway: Gateway) -> None:
            self._host.kill_after = what
            await asyncio.sleep(self._chance.uniform(2.0, 20.0))
            if not self._host.running:
                self._host.start()

        return act

    async def _die(self, why: str) -> None:
        self._host.kill(why)
        await asyncio.sleep(self._chance.uniform(0.5, 25.0))
        self._host.disk.conditions.full = False
        self._host.start()

    def _fail(self, actor: type[Any]) -> Callable[[Gateway], Awaitable[None]]:
        """Let the next turn of some actor of this class raise."""

        async def fail(_gateway: Gateway) -> None:
            if actor in self._failing:
                return
            self._failing[actor] = None

            def failing(failed: Any, message: Any) -> Any:
                del actor._handle_receive
                self._failing.pop(actor, None)
                self.failures += 1
                text = f"as drawn, at {type(message).__name__} of {failed.name}"
                raise RuntimeError(text)

            actor._handle_receive = failing

        return fail

    def stop_failing(self) -> None:
        """Let no actor raise any more that was to."""
        for actor in self._failing:
            del actor._handle_receive
        self._failing.clear()

    async def _external_order(self, gateway: Gateway) -> None:
        """Somebody else trades in one of the accounts."""
        chance = self._chance
        ticket = {
            "account": chance.choice(sorted(gateway.venue.accounts)),
            "conid": EXTERNAL_CONID,
            "side": chance.choice(("BUY", "SELL")),
            "quantity": chance.randint(1, 30),
        }
        if chance.random() < 0.3:
            ticket |= {"orderType": "LMT", "price": chance.choice((10, 9_000))}
        act(gateway.sim, "external", ticket)

    async def _move_position(self, gateway: Gateway) -> None:
        """Change a holding without a trade, as a transfer does."""
        chance = self._chance
        account = chance.choice(sorted(gateway.venue.accounts))
        moved = {"account": account, "conid": EXTERNAL_CONID, "quantity": chance.choice((-7, 5))}
        act(gateway.sim, "move_position", moved)
        self._history.note("position moved", account)

    async def _pause(self, _gateway: Gateway) -> None:
        """Stand still, as a machine that is moved to another one does."""
        self._host.loop.pause(self._chance.choice((0.3, 2.5, 15.0, 70.0)))
