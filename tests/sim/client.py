"""A plain client of a simulated gateway, and a gateway fast enough for tests."""

import asyncio
import functools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, ParamSpec

import aiohttp

from engine.sim import SimConfig, SimGateway

API: Final = "/v1/api"
ACCOUNT: Final = "DU1111111"
AAPL: Final = 265598
FRAME_TIMEOUT_S: Final = 5.0
FIELDS: Final = ["31", "84", "85", "86", "87", "88", "7762"]
SUBSCRIBE_AAPL: Final = f"smd+{AAPL}+{json.dumps({'fields': FIELDS})}"

FAST: Final[dict[str, Any]] = {
    "established_delay_ms": 0,
    "quote_interval_ms": (5, 15),
    "smd_conflation_ms": 10,
    "fill_delay_ms": (2, 10),
    "cancel_delay_ms": 15,
    "commission_delay_ms": 5,
    "heartbeat_ms": 50,
    "enforce_pacing": False,
    "questions": {},
}

P = ParamSpec("P")


def asynchronous(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return run


async def until(reached: Callable[[], bool]) -> None:
    """Wait for what no event tells, at most `FRAME_TIMEOUT_S`."""
    async with asyncio.timeout(FRAME_TIMEOUT_S):
        while not reached():  # noqa: ASYNC110 - the state under test has no event to await
            await asyncio.sleep(0.001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: JSON is parsed, anything else stays text."""

    status: int
    body: Any
    location: str | None = None


class Socket:
    """A client's WebSocket; what was read stays in `seen`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seen: list[Any] = []

    async def send(self, text: str) -> None:
        await self.socket.send_str(text)

    async def next(self) -> Any:
        message = await self.socket.receive(timeout=FRAME_TIMEOUT_S)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        try:
            frame = json.loads(message.data)
        except ValueError:
            frame = message.data
        self.seen.append(frame)
        return frame

    async def last(self) -> aiohttp.WSMessage:
        """Read on until the gateway ends the socket, and return how it did."""
        async with asyncio.timeout(FRAME_TIMEOUT_S):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.BINARY:
                    return message

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        """Read up to the first frame that is wanted and return it."""
        async with asyncio.timeout(FRAME_TIMEOUT_S):
            while True:
                frame = await self.next()
                if wanted(frame):
                    return frame

    async def topic(self, topic: str) -> Any:
        return await self.until(
            lambda frame: isinstance(frame, dict) and frame.get("topic") == topic
        )

    async def opened(self) -> None:
        await self.until(lambda frame: isinstance(frame, dict) and "success" in frame)

    def rows(self, topic: str) -> list[dict[str, Any]]:
        """All rows of one topic seen so far, in order."""
        return [
            row
            for frame in self.seen
            if isinstance(frame, dict) and frame.get("topic") == topic
            for row in frame["args"]
        ]

    async def order_in_status(self, status: str) -> None:
        """Read until `sor` says that an order has this status."""
        await self.until(
            lambda frame: (
                isinstance(frame, dict)
                and frame.get("topic") == "sor"
                and any(row.get("status") == status for row in frame["args"])
            )
        )


class Client:
    """REST calls and sockets with a verified certificate."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        async with self.http.request(method, path, allow_redirects=False, **options) as response:
            text = await response.text()
            try:
                body = json.loads(text)
            except ValueError:
                body = text
            location = response.headers.get("Location")
            return Reply(status=response.status, body=body, location=location)

    async def get(self, path: str, **query: str) -> Reply:
        return await self.call("GET", API + path, params=query)

    async def post(self, path: str, body: Any = None) -> Reply:
        return await self.call("POST", API + path, json=body)

    async def delete(self, path: str) -> Reply:
        return await self.call("DELETE", API + path)

    async def open_session(self) -> None:
        """Open the brokerage session and prime it."""
        reply = await self.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
        assert reply.body["authenticated"] is True
        assert (await self.get("/iserver/accounts")).status == 200

    async def place(self, **changes: Any) -> Reply:
        """POST one order; a limit far below the market unless told otherwise."""
        ticket = {
            "acctId": ACCOUNT,
            "conid": AAPL,
            "orderType": "LMT",
            "price": 1.00,
            "side": "BUY",
            "quantity": 10,
            "tif": "DAY",
        }
        ticket = {name: value for name, value in (ticket | changes).items() if value is not None}
        account = ticket["acctId"]
        return await self.post(f"/iserver/account/{account}/orders", {"orders": [ticket]})

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Socket]:
        async with self.http.ws_connect(API + "/ws", autoping=False) as socket:
            yield Socket(socket)


@asynccontextmanager
async def gateway(**changes: Any) -> AsyncIterator[tuple[SimGateway, Client]]:
    """A running gateway and a client that trusts it."""
    async with SimGateway(SimConfig(**(FAST | changes))) as sim:
        trust = ssl.create_default_context(cafile=str(sim.ca_file))
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(base_url=sim.url, connector=connector) as http:
            yield sim, Client(http)


async def resting(sim: SimGateway, client: Client, **changes: Any) -> int:
    """Place an order and return its id once it works at the venue."""
    order_id = int((await client.place(**changes)).body[0]["order_id"])
    await until(lambda: sim.venue.orders[order_id].status.value == "Submitted")
    return order_id


async def change_to(client: Client, order_id: int, price: float) -> Reply:
    """Ask for another limit price of an order as `resting` places it."""
    ticket = {
        "conid": AAPL,
        "orderType": "LMT",
        "price": price,
        "side": "BUY",
        "quantity": 10,
        "tif": "DAY",
    }
    return await client.post(path_of(order_id), ticket)


def path_of(order_id: int) -> str:
    return f"/iserver/account/{ACCOUNT}/order/{order_id}"


def quotes(socket: Socket) -> list[dict[str, str]]:
    """All market data frames seen so far."""
    return [
        frame
        for frame in socket.seen
        if isinstance(frame, dict) and frame.get("topic") == f"smd+{AAPL}" and "conid" in frame
    ]


async def settled(socket: Socket) -> None:
    """Wait until the gateway has read everything that was sent."""
    await socket.send("tic")
    await socket.topic("tic")


async def subscribed(socket: Socket, *commands: str) -> None:
    await socket.opened()
    for command in commands:
        await socket.send(command)
    await settled(socket)


async def silent(socket: Socket, for_s: float) -> bool:
    """True when no frame comes for so long."""
    try:
        async with asyncio.timeout(for_s):
            await socket.next()
    except TimeoutError:
        return True
    return False
