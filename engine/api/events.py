"""The stream of events: every journal record, over a WebSocket or server-sent events.

Rule 1: no event is left out and none comes twice. `from_seq` is exclusive: a client
that comes back says the last `seq` it has.

Rule 2: a client costs a bounded amount of memory. The next event is fetched when the
last one is written; a client that does not read is let go, and nobody else notices.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Final, TypeAlias

from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from engine import log as engine_log
from engine.api.answers import EventBody, time_text
from engine.api.errors import ApiError, bad_field, detail, shown
from engine.api.route import AnyRoute, Call, Route
from engine.api.wire import EventsQuery, Nothing
from engine.domain.views import EventView

log = engine_log.get("api.events")

EventsCall: TypeAlias = Call[EventsQuery, Nothing]

_MESSAGE_BYTES_MAX: Final = 4096
_SEQUENCE_DIGITS_MAX: Final = 16


def event_text(event: EventView) -> str:
    """Return an event as JSON; its body goes in as the journal spells it."""
    head: dict[str, object] = {
        "seq": event.seq,
        "at": time_text(event.at_ns),
        "type": event.type,
        "account": event.account,
    }
    if event.order_id is not None:
        head["order_id"] = event.order_id
    text = json.dumps(head, separators=(",", ":"))
    return f'{text[:-1]},"body":{event.body.decode()}}}'


def sse_text(event: EventView) -> str:
    """Return an event as one server-sent event, whose id is the `seq`.

    Between JSON's tokens a line end is as good as a space, and inside strings there is none.
    """
    line = event_text(event).replace("\r", " ").replace("\n", " ")
    return f"id: {event.seq}\ndata: {line}\n\n"


async def _next(events: AsyncIterator[EventView]) -> EventView | None:
    """Return the next event, None after the last one."""
    async for event in events:
        return event
    return None


async def follow(
    events: AsyncIterator[EventView],
    *,
    ended: asyncio.Event,
    keep_alive_seconds: float,
    write: Callable[[EventView | None], Awaitable[None]],
) -> None:
    """Write every event, and None whenever there was none for `keep_alive_seconds`.

    Returns once `ended` is set or the events are over.
    """
    end = asyncio.create_task(ended.wait())
    coming = asyncio.create_task(_next(events))
    try:
        while not ended.is_set():
            await asyncio.wait(
                {coming, end}, timeout=keep_alive_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if end.done():
                return
            if not coming.done():
                await write(None)
                continue
            event = coming.result()
            if event is None:
                return
            await write(event)
            coming = asyncio.create_task(_next(events))
    finally:
        end.cancel()
        coming.cancel()
        await asyncio.gather(end, coming, return_exceptions=True)
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


async def _events(call: EventsCall) -> web.StreamResponse:
    """Answer with the kind of stream that the client asks for."""
    request = call.request
    if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
        return await _over_websocket(call)
    accepted = request.headers.get(hdrs.ACCEPT, "*/*")
    if any(kind in accepted for kind in ("text/event-stream", "text/*", "*/*")):
        return await _over_sse(call)
    raise ApiError(
        HTTPStatus.NOT_ACCEPTABLE,
        "NOT_ACCEPTABLE",
        f"Accept is {shown(accepted)}; allowed: text/event-stream, or an upgrade to a WebSocket",
        details={"field": "Accept", "value": detail(accepted), "allowed": "text/event-stream"},
    )


def _after_seq(call: EventsCall) -> int:
    """Return where to go on: `Last-Event-ID` is newer than the URL when a client comes back."""
    last = call.request.headers.get("Last-Event-ID")
    if not last:
        return call.query.from_seq
    if not (last.isascii() and last.isdigit() and len(last) <= _SEQUENCE_DIGITS_MAX):
        raise bad_field(
            field="Last-Event-ID", value=last, allowed="the seq of an event, a whole number"
        )
    return int(last)


async def _over_sse(call: EventsCall) -> web.StreamResponse:
    after_seq = _after_seq(call)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
    )
    await response.prepare(call.request)

    async def write(event: EventView | None) -> None:
        text = ": nothing new\n\n" if event is None else sse_text(event)
        await response.write(text.encode())

    ended = call.served.streams.open()
    try:
        await write(None)
        await _follow(call, after_seq, ended, write)
    finally:
        call.served.streams.close(ended)
    return response


async def _over_websocket(call: EventsCall) -> web.StreamResponse:
    after_seq = _after_seq(call)
    socket = web.WebSocketResponse(
        heartbeat=call.served.patience.keep_alive_seconds,
        max_msg_size=_MESSAGE_BYTES_MAX,
        compress=False,
    )
    if not socket.can_prepare(call.request):
        raise ApiError(
            HTTPStatus.BAD_REQUEST, "BAD_UPGRADE", "this is not a WebSocket handshake of RFC 6455"
        )
    await socket.prepare(call.request)

    async def write(event: EventView | None) -> None:
        if event is not None:
            await socket.send_str(event_text(event))

    ended = call.served.streams.open()
    listening = asyncio.create_task(_listen(socket, ended))
    try:
        await _follow(call, after_seq, ended, write)
    finally:
        call.served.streams.close(ended)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    await socket.close(code=WSCloseCode.GOING_AWAY)
    return socket


async def _listen(socket: web.WebSocketResponse, ended: asyncio.Event) -> None:
    """Answer pings and wait for the client's close; it has nothing else to say here."""
    try:
        message = await socket.receive()
        if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            await socket.close(
                code=WSCloseCode.UNSUPPORTED_DATA, message=b"this stream takes no messages"
            )
    finally:
        ended.set()


async def _follow(
    call: EventsCall,
    after_seq: int,
    ended: asyncio.Event,
    write: Callable[[EventView | None], Awaitable[None]],
) -> None:
    """Follow the journal until the client is gone or does not read what it gets."""
    patience = call.served.patience

    async def write_in_time(event: EventView | None) -> None:
        async with asyncio.timeout(patience.blocked_seconds):
            await write(event)

    try:
        await follow(
            call.engine.events(after_seq),
            ended=ended,
            keep_alive_seconds=patience.keep_alive_seconds,
            write=write_in_time,
        )
    except TimeoutError:
        log.warning("event_client_dropped", blocked_seconds=patience.blocked_seconds)
        _abort(call.request)
    except ConnectionError:
        log.debug("event_client_left")
    except Exception as error:
        # The answer has begun, so only the connection can say that it went wrong.
        log.error("event_stream_failed", exc_info=error)  # noqa: TRY400 - structlog takes the error as a value
        _abort(call.request)


def _abort(request: web.Request) -> None:
    transport = request.transport
    if transport is not None:
        transport.abort()


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/events",
        summary="Every event after from_seq and those to come, as server-sent events; "
        "an upgrade to a WebSocket gives one JSON text message an event",
        query=EventsQuery,
        body=Nothing,
        answers={200: "text/event-stream"},
        handler=_events,
        stream=True,
        errors=(406,),
    ),
)
EVENT_MODEL: Final = EventBody
"""What one event holds, for the OpenAPI document."""
