"""REST: the lists of orders and trades, and the status of one order.

Rule 1: the first read of a session is empty with `snapshot: false`; so is
every read with `force=true`, which also clears the filters.

Rule 2: filters stick to the cached list and silence the same orders in `sor`.
"""

from typing import Any, Final

from engine.sim.answers import Answer, Call, error, unavailable, whole_number
from engine.sim.routes import GET, Route
from engine.sim.rows import FILTER_NAMES, status_row
from engine.sim.session import Brokerage, Tier
from engine.sim.world import World

ORDERS_MAX: Final = 1000
DAYS_MAX: Final = 7
_DAY_MS: Final = 24 * 3600 * 1000
_PACE_MS: Final = 5000


def orders(world: World, call: Call) -> Answer:
    """The orders of the day, the newest first."""
    brokerage = _brokerage(world)
    account = call.query.get("accountId")
    if account is not None and account not in world.venue.accounts:
        return error(f"Bad Request: accountId is not valid: {account}", 400)
    faults = world.faults
    world.sight.list_read(call.now_ms)
    if faults.takes("filters_poisoned"):
        brokerage.order_filters = frozenset({"Filled"})
    if call.flag("force"):
        brokerage.orders_warm = True
        brokerage.order_filters = frozenset()
        return Answer(body={"orders": [], "snapshot": False})
    names = [name for name in call.query.get("filters", "").split(",") if name]
    if any(name not in FILTER_NAMES and name != "sort_by_time" for name in names):
        return Answer(body={"error": f"filters is not valid: {','.join(names)}"}, status=500)
    statuses = frozenset(FILTER_NAMES[name] for name in names if name in FILTER_NAMES)
    if statuses:
        brokerage.order_filters = statuses
    if not brokerage.orders_warm or faults.takes("cold_orders_list"):
        brokerage.orders_warm = True
        return Answer(body={"orders": [], "snapshot": False})
    for name in ("empty_orders_list", "empty_unscoped_list"):
        if faults.holds(name) and (account is None or name == "empty_orders_list"):
            faults.struck[name] += 1
            return Answer(body={"orders": [], "snapshot": True})
    rows = _rows(world, brokerage, account, call.now_ms)
    return Answer(body={"orders": rows[:ORDERS_MAX], "snapshot": True})


def _rows(
    world: World, brokerage: Brokerage, account: str | None, now_ms: int
) -> list[dict[str, Any]]:
    """The rows of the list: the filters of the session and the account decide which."""
    since_ms = now_ms - _DAY_MS
    if world.faults.holds("reset_forgets_ended"):
        since_ms = max(since_ms, brokerage.established_at_ms)
    rows: list[dict[str, Any]] = []
    for order in world.sight.listed(now_ms):
        if order.updated_at_ms < since_ms and not order.working:
            continue
        if brokerage.order_filters and order.status.value not in brokerage.order_filters:
            continue
        if account in (None, order.ticket.account):
            rows.append(world.order_row(order))
    return world.sight.drifted(rows)


def order_status(world: World, call: Call) -> Answer:
    """One order; one of another account than the selected one is a 503."""
    order_id = whole_number(call.parts["order"])
    order = world.venue.orders.get(order_id) if order_id is not None else None
    if order is not None:
        order = world.sight.shown(order, call.now_ms)
    if order is None:
        return error(f"Bad Request: OrderID {call.parts['order']} doesn't exist", 400)
    if order.ticket.account != _brokerage(world).selected_account:
        return unavailable()
    row = status_row(
        order,
        world.venue.instrument(order.ticket.conid),
        request_id=next(world.request_ids),
    )
    return Answer(body=row)


def trades(world: World, call: Call) -> Answer:
    """Executions of up to seven days; the first read of a session is empty."""
    brokerage = _brokerage(world)
    written = call.query.get("days", "1")
    days = whole_number(written) or 0
    if not 1 <= days <= DAYS_MAX:
        return error(f"Bad Request: days is {written}, allowed are 1 to {DAYS_MAX}", 400)
    if not brokerage.trades_warm or world.faults.takes("cold_trades_list"):
        brokerage.trades_warm = True
        return Answer(body=[])
    account = call.query.get("accountId")
    rows = [
        world.known_execution_row(execution)
        for execution in reversed(world.sight.trades(call.now_ms))
        if call.now_ms - execution.at_ms <= days * _DAY_MS
        and account in (None, execution.ticket.account)
    ]
    return Answer(body=world.sight.drifted(rows))


def _brokerage(world: World) -> Brokerage:
    assert world.session.brokerage is not None, "the router checked the brokerage tier"
    return world.session.brokerage


ROUTES: Final = (
    Route(
        methods=GET,
        pattern="/iserver/account/orders",
        handler=orders,
        tier=Tier.PRIMED,
        per_ms=_PACE_MS,
    ),
    Route(
        methods=GET,
        pattern="/iserver/account/order/status/{order}",
        handler=order_status,
        tier=Tier.PRIMED,
    ),
    Route(
        methods=GET,
        pattern="/iserver/account/trades",
        handler=trades,
        tier=Tier.PRIMED,
        per_ms=_PACE_MS,
    ),
)
