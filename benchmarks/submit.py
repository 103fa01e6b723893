"""An order from its ticket to the broker's acknowledgement, ours beside others that do less.

All contenders send the same kind of order over TLS to a simulated gateway, one of them at a
time. Each has a process of its own, and so has its gateway, all of which are alike: at a common
one, every engine would hear of every order, and be busy with it while another one is measured.
Between two orders there is a pause that is not measured, in which the order is cancelled.

Ours has acknowledged an order when the acknowledgement is durable and everybody may read it.
A second engine has its journal in memory, where an fsync costs nothing: what it takes longer
than a bare POST is what the engine adds, fsync aside. Where there is no memory file system,
it is left out.

The first byte is seen by a relay between the engine and the gateway, which passes bytes on
without a look into them. An order's request is known by its length.
"""

import asyncio
import json
import multiprocessing
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

import aiohttp

from benchmarks.contest import Clock, Contender, Contest, Lap
from benchmarks.gateway import ACCOUNT
from benchmarks.relay import Relay
from engine import log
from engine.app import App
from engine.config.engine import load_engine_config
from engine.domain.ports import SubmitRequest
from engine.domain.values import (
    LIVE,
    AccountId,
    ClientOrderId,
    ConId,
    OrderState,
    OrderType,
    Side,
    Ticket,
    TimeInForce,
)

ORDERS: Final = 30
"""So many orders in a lap; what counts is the median of their times."""

CONID: Final = 265598
PRICE: Final = "226.00"
PAUSE_S: Final = 0.06
_START_S: Final = 60.0
_ACK_MS: Final = 10_000

_RISK: Final = """\
version: 1
approved_by: []
units: {notional_ccy: USD}
defaults:
  price: {max_age_ms: 60_000}
  order:
    max_qty: {STK: 1000}
    max_notional: {abs: 5_000_000}
    market: {max_spread_bps: 500}
  position: {max_qty: 500_000, max_notional: {abs: 200_000_000}}
  working: {max_total: 100, max_per_conid_side: 15}
  instruments: {allow_sec_types: [STK]}
  broker_messages: {o10151: accept, o163: accept, o354: accept, default: decline}
"""

Place: TypeAlias = Callable[[int], Coroutine[Any, Any, None]]
"""Sends an order with this number and returns once the broker has acknowledged it."""

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a private folder is made in it

Desk: TypeAlias = tuple[Place, Callable[[], Awaitable[None]]]
"""How an order is placed, and how the last one is taken away again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A simulated gateway; all of them are alike."""

    url: str
    ca_file: str
    pin_sha256: str
    account: str = ""

    @property
    def api(self) -> str:
        """Where its API begins."""
        return f"{self.url}/v1/api"


async def _our_desk(gateway: Gateway, folder: Path, stack: AsyncExitStack) -> Desk:
    """Our engine in this process: risk, journal with fsync, order machine."""
    app = App(load_engine_config(_config(gateway, folder), {}), {})
    await app.start()
    stack.push_async_callback(app.stop)
    bridge = app.bridge
    await _until(lambda: bridge.health().ready)
    placed: list[Any] = []

    async def place(number: int) -> None:
        ticket = Ticket(
            account=AccountId(gateway.account),
            client_order_id=ClientOrderId(f"{os.getpid()}-{number}"),
            conid=ConId(CONID),
            symbol="",
            side=Side.BUY,
            type=OrderType.LMT,
            quantity=Decimal(1),
            limit_price=Decimal(PRICE),
            tif=TimeInForce.DAY,
        )
        request = SubmitRequest(ticket=ticket, query=None, request_sha256=f"{number:064d}")
        submitted: Any = await bridge.submit(request)
        order = await bridge.wait(submitted.order.order_id, terminal=False, timeout_ms=_ACK_MS)
        assert order.state in LIVE | {OrderState.FILLED}, order
        placed[:] = [order.order_id]

    async def take_away() -> None:
        await bridge.cancel(placed[0], by="benchmark")
        await bridge.wait(placed[0], terminal=True, timeout_ms=_ACK_MS)

    return place, take_away


async def _api_desk(gateway: Gateway, folder: Path, stack: AsyncExitStack) -> Desk:
    """Our engine in a process of its own, over its HTTP API."""
    config, token = _config(gateway, folder), secrets.token_hex(32)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine", "run", "--config", str(config)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ENGINE_TOKEN": token},
    )
    stack.push_async_callback(process.wait)
    stack.callback(process.terminate)
    url = await _api_of(process)
    client = await stack.enter_async_context(
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
    )
    for _ in range(int(_START_S * 20)):
        async with client.get(f"{url}/readyz") as answer:
            if answer.ok:
                break
        await asyncio.sleep(0.05)
    placed: list[str] = []

    async def place(number: int) -> None:
        body = {"client_order_id": f"{os.getpid()}-{number}", "conid": CONID, "side": "BUY",
                "type": "LMT", "quantity": "1", "limit_price": PRICE}  # fmt: skip
        path = f"{url}/v1/accounts/{gateway.account}/orders?wait=ack&timeout=10"
        async with client.post(path, json=body) as answer:
            order = await answer.json()
            assert order.get("state") in {*LIVE, "FILLED"}, order
        placed[:] = [order["order_id"]]

    async def take_away() -> None:
        async with client.delete(f"{url}/v1/orders/{placed[0]}") as answer:
            await answer.read()

    return place, take_away


