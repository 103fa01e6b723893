"""Running simulated gateways as a process of their own."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from engine.sim.config import SimConfig
from engine.sim.control import ControlPort
from engine.sim.faults import Faults
from engine.sim.gateway import SimGateway
from engine.sim.state import StateError, StateFile

_log = structlog.get_logger("engine.sim")

SAVE_INTERVAL_S: Final = 0.25
# A large venue takes longer to write down, so it is written less often.
_SAVE_S_PER_ORDER: Final = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Gateways that are served together; `control_url` is empty without a control port."""

    gateways: tuple[SimGateway, ...]
    control_url: str


async def serve_many(
    configs: Sequence[SimConfig],
    *,
    stop: asyncio.Event,
    on_started: Callable[[Fleet], None],
    faults: Callable[[], Faults] = Faults,
    state_file: Path | None = None,
    control_port: int | None = None,
) -> None:
    """Serve until `stop` is set; `on_started` gets the listening gateways once.

    `faults` makes the faults that each gateway starts with. With a
    `state_file`, the venues go on from it and keep it up to date. A
    `control_port` of 0 is a free one, None is none.

    Raises:
        OSError: A port is taken, or a file or folder cannot be written.
        StateError: The state file cannot be used.
    """
    file = StateFile(state_file) if state_file is not None else None
    kept = file.load() if file is not None else {}
    gateways = tuple(_made(config, faults(), kept, state_file) for config in configs)
    async with AsyncExitStack() as stack:
        if file is not None:
            stack.push_async_callback(_save, file, gateways, kept)
        for gateway in gateways:
            await stack.enter_async_context(gateway)
            _log_start(gateway)
        control_url = ""
        if control_port is not None:
            control = ControlPort(gateways, port=control_port)
            await control.start()
            stack.push_async_callback(control.stop)
            control_url = control.url
        if file is not None:
            saver = asyncio.create_task(_keep_saved(file, gateways, kept, stop))
            stack.push_async_callback(_ended, saver, stop)
        on_started(Fleet(gateways=gateways, control_url=control_url))
        await stop.wait()
    for gateway in gateways:
        _log_stop(gateway)


async def serve(
    config: SimConfig,
    *,
    stop: asyncio.Event,
    on_started: Callable[[SimGateway], None],
    faults: Faults | None = None,
) -> None:
    """Serve one gateway until `stop` is set; `on_started` gets it once it listens.

    Raises:
        OSError: The port is taken or the certificate folder cannot be written.
    """
    await serve_many(
        (config,),
        stop=stop,
        on_started=lambda fleet: on_started(fleet.gateways[0]),
        faults=lambda: faults or Faults(),
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


def _made(
    config: SimConfig, faults: Faults, kept: dict[str, Any], state_file: Path | None
) -> SimGateway:
    try:
        return SimGateway(config, faults=faults, state=kept.get(config.username))
    except StateError as error:
        message = f"{state_file}: session {config.username}: {error}"
        raise StateError(message) from error


async def _keep_saved(
    file: StateFile, gateways: Sequence[SimGateway], kept: dict[str, Any], stop: asyncio.Event
) -> None:
    """Write the state down whenever it changed, at most once per interval."""
    saved = 0
    while not stop.is_set():
        changes = sum(gateway.venue.changes for gateway in gateways)
        if changes != saved:
            saved = changes
            try:
                await _save(file, gateways, kept)
            except OSError as error:
                # The venue goes on; at the end the same error stops the process.
                _log.error("state_not_saved", path=str(file.path), error=str(error))
        orders = sum(len(gateway.venue.orders) for gateway in gateways)
        await asyncio.sleep(SAVE_INTERVAL_S + orders * _SAVE_S_PER_ORDER)


async def _save(file: StateFile, gateways: Sequence[SimGateway], kept: dict[str, Any]) -> None:
    """Write all states down; those of logins that are not served now stay as they were."""
    now = {gateway.config.username: gateway.world.state() for gateway in gateways}
    file.save({**kept, **now})


async def _ended(saver: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    saver.cancel()
    await asyncio.wait((saver,))


def _log_start(gateway: SimGateway) -> None:
    config = gateway.config
    _log.info(
        "gateway_started",
        url=gateway.url,
        ca_file=str(gateway.ca_file),
        pin_sha256=gateway.pin_sha256,
        accounts=list(config.accounts),
        username=config.username,
        seed=config.seed,
    )


def _log_stop(gateway: SimGateway) -> None:
    _log.info(
        "gateway_stopped",
        username=gateway.config.username,
        submissions=len(gateway.venue.submissions),
        orders=len(gateway.venue.orders),
        executions=len(gateway.venue.executions),
    )
