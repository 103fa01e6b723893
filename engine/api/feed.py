"""Contracts, subscriptions, quotes and bars."""

from http import HTTPStatus
from typing import Final

from aiohttp import web

from engine.api.answers import ReasonBody
from engine.api.errors import ApiError, from_reason
from engine.api.fields import INTERVALS_MS
from engine.api.market_answers import (
    BarBody,
    BarsAnswer,
    InstrumentBody,
    InstrumentsAnswer,
    MarketSource,
    QuoteBody,
    QuotesAnswer,
    SubscriptionAnswer,
    SubscriptionsAnswer,
)
from engine.api.route import AnyRoute, Call, Route, answer
from engine.api.wire import BarsQuery, InstrumentsQuery, Nothing, QuotesQuery
from engine.domain.ports import AgedInstrument, AmbiguousSymbol, HistoryQuery
from engine.domain.values import ConId, Reason


async def _instruments(call: Call[InstrumentsQuery, Nothing]) -> web.Response:
    query = call.query.contract_query()
    result: AgedInstrument | AmbiguousSymbol | Reason
    if query is None:
        assert call.query.conid is not None, "the query has checked that"
        result = await call.engine.contract(ConId(call.query.conid))
    else:
        result = await call.engine.instrument(query)
    match result:
        case Reason():
            raise from_reason(result)
        case AmbiguousSymbol(candidates=candidates, count=count):
            several = tuple(InstrumentBody.of(each) for each in candidates)
            return answer(InstrumentsAnswer(instruments=several, count=max(count, len(candidates))))
        case AgedInstrument(instrument=instrument, age_ms=age_ms):
            one = InstrumentBody.of(instrument, age_ms)
            return answer(InstrumentsAnswer(instruments=(one,), count=1))


async def _subscriptions(call: Call[Nothing, Nothing]) -> web.Response:
    return answer(SubscriptionsAnswer(subscriptions=call.engine.subscriptions()))


async def _subscription(call: Call[Nothing, Nothing]) -> web.Response:
    conid = call.conid()
    if conid not in call.engine.subscriptions():
        raise _not_subscribed(conid)
    return answer(SubscriptionAnswer(conid=conid, subscribed=True, instrument=None))


async def _subscribe(call: Call[Nothing, Nothing]) -> web.Response:
    conid = call.conid()
    result = await call.engine.subscribe(conid)
    if isinstance(result, Reason):
        raise from_reason(result)
    shown = InstrumentBody.of(result)
    return answer(SubscriptionAnswer(conid=conid, subscribed=True, instrument=shown))


async def _unsubscribe(call: Call[Nothing, Nothing]) -> web.Response:
    conid = call.conid()
    if not await call.engine.unsubscribe(conid):
        raise _not_subscribed(conid)
    return answer(SubscriptionAnswer(conid=conid, subscribed=False, instrument=None))


async def _quotes(call: Call[QuotesQuery, Nothing]) -> web.Response:
    wanted = tuple(ConId(conid) for conid in call.query.conids)
    bodies = {
        quote.conid: QuoteBody.of(quote, age_ms) for quote, age_ms in call.engine.quotes(wanted)
    }
    unknown = tuple(conid for conid in wanted if conid not in bodies)
    reason = None
    if unknown and call.query.snapshot:
        read = await call.engine.snapshot(unknown)
        if isinstance(read, Reason):
            reason = read
        else:
            bodies |= {
                quote.conid: QuoteBody.of(quote, age_ms, MarketSource.SNAPSHOT)
                for quote, age_ms in read
            }
    return answer(
        QuotesAnswer(
            quotes=tuple(bodies[conid] for conid in wanted if conid in bodies),
            missing=tuple(conid for conid in wanted if conid not in bodies),
            reason=ReasonBody.of(reason),
        )
    )


async def _bars(call: Call[BarsQuery, Nothing]) -> web.Response:
    query = call.query
    if query.period is not None and query.bar is not None:
        return await _history(call, query.period, query.bar)
    conid = call.conid()
    bars = call.engine.bars(conid, interval_ms=INTERVALS_MS[query.interval], limit=query.limit)
    if not bars and conid not in call.engine.subscriptions():
        raise _not_subscribed(conid)
    return answer(
        BarsAnswer(
            conid=conid,
            interval=query.interval,
            bars=tuple(map(BarBody.of, bars)),
            period=None,
            source=MarketSource.STREAM,
        )
    )


async def _history(call: Call[BarsQuery, Nothing], period: str, bar: str) -> web.Response:
    conid = call.conid()
    query = HistoryQuery(conid=conid, period=period, bar=bar, outside_rth=call.query.outside_rth)
    bars = await call.engine.history(query)
    if isinstance(bars, Reason):
        raise from_reason(bars)
    newest = bars if call.query.limit_given is None else bars[-call.query.limit_given :]
    return answer(
        BarsAnswer(
            conid=conid,
            interval=bar,
            bars=tuple(map(BarBody.of, newest)),
            period=period,
            source=MarketSource.HISTORY,
        )
    )


def _not_subscribed(conid: ConId) -> ApiError:
    return ApiError(
        HTTPStatus.NOT_FOUND,
        "NOT_SUBSCRIBED",
        f"conid is {conid}, which is not streamed; PUT /v1/subscriptions/{conid} streams it",
        details={"field": "conid", "value": conid},
    )


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/instruments",
        summary="The contract of a conid, or those that a symbol and its particulars can mean",
        query=InstrumentsQuery,
        body=Nothing,
        answers={200: InstrumentsAnswer},
        handler=_instruments,
        errors=(404, 503),
    ),
    Route(
        method="GET",
        path="/v1/subscriptions",
        summary="The contracts whose market is streamed",
        query=Nothing,
        body=Nothing,
        answers={200: SubscriptionsAnswer},
        handler=_subscriptions,
    ),
    Route(
        method="GET",
        path="/v1/subscriptions/{conid}",
        summary="Is this contract's market streamed?",
        query=Nothing,
        body=Nothing,
        answers={200: SubscriptionAnswer},
        handler=_subscription,
        errors=(404,),
    ),
    Route(
        method="PUT",
        path="/v1/subscriptions/{conid}",
        summary="Stream this contract's market from now on",
        query=Nothing,
        body=Nothing,
        answers={200: SubscriptionAnswer},
        handler=_subscribe,
        errors=(404, 503),
    ),
    Route(
        method="DELETE",
        path="/v1/subscriptions/{conid}",
        summary="Stop streaming this contract's market",
        query=Nothing,
        body=Nothing,
        answers={200: SubscriptionAnswer},
        handler=_unsubscribe,
        errors=(404,),
    ),
    Route(
        method="GET",
        path="/v1/quotes",
        summary="The last known quotes of some contracts, with their age; one that is not "
        "streamed is read from the broker",
        query=QuotesQuery,
        body=Nothing,
        answers={200: QuotesAnswer},
        handler=_quotes,
    ),
    Route(
        method="GET",
        path="/v1/bars/{conid}",
        summary="The newest closed bars of a contract, oldest first; with period and bar those "
        "of the broker's history",
        query=BarsQuery,
        body=Nothing,
        answers={200: BarsAnswer},
        handler=_bars,
        errors=(404, 503),
    ),
)