async def _bare_desk(gateway: Gateway, _folder: Path, stack: AsyncExitStack) -> Desk:
    """One POST with aiohttp over a connection that is kept: no risk, no journal, no proof."""
    import ssl  # noqa: PLC0415 - one contender's own

    context = ssl.create_default_context(cafile=gateway.ca_file)
    client = await stack.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))
    )
    await _log_in(client, gateway)
    placed: list[str] = []

    async def place(number: int) -> None:
        order = {"acctId": gateway.account, "conid": CONID, "cOID": f"{os.getpid()}-{number}",
                 "orderType": "LMT", "side": "BUY", "quantity": 1, "price": float(PRICE),
                 "tif": "DAY"}  # fmt: skip
        path = f"{gateway.api}/iserver/account/{gateway.account}/orders"
        async with client.post(path, json={"orders": [order]}) as answer:
            (row,) = await answer.json(content_type=None)
        while "order_id" not in row:
            reply = f"{gateway.api}/iserver/reply/{row['id']}"
            async with client.post(reply, json={"confirmed": True}) as answer:
                (row,) = await answer.json(content_type=None)
        placed[:] = [row["order_id"]]

    async def take_away() -> None:
        path = f"{gateway.api}/iserver/account/{gateway.account}/order/{placed[0]}"
        async with client.delete(path) as answer:
            await answer.read()

    return place, take_away


async def _ibind_desk(gateway: Gateway, _folder: Path, _stack: AsyncExitStack) -> Desk:
    """Place with ibind's `place_order`, over a connection that is kept."""
    os.environ["IBIND_LOG_TO_FILE"] = "false"
    import ibind  # noqa: PLC0415 - reads its environment once, at import

    client = ibind.IbkrClient(
        account_id=gateway.account,
        url=f"{gateway.api}/",
        cacert=gateway.ca_file,
        max_retries=0,
        auto_register_shutdown=False,
    )
    client.initialize_brokerage_session()
    await _until(lambda: client.authentication_status().data["established"])
    client.receive_brokerage_accounts()
    answers = dict.fromkeys(ibind.QuestionType, True)
    placed: list[str] = []

    async def place(number: int) -> None:
        order = ibind.OrderRequest(
            conid=CONID,
            side="BUY",
            quantity=1,
            order_type="LMT",
            acct_id=gateway.account,
            price=float(PRICE),
            tif="DAY",
            coid=f"{os.getpid()}-{number}",
        )
        answer = client.place_order(order, answers, gateway.account).data
        row = answer[0] if isinstance(answer, list) else answer
        placed[:] = [row["order_id"]]

    async def take_away() -> None:
        client.cancel_order(placed[0], gateway.account)

    return place, take_away


async def _memory_desk(gateway: Gateway, _folder: Path, stack: AsyncExitStack) -> Desk:
    """Our engine in this process, with a journal that no disk has to take."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(dir=_MEMORY))
    return await _our_desk(gateway, Path(folder), stack)


async def _api_first_byte(gateway: Gateway, folder: Path, stack: AsyncExitStack) -> Desk:
    return await _first_byte_of(_api_desk, gateway, folder, stack)


async def _bare_first_byte(gateway: Gateway, folder: Path, stack: AsyncExitStack) -> Desk:
    return await _first_byte_of(_bare_desk, gateway, folder, stack)


async def _first_byte_of(
    desk: "_MakeDesk", gateway: Gateway, folder: Path, stack: AsyncExitStack
) -> Desk:
    """Let an order count as placed once its request comes out; its answer is not measured."""
    relay = Relay(gateway.url)
    url = await relay.start()
    stack.push_async_callback(relay.stop)
    place_wholly, take_away_placed = await desk(replace(gateway, url=url), folder, stack)
    placing: list[asyncio.Task[None]] = []

    async def place(number: int) -> None:
        relay.seen.clear()
        placing[:] = [asyncio.create_task(place_wholly(number))]
        await relay.seen.wait()

    async def take_away() -> None:
        await placing[0]
        await take_away_placed()

    return place, take_away


_MakeDesk: TypeAlias = Callable[[Gateway, Path, AsyncExitStack], Awaitable[Desk]]

_DESKS: Final[dict[str, _MakeDesk]] = {
    "engine, in process": _our_desk,
    "engine, HTTP API": _api_desk,
    "engine, journal in memory": _memory_desk,
    "ibind place_order": _ibind_desk,
    "aiohttp, bare POST": _bare_desk,
}

_FIRST_BYTES: Final[dict[str, _MakeDesk]] = {
    "engine, from the HTTP API": _api_first_byte,
    "aiohttp, bare": _bare_first_byte,
}


def contests(scratch: Path) -> Iterator[Contest]:
    """Return the contests; their processes live as long as each is being held."""
    desks = [name for name in _DESKS if name != "engine, journal in memory" or _MEMORY.is_dir()]
    with _floors(scratch, desks) as floors:
        yield _contest(
            "submit/ack",
            "an order from its ticket to the broker's acknowledgement, the median of a lap",
            floors,
        )
    with _floors(scratch, list(_FIRST_BYTES)) as floors:
        yield _contest(
            "submit/first-byte",
            "from a client's request to the first byte to the gateway, the median of a lap",
            floors,
        )


def _contest(name: str, what: str, floors: dict[str, Connection]) -> Contest:
    return Contest(
        name=name,
        what=what,
        operation="order",
        operations=ORDERS,
        clock=Clock.WALL,
        contenders=tuple(Contender(name=name, lap=_lap(pipe)) for name, pipe in floors.items()),
    )


def _lap(pipe: Connection) -> Callable[[], Lap]:
    def lap() -> Lap:
        pipe.send(ORDERS)
        times: Sequence[int] = pipe.recv()
        return Lap(cost=round(median(times) * ORDERS), digest={"acknowledged": len(times)})

    return lap


@contextmanager
def _floors(scratch: Path, desks: Sequence[str]) -> Iterator[dict[str, Connection]]:
    """Start every contender's process and gateway; each waits until it is asked for a lap."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    with ExitStack() as stack:
        for name in desks:
            ours, theirs = context.Pipe()
            gateway = replace(stack.enter_context(_gateway()), account=ACCOUNT)
            process = context.Process(target=_work, args=(name, gateway, scratch, theirs))
            process.start()
            theirs.close()
            processes.append(process)
            pipes[name] = ours
        try:
            for pipe in pipes.values():
                assert pipe.recv() == "ready"
            yield pipes
        finally:
            for pipe in pipes.values():
                pipe.close()  # Whoever still listens hears the end of it.
            for process in processes:
                process.join()


