"""REST: snapshots, history and the market data lines behind them.

Rule: the first snapshot of a conid only opens its line; data comes with later
ones. REST and WebSocket share one line and one field set per conid.
"""

from typing import Any, Final

from engine.sim.answers import Answer, Call, error, unavailable, whole_number
from engine.sim.history import history_body
from engine.sim.quote_fields import SERVER_ID, field_texts
from engine.sim.routes import GET, POST, Route
from engine.sim.session import SLOW_FIELDS, Brokerage, MarketDataLine, Tier
from engine.sim.world import World

_CONIDS_MAX: Final = 100
_FIELDS_MAX: Final = 50
_SLOW_READS: Final = 2
_HISTORIES_MAX: Final = 5


def snapshot(world: World, call: Call) -> Answer:
    """The latest values of the wanted fields."""
    conids = [part for part in call.query.get("conids", "").split(",") if part]
    fields = [part for part in call.query.get("fields", "").split(",") if part]
    numbers = [whole_number(conid) for conid in conids]
    known = [conid for conid in numbers if conid is not None]
    if not conids or len(known) < len(conids):
        return error(f"Bad Request: conids is not valid: {call.query.get('conids')}", 400)
    if len(conids) > _CONIDS_MAX or len(fields) > _FIELDS_MAX:
        text = (
            f"Bad Request: {len(conids)} conids and {len(fields)} fields, "
            f"at most {_CONIDS_MAX} and {_FIELDS_MAX}"
        )
        return error(text, 400)
    return Answer(body=[_snapshot_row(world, conid, fields) for conid in known])


def unsubscribe(world: World, call: Call) -> Answer:
    """Close one line; one that is not open is an error 500."""
    conid = call.body.get("conid") if isinstance(call.body, dict) else None
    line = _brokerage(world).lines.pop(conid, None) if isinstance(conid, int) else None
    if line is None:
        return Answer(body={"error": "unknown"}, status=500)
    return Answer(body={"success": True})


def unsubscribe_all(world: World, _: Call) -> Answer:
    """Close every line, also those behind the socket's subscriptions."""
    _brokerage(world).lines.clear()
    return Answer(body={"unsubscribed": True})


def history(world: World, call: Call) -> Answer:
    """Bars of the past."""
    if world.faults.takes("history_503"):
        return unavailable()
    text = call.query.get("conid", "")
    conid = whole_number(text)
    instrument = world.market.instruments.get(conid) if conid is not None else None
    if instrument is None:
        return error(f"Bad Request: conid is not valid: {text}", 400)
    body = history_body(
        instrument,
        seed=world.config.seed,
        now_ms=call.now_ms,
        period=call.query.get("period", "1d"),
        bar=call.query.get("bar", "5min"),
        outside_rth=call.flag("outsideRth"),
        start_time=call.query.get("startTime"),
        forward=call.query.get("direction") == "1",
    )
    return Answer(body=body)


def _brokerage(world: World) -> Brokerage:
    assert world.session.brokerage is not None, "the router checked the brokerage tier"
    return world.session.brokerage


def _snapshot_row(world: World, conid: int, fields: list[str]) -> dict[str, Any]:
    bare: dict[str, Any] = {"conid": conid, "conidEx": str(conid)}
    instrument = world.market.instruments.get(conid)
    if instrument is None:
        return bare
    lines, now_ms = _brokerage(world).lines, world.clock_ms()
    if not world.session.has_market_data(conid, now_ms):
        lines[conid] = MarketDataLine()
    line = lines[conid]
    line.until_ms = max(line.until_ms, now_ms + world.config.snapshot_refresh_ms)
    known = [name for name in fields if name in line.fields]
    if len(known) < len(fields):
        line.fields.update(fields)
        line.reads = 0
    line.reads += 1
    ready = [name for name in known if name not in SLOW_FIELDS or line.reads > _SLOW_READS]
    if not ready:
        return bare
    quote = world.market.quote(conid)
    return {
        **field_texts(ready, instrument, quote),
        "6119": SERVER_ID,
        "6509": "RpB",
        "_updated": quote.updated_at_ms,
        **bare,
        "server_id": SERVER_ID,
    }


ROUTES: Final = (
    Route(methods=GET, pattern="/iserver/marketdata/snapshot", handler=snapshot, tier=Tier.PRIMED),
    Route(
        methods=POST,
        pattern="/iserver/marketdata/unsubscribe",
        handler=unsubscribe,
        tier=Tier.PRIMED,
    ),
    Route(
        methods=GET,
        pattern="/iserver/marketdata/unsubscribeall",
        handler=unsubscribe_all,
        tier=Tier.PRIMED,
    ),
    Route(
        methods=GET,
        pattern="/iserver/marketdata/history",
        handler=history,
        tier=Tier.BROKERAGE,
        concurrent_max=_HISTORIES_MAX,
    ),
)
