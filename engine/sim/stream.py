"""One client's WebSocket.

Rule 1: everything to the client is a binary frame with JSON in it, except the
legacy `ech+hb`, which is answered in plain text (binary too).

Rule 2: the upgrade is answered before the broker is connected; what a client
sends until `system.success` is dropped without a word.

Rule 3: market data carries what changed only, at most once per conflation
interval, and ends without a word when it is not renewed.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from engine.sim.account_topics import ledger_rows, summary_rows
from engine.sim.answers import encode, whole_number
from engine.sim.history import history_body
from engine.sim.market import Quote
from engine.sim.quote_fields import SERVER_ID, field_texts
from engine.sim.rest_portfolio import profit_and_loss_rows
from engine.sim.rows import FILTER_NAMES
from engine.sim.session import Brokerage, MarketDataLine
from engine.sim.topics import Command, parse_command, texts
from engine.sim.world import SERVER_INFO, OrderNews, World

FRAME_BYTES_MAX: Final = 65_536
BACKLOG_MAX: Final = 10_000
REPLAY_ROWS_MAX: Final = 40
_OPEN_DELAY_MS: Final = (10, 50)
_PROFIT_MS: Final = 1000
_HELD_MS: Final = 500
_SUMMARY_MS: Final = 10_000
_DAY_MS: Final = 24 * 3600 * 1000
_BULLETIN: Final[Mapping[str, Any]] = {
    "id": 1_789_618_148,
    "exchanges": None,
    "message": "[BBSMSG Bulletin]\nThis gateway is simulated. No order leaves this machine.",
}
_GARBAGE: Final = b"\xff\xfe{not JSON"
_PAUSE_POLL_S: Final = 0.05
_BROKERAGE_TOPICS: Final = frozenset({"smd", "smh", "sor", "str"})


@dataclass(slots=True, kw_only=True)
class _QuoteStream:
    fields: dict[str, None]
    until_ms: int
    next_ms: int = 0
    told: dict[str, str] = field(default_factory=dict)
    quote: Quote | None = None


@dataclass(slots=True, kw_only=True)
class _AccountStream:
    keys: tuple[str, ...]
    next_ms: int = 0


class ClientSocket:
    """The gateway's end of one socket."""

    def __init__(self, world: World, socket: web.WebSocketResponse) -> None:
        now_ms = world.clock_ms()
        self._world = world
        self._socket = socket
        self._frames: deque[bytes | None] = deque()
        self._wake = asyncio.Event()
        self._broker_at_ms = now_ms + world.rng.randint(*_OPEN_DELAY_MS)
        self._heartbeat_at_ms = now_ms + world.config.heartbeat_ms
        self._open = False
        self._closing = False
        self._asked_for_session = False
        self._brokerage: Brokerage | None = None
        self._quotes: dict[int, _QuoteStream] = {}
        self._order_filters: frozenset[str] | None = None
        self._held: dict[str, tuple[list[dict[str, Any]], int]] = {}
        self._trades = False
        self._profit_at_ms: int | None = None
        self._summaries: dict[str, _AccountStream] = {}
        self._ledgers: dict[str, _AccountStream] = {}
        self.dropped_frames = 0

    async def run(self) -> None:
        """Serve the socket until either side closes it."""
        self._world.subscribers.append(self)
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                await self._receive(message)
        finally:
            self._world.subscribers.remove(self)
            self.close()
            await writer

    # Called by the world.

    def advance(self, now_ms: int) -> None:
        """Send what is due by the clock."""
        if self._world.is_silent:
            return
        for topic, (_, until_ms) in tuple(self._held.items()):
            if now_ms >= until_ms:
                self._send_held(topic)
        if not self._open:
            self._try_to_open(now_ms)
            return
        if now_ms >= self._heartbeat_at_ms:
            self._heartbeat_at_ms = now_ms + self._world.config.heartbeat_ms
            self._send({"topic": "system", "hb": now_ms})
        self._send_quotes(now_ms)
        if self._profit_at_ms is not None and now_ms >= self._profit_at_ms:
            self._profit_at_ms = now_ms + _PROFIT_MS
            self._send({"topic": "spl", "args": profit_and_loss_rows(self._world)})
        self._send_accounts(now_ms)

    def orders_changed(self, rows: list[OrderNews]) -> None:
        """Rows of `sor`, unless a filter silences them."""
        faults, brokerage = self._world.faults, self._world.session.brokerage
        if self._order_filters is None or brokerage is None:
            return
        kept = [
            news.row
            for news in rows
            if all(
                not statuses or news.status in statuses
                for statuses in (self._order_filters, brokerage.order_filters)
            )
        ]
        if not kept:
            return
        if faults.holds("mute_sor"):
            faults.struck["mute_sor"] += 1
            return
        self._tell("sor", kept)

    def traded(self, rows: list[dict[str, Any]]) -> None:
        """Rows of `str`."""
        if self._trades:
            self._tell("str", rows)

    def _tell(self, topic: str, rows: list[dict[str, Any]]) -> None:
        """Send rows of `sor` or `str`, unless a fault loses them, holds them or doubles them."""
        faults = self._world.faults
        if faults.takes(f"lose_{topic}"):
            return
        if topic not in self._held and faults.takes(f"reorder_{topic}"):
            self._held[topic] = (rows, self._world.clock_ms() + _HELD_MS)
            return
        self._send({"topic": topic, "args": rows})
        if faults.shows(f"duplicate_{topic}"):
            self._send({"topic": topic, "args": rows})
        self._send_held(topic)

    def _send_held(self, topic: str) -> None:
        """Send the frame that another one was let past, if it is still wanted."""
        held = self._held.pop(topic, None)
        wanted = self._order_filters is not None if topic == "sor" else self._trades
        if held is not None and wanted:
            self._send({"topic": topic, "args": held[0]})

    def bulletin(self, rows: list[dict[str, Any]]) -> None:
        """Rows of `blt`, which nobody subscribes to."""
        if self._open:
            self._send({"topic": "blt", "args": rows})

    def notified(self, rows: list[dict[str, Any]]) -> None:
        """Rows of `ntf`: texts about orders, which nobody subscribes to."""
        if self._open and self._authenticated():
            self._send({"topic": "ntf", "args": rows})

    def session_changed(self) -> None:
        """Tell the login state; what needs the brokerage session dies with it."""
        world = self._world
        status = world.auth_status(world.clock_ms())
        if world.session.brokerage is not self._brokerage:
            self._brokerage = world.session.brokerage
            self._quotes.clear()
            self._order_filters = None
            self._trades = False
        if self._open:
            # The broker splits this news over frames; a client must merge them.
            self._send({"topic": "sts", "args": {"authenticated": self._authenticated()}})
            self._send({"topic": "sts", "args": {"competing": status["competing"]}})
            if self._authenticated():
                self._send({"topic": "act", "args": world.accounts_body()})

    def close(self) -> None:
        """Close with code 1000 and no reason, after what is still to be sent."""
        self._closing = True
        self._frames.append(None)
        self._wake.set()

    # The way out.

    def _send(self, body: Mapping[str, Any]) -> None:
        self._send_bytes(encode(body))

    def _send_bytes(self, payload: bytes) -> None:
        faults = self._world.faults
        if self._world.is_silent:
            return
        if faults.holds("silent_websocket"):
            faults.struck["silent_websocket"] += 1
            return
        if faults.takes("garbage_frame"):
            self._frames.append(_GARBAGE)
        too_long = len(payload) > FRAME_BYTES_MAX or faults.takes("oversized_frame")
        if too_long or faults.takes("socket_closes") or len(self._frames) >= BACKLOG_MAX:
            # The gateway gives up on such a connection rather than on the frame.
            self.close()
            return
        if len(payload) > 1 and faults.shows("split_frames"):
            middle = len(payload) // 2
            self._frames.extend((payload[:middle], payload[middle:]))
        else:
            self._frames.append(payload)
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                while self._world.is_paused and not self._closing:  # noqa: ASYNC110 - only time ends it
                    await asyncio.sleep(_PAUSE_POLL_S)
                payload = self._frames.popleft()
                if payload is None or self._socket.closed:
                    await self._socket.close(code=WSCloseCode.OK)
                    return
                try:
                    await self._socket.send_bytes(payload)
                except ConnectionError:
                    return

    # Opening and commands.

    def _authenticated(self) -> bool:
        return self._world.session.established(self._world.clock_ms())

    def _try_to_open(self, now_ms: int) -> None:
        world = self._world
        if now_ms < self._broker_at_ms:
            return
        if world.session.login is None or world.faults.holds("unauthorized"):
            if not self._asked_for_session:
                self._asked_for_session = True
                self._send({"message": "waiting for session"})
            return
        self._open = True
        user = world.config.username
        self._send({"topic": "system", "success": user, "isFT": False, "isPaper": world.is_paper})
        status = {
            "authenticated": self._authenticated(),
            "competing": world.is_competing,
            "message": "",
            "fail": "",
            **SERVER_INFO,
            "username": user,
        }
        self._send({"topic": "sts", "args": status})
        if self._authenticated():
            self._send({"topic": "act", "args": world.accounts_body()})
        self._send({"topic": "blt", "args": [_BULLETIN]})

    async def _receive(self, message: WSMessage) -> None:
        match message.type:
            case WSMsgType.PING:
                # The gateway answers itself: a pong says nothing about the broker.
                await self._socket.pong(message.data)
            case WSMsgType.PONG:
                # The gateway forwards a client's pong to the broker as if it were text.
                self._command(message.data.decode(errors="replace") or "null")
            case WSMsgType.TEXT:
                self._command(message.data)
            case WSMsgType.BINARY:
                self._command(message.data.decode(errors="replace"))
            case _:
                # Close and error frames end the loop in `run`.
                return

    def _command(self, text: str) -> None:
        if not self._open or self._world.is_silent:
            self.dropped_frames += 1
            return
        if text == "tic":
            login = self._world.session.login
            self._send(
                {
                    "topic": "tic",
                    "alive": True,
                    "id": login.session_id if login else "",
                    "lastAccessed": self._world.clock_ms(),
                }
            )
        elif text == "ech+hb":
            self._send_bytes(b"ech+hb")
        else:
            self._dispatch(text, parse_command(text))

    def _dispatch(self, text: str, command: Command | None) -> None:
        handlers = {
            "smd": self._subscribe_quotes,
            "umd": self._unsubscribe_quotes,
            "smh": self._history,
            "umh": self._end_history,
            "sor": self._subscribe_orders,
            "uor": self._unsubscribe_orders,
            "str": self._subscribe_trades,
            "utr": self._unsubscribe_trades,
            "spl": self._subscribe_profit,
            "upl": self._unsubscribe_profit,
            "ssd": self._subscribe_summary,
            "usd": self._unsubscribe_summary,
            "sld": self._subscribe_ledger,
            "uld": self._unsubscribe_ledger,
        }
        if command is None or command.topic not in handlers:
            self._error("error", f"Topic unknown '{text[:3]}'", 500)
        elif command.topic in _BROKERAGE_TOPICS and not self._authenticated():
            self._error(command.topic, "Bad Request: no bridge", 400)
        else:
            self._brokerage = self._world.session.brokerage
            handlers[command.topic](command)

    def _error(self, topic: str, text: str, code: int) -> None:
        self._send({"error": text, "code": code, "topic": topic})

    # Market data.

    def _subscribe_quotes(self, command: Command) -> None:
        world, brokerage = self._world, self._world.session.brokerage
        conid = whole_number(command.target.partition("@")[0])
        if brokerage is None or not brokerage.primed:
            self._error("smd", "No accounts", 500)
            return
        if conid is None or conid not in world.market.instruments:
            self._error(f"smd+{command.target}", "Invalid conid", 400)
            return
        fields = dict.fromkeys(texts(command.arguments.get("fields")))
        until_ms = world.clock_ms() + int(world.config.smd_expiry_s * 1000)
        line = brokerage.lines.setdefault(conid, MarketDataLine())
        line.fields.update(fields)
        line.until_ms = max(line.until_ms, until_ms)
        stream = self._quotes.get(conid)
        if stream is None:
            self._quotes[conid] = _QuoteStream(fields=fields, until_ms=until_ms)
            return
        stream.fields.update(fields)
        stream.until_ms = until_ms
        stream.quote = None
        stream.told.clear()
        # The broker sends such empty frames now and then; clients must ignore them.
        self._send({"topic": f"smd+{conid}"})

    def _unsubscribe_quotes(self, command: Command) -> None:
        conid = whole_number(command.target.partition("@")[0])
        brokerage = self._world.session.brokerage
        if conid in self._quotes and brokerage is not None:
            del self._quotes[conid]
            brokerage.lines.pop(conid, None)

    def _send_quotes(self, now_ms: int) -> None:
        brokerage, market = self._world.session.brokerage, self._world.market
        for conid, stream in tuple(self._quotes.items()):
            over = now_ms >= stream.until_ms or brokerage is None or conid not in brokerage.lines
            if over:
                del self._quotes[conid]
                continue
            quote = market.quote(conid)
            if now_ms < stream.next_ms or quote is stream.quote:
                continue
            values = field_texts(stream.fields, market.instruments[conid], quote)
            if not stream.told:
                values.setdefault("6509", "RpB")
            changed = {key: text for key, text in values.items() if stream.told.get(key) != text}
            stream.quote = quote
            if changed and self._world.faults.takes("market_data_stops"):
                del self._quotes[conid]
            elif changed:
                stream.told |= changed
                stream.next_ms = now_ms + self._world.config.smd_conflation_ms
                self._send(
                    {
                        "server_id": SERVER_ID,
                        "conidEx": str(conid),
                        "conid": conid,
                        "_updated": quote.updated_at_ms,
                        "6119": SERVER_ID,
                        **changed,
                        "topic": f"smd+{conid}",
                    }
                )

    def _history(self, command: Command) -> None:
        conid = whole_number(command.target)
        instrument = self._world.market.instruments.get(conid) if conid is not None else None
        if instrument is None:
            self._error(f"smh+{command.target}", "Invalid conid", 400)
            return
        body = history_body(
            instrument,
            seed=self._world.config.seed,
            now_ms=self._world.clock_ms(),
            period=str(command.arguments.get("period", "1d")),
            bar=str(command.arguments.get("bar", "5min")),
        )
        self._send({**body, "topic": f"smh+{command.target}"})

    def _end_history(self, command: Command) -> None:
        self._send({"message": f"Unsubscribed {command.target}"})

    # Orders, trades, money.

    def _subscribe_orders(self, command: Command) -> None:
        """Only what happens from now on is sent; nothing is replayed."""
        names = texts(command.arguments.get("filters"))
        statuses = (FILTER_NAMES.get(name.lower(), name) for name in names)
        self._order_filters = frozenset(statuses)

    def _unsubscribe_orders(self, _: Command) -> None:
        self._order_filters = None

    def _subscribe_trades(self, command: Command) -> None:
        self._trades = True
        if command.arguments.get("realtimeUpdatesOnly") is True:
            return
        days = command.arguments.get("days", 1)
        since_ms = self._world.clock_ms() - (days if isinstance(days, int) else 1) * _DAY_MS
        rows = [
            self._world.known_execution_row(execution)
            for execution in self._world.sight.trades(self._world.clock_ms())
            if execution.at_ms >= since_ms
        ]
        rows = self._world.sight.drifted(rows)
        # One frame of them all could pass the size at which the gateway gives up.
        for start in range(0, len(rows), REPLAY_ROWS_MAX):
            self._send({"topic": "str", "args": rows[start : start + REPLAY_ROWS_MAX]})

    def _unsubscribe_trades(self, _: Command) -> None:
        self._trades = False

    def _subscribe_profit(self, _: Command) -> None:
        self._profit_at_ms = 0

    def _unsubscribe_profit(self, _: Command) -> None:
        self._profit_at_ms = None

    def _subscribe_summary(self, command: Command) -> None:
        if command.target in self._world.venue.accounts:
            keys = texts(command.arguments.get("keys"))
            self._summaries[command.target] = _AccountStream(keys=keys)
        else:
            self._error(f"ssd+{command.target}", "Invalid account", 400)

    def _unsubscribe_summary(self, command: Command) -> None:
        self._summaries.pop(command.target, None)
        self._send({"result": "unsubscribed from summary"})

    def _subscribe_ledger(self, command: Command) -> None:
        if command.target in self._world.venue.accounts:
            keys = texts(command.arguments.get("keys"))
            self._ledgers[command.target] = _AccountStream(keys=keys)
        else:
            self._error(f"sld+{command.target}", "Invalid account", 400)

    def _unsubscribe_ledger(self, command: Command) -> None:
        self._ledgers.pop(command.target, None)
        self._send({"result": "unsubscribed from ledger"})

    def _send_accounts(self, now_ms: int) -> None:
        for account, stream in self._summaries.items():
            if now_ms >= stream.next_ms:
                stream.next_ms = now_ms + _SUMMARY_MS
                rows = summary_rows(self._world, account, stream.keys, now_ms // 1000)
                self._send({"result": rows, "topic": f"ssd+{account}"})
        for account, stream in self._ledgers.items():
            if now_ms >= stream.next_ms:
                stream.next_ms = now_ms + _SUMMARY_MS
                rows = ledger_rows(self._world, account, stream.keys, now_ms // 1000)
                self._send({"result": rows, "topic": f"sld+{account}"})
