"""Running a simulated gateway as a process of its own."""

import asyncio
import signal
from collections.abc import Callable

import structlog

from engine.sim.config import SimConfig
from engine.sim.faults import Faults
from engine.sim.gateway import SimGateway

_log = structlog.get_logger("engine.sim")


async def serve(
    config: SimConfig,
    *,
    stop: asyncio.Event,
    on_started: Callable[[SimGateway], None],
    faults: Faults | None = None,
) -> None:
    """Serve until `stop` is set; `on_started` gets the listening gateway once.

    Raises:
        OSError: The port is taken or the certificate folder cannot be written.
    """
    async with SimGateway(config, faults=faults) as gateway:
        _log.info(
            "gateway_started",
            url=gateway.url,
            ca_file=str(gateway.ca_file),
            pin_sha256=gateway.pin_sha256,
            accounts=list(config.accounts),
            username=config.username,
            seed=config.seed,
        )
        on_started(gateway)
        await stop.wait()
    _log.info(
        "gateway_stopped",
        submissions=len(gateway.venue.submissions),
        orders=len(gateway.venue.orders),
        executions=len(gateway.venue.executions),
    )


async def run(config: SimConfig, *, faults: Faults | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        OSError: The port is taken or the certificate folder cannot be written.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await serve(config, stop=stop, on_started=lambda _: None, faults=faults)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
