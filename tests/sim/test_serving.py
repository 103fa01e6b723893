import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.sim import Faults, SimConfig, SimGateway, rest_orders, run, serve, serving, world
from tests.sim.client import FAST, asynchronous, gateway, until


class Lines:
    """A logger that keeps what it was told, however logging is configured elsewhere."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def info(self, event: str, **values: Any) -> None:
        self.kept.append({"event": event, **values})


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    logger = Lines()
    for module in (serving, rest_orders, world):
        monkeypatch.setattr(module, "_log", logger)
    return logger.kept


@asynchronous
async def test_it_serves_until_it_is_stopped_and_says_where(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    stop = asyncio.Event()
    started: asyncio.Queue[SimGateway] = asyncio.Queue()
    config = SimConfig(**(FAST | {"cert_dir": tmp_path}))

    serving_task = asyncio.create_task(
        serve(config, stop=stop, on_started=started.put_nowait, faults=Faults(mute_sor=True))
    )
    sim = await started.get()
    stop.set()
    await serving_task

    assert sim.faults.mute_sor is True
    assert sim.ca_file == tmp_path / "cert.pem"
    assert [line["event"] for line in lines] == ["gateway_started", "gateway_stopped"]
    assert lines[0]["url"] == sim.url
    assert lines[0]["pin_sha256"] == sim.pin_sha256
    assert lines[0]["accounts"] == ["DU1111111", "DU2222222"]


@asynchronous
async def test_a_signal_ends_it(lines: list[dict[str, Any]]) -> None:
    running = asyncio.create_task(run(SimConfig(**FAST)))
    await until(lambda: bool(lines))
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 5)

    assert lines[-1]["event"] == "gateway_stopped"


@asynchronous
async def test_orders_and_fills_are_logged_with_their_client_order_id(
    lines: list[dict[str, Any]],
) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        await client.place(orderType="MKT", price=None, cOID="c-1")
        await until(lambda: any(not order.working for order in sim.venue.orders.values()))
        await until(lambda: len(lines) > len(sim.venue.executions))

    assert [line["event"] for line in lines] == [
        "order_received",
        *(["order_filled"] * len(sim.venue.executions)),
    ]
    assert {line["coid"] for line in lines} == {"c-1"}
