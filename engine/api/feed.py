"""Contracts, subscriptions, quotes and bars."""

from http import HTTPStatus
from typing import Final

from aiohttp import web

from engine.api.errors import ApiError, from_reason
from engine.api.fields import INTERVALS_MS
from engine.api.market_answers import (
    BarBody,
    BarsAnswer,
    InstrumentBody,
    InstrumentsAnswer,
    QuoteBody,
    QuotesAnswer,
    SubscriptionAnswer,
    SubscriptionsAnswer,
)
from engine.api.route import AnyRoute, Call, Route, answer
from engine.api.wire import BarsQuery, InstrumentsQuery, Nothing, QuotesQuery
from engine.domain.ports import AmbiguousSymbol
from engine.domain.values import ConId, Reason


async def _instruments(call: Call[InstrumentsQuery, Nothing]) -> web.Response:
    result = await call.engine.instrument(call.query.symbol, exchange=call.query.exchange)
    if isinstance(result, Reason):
        raise from_reason(result)
    found = result.candidates if isinstance(result, AmbiguousSymbol) else (result,)
    return answer(InstrumentsAnswer(instruments=tuple(InstrumentBody.of(each) for each in found)))


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
    known = call.engine.quotes(wanted)
    seen = {quote.conid for quote, _ in known}
    return answer(
        QuotesAnswer(
            quotes=tuple(QuoteBody.of(quote, age_ms) for quote, age_ms in known),
            missing=tuple(conid for conid in wanted if conid not in seen),
        )
    )


async def _bars(call: Call[BarsQuery, Nothing]) -> web.Response:
    conid = call.conid()
    query = call.query
    bars = call.engine.bars(conid, interval_ms=INTERVALS_MS[query.interval], limit=query.limit)
    if not bars and conid not in call.engine.subscriptions():
        raise _not_subscribed(conid)
    shown = tuple(BarBody.of(bar) for bar in bars)
    return answer(BarsAnswer(conid=conid, interval=query.interval, bars=shown))


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
        summary="The contracts that a symbol can mean",
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
        summary="The last known quotes of some contracts, with their age",
        query=QuotesQuery,
        body=Nothing,
        answers={200: QuotesAnswer},
        handler=_quotes,
    ),
    Route(
        method="GET",
        path="/v1/bars/{conid}",
        summary="The newest closed bars of a contract, oldest first",
        query=BarsQuery,
        body=Nothing,
        answers={200: BarsAnswer},
        handler=_bars,
        errors=(404,),
    ),
)
