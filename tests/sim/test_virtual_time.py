"""The gateway on a loop whose time is made up, without a socket and without TLS."""

import asyncio
import hashlib
import json
from collections.abc import Coroutine
from typing import Any, Final, Self

from aiohttp import web

from engine.sim import Faults, SimConfig, SimGateway

EPOCH_MS: Final = 1_767_600_000_000
MONTH_S: Final = 30 * 86_400


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next thing that is due, instead of passing."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]  # the base class has them
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]  # as above
        super()._run_once()  # type: ignore[misc]  # as above


class Wire(asyncio.Transport):
    """Keeps what the gateway writes."""

    def __init__(self, log: list[bytes]) -> None:
        super().__init__()
        self._log = log
        self._closed = False

    def write(self, data: Any) -> None:
        self._log.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self._log.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True

    def abort(self) -> None:
        self._closed = True

    def pause_reading(self) -> None:
        """Nothing is read from a wire without a socket."""

    def resume_reading(self) -> None:
        """As above."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The log has no limit."""


class Connection:
    """One client's connections to a gateway that listens nowhere."""

    def __init__(self, sim: SimGateway) -> None:
        self.log: list[bytes] = []
        self._runner = web.AppRunner(sim.app(), access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """Send one request, wait a virtual second, and return the bytes that came."""
        assert self._runner.server is not None
        protocol = self._runner.server()
        protocol.connection_made(Wire(self.log))
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} /v1/api{path} HTTP/1.1\r\nHost: sim\r\nContent-Length: {len(payload)}\r\n"
        before = len(self.log)
        protocol.data_received(f"{head}\r\n".encode() + payload)
        await asyncio.sleep(1)
        protocol.connection_lost(None)
        return b"".join(self.log[before:])


def virtually(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


async def day_of_trading(seed: int) -> tuple[str, int]:
    """Trade and be struck by faults; return a hash of all bytes and the number of executions."""
    loop = asyncio.get_running_loop()
    sim = SimGateway(
        SimConfig(seed=seed, questions={}, tick_ms=50),
        faults=Faults(status_503_with_accept=1, hang_next_order=1),
        clock=lambda: EPOCH_MS + int(loop.time() * 1000),
    )
    ticket = {"conid": 265598, "orderType": "MKT", "side": "BUY", "quantity": 9, "tif": "DAY"}
    async with Connection(sim) as connection:
        sim.start_clock()
        await connection.ask("POST", "/iserver/auth/ssodh/init", {"publish": True})
        await asyncio.sleep(1)
        await connection.ask("GET", "/iserver/accounts")
        for _ in range(4):
            await connection.ask("POST", "/iserver/account/DU1111111/orders", {"orders": [ticket]})
        for _ in range(3):
            await connection.ask("GET", "/iserver/account/orders")
            await connection.ask("GET", "/iserver/account/trades")
            await asyncio.sleep(5)
        await sim.stop_clock()
    assert b"Date: Mon, 05 Jan 2026 08:00:0" in connection.log[0]
    digest = hashlib.sha256(b"".join(connection.log)).hexdigest()
    return digest, len(sim.venue.executions)


def test_the_same_seed_and_requests_give_the_same_bytes() -> None:
    first, second = virtually(day_of_trading(7)), virtually(day_of_trading(7))

    assert first == second
    assert first[1] >= 4


def test_another_seed_gives_other_bytes() -> None:
    assert virtually(day_of_trading(7))[0] != virtually(day_of_trading(8))[0]


def test_the_venue_goes_on_from_its_state_and_its_time_does_not_go_back() -> None:
    async def main() -> tuple[int, int, int]:
        before = SimGateway(SimConfig(), clock=lambda: EPOCH_MS + MONTH_S)
        state = json.loads(json.dumps(before.world.state()))
        after = SimGateway(SimConfig(), clock=lambda: EPOCH_MS, state=state)
        return before.world.clock_ms(), after.world.clock_ms(), after.venue.next_order_id

    before_ms, after_ms, next_order_id = virtually(main())

    assert after_ms == before_ms
    assert next_order_id == SimGateway(SimConfig()).venue.next_order_id