def _work(name: str, gateway: Gateway, scratch: Path, pipe: Connection) -> None:
    log.configure(level="ERROR")
    asyncio.run(_place_on_demand(name, gateway, scratch, pipe))


async def _place_on_demand(name: str, gateway: Gateway, scratch: Path, pipe: Connection) -> None:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch))
        place, take_away = await (_DESKS | _FIRST_BYTES)[name](gateway, Path(folder), stack)
        pipe.send("ready")
        number = 0
        while count := await asyncio.to_thread(_next_lap, pipe):
            times = []
            for _ in range(count):
                number += 1
                began = time.perf_counter_ns()
                await place(number)
                times.append(time.perf_counter_ns() - began)
                await take_away()
                await asyncio.sleep(PAUSE_S)
            pipe.send(times)


def _next_lap(pipe: Connection) -> int:
    """Wait for the next lap; 0 when there is none."""
    try:
        return int(pipe.recv())
    except EOFError:
        return 0


@contextmanager
def _gateway() -> Iterator[Gateway]:
    """Run `engine sim` without the broker's slow pace."""
    with tempfile.TemporaryDirectory() as folder:
        code = "from benchmarks.gateway import main; main()"
        command = [sys.executable, "-c", code, folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
        try:
            assert process.stdout is not None
            yield Gateway(**json.loads(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _config(gateway: Gateway, folder: Path) -> Path:
    (folder / "risk.yaml").write_text(_RISK)
    file = folder / "engine.yaml"
    session = {
        "name": "main",
        "gateway": gateway.url,
        "calendar": "none",
        "tls": {"verify": "pin", "pin_sha256": gateway.pin_sha256},
        "accounts": [gateway.account],
    }
    config = {
        "mode": "paper",
        "state_dir": "state",
        "shard": gateway.account[-4:],  # Two engines with one mark would take fright.
        "api": {"port": 0},
        "metrics": {"port": 0},
        "log": {"level": "info"},
        "risk": {"file": "risk.yaml"},
        "market_data": {"subscriptions": [CONID]},
        "pacing": {"requests_per_s": 50},
        "sessions": [session],
    }
    file.write_text(json.dumps(config))
    return file


async def _log_in(client: aiohttp.ClientSession, gateway: Gateway) -> None:
    body = {"publish": True, "compete": False}
    async with client.post(f"{gateway.api}/iserver/auth/ssodh/init", json=body) as answer:
        await answer.read()
    while True:
        async with client.get(f"{gateway.api}/iserver/accounts") as answer:
            if answer.ok:
                return
        await asyncio.sleep(0.05)


async def _api_of(process: asyncio.subprocess.Process) -> str:
    """Read an engine's log until it says where its API is, and go on reading for good."""
    assert process.stderr is not None
    async for line in process.stderr:
        event = json.loads(line) if line.startswith(b"{") else {}
        if event.get("event") == "api_started":
            _READERS.append(asyncio.create_task(process.stderr.read()))
            return str(event["url"])
    message = "the engine ended before its API had started"
    raise RuntimeError(message)


_READERS: Final[list[asyncio.Task[bytes]]] = []


async def _until(reached: Callable[[], bool]) -> None:
    for _ in range(int(_START_S * 20)):
        if reached():
            return
        await asyncio.sleep(0.05)
    message = f"not within {_START_S} s"
    raise TimeoutError(message)
