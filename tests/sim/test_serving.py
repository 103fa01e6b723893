import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.sim import (
    Faults,
    Fleet,
    SimConfig,
    SimGateway,
    StateError,
    StateFile,
    act,
    rest_orders,
    run,
    serve,
    serve_many,
    serving,
    world,
)
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


async def started(*configs: SimConfig, **options: Any) -> tuple[Fleet, asyncio.Task[None]]:
    """Gateways that are served until `stop` of the options is set."""
    fleets: asyncio.Queue[Fleet] = asyncio.Queue()
    task = asyncio.create_task(serve_many(configs, on_started=fleets.put_nowait, **options))
    getting = asyncio.create_task(fleets.get())
    await asyncio.wait({task, getting}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        getting.cancel()
        await task
    return await getting, task


@asynchronous
async def test_several_logins_have_venues_of_their_own_in_one_market() -> None:
    stop = asyncio.Event()
    configs = [SimConfig(**FAST, username=name, accounts=(f"DU{name}",)) for name in ("1", "2")]

    fleet, task = await started(*configs, stop=stop, control_port=0)
    first, second = fleet.gateways
    stop.set()
    await task

    assert first.url != second.url
    assert first.venue.next_order_id != second.venue.next_order_id
    assert first.world.market.quote(265598).prior_close == (
        second.world.market.quote(265598).prior_close
    )
    assert fleet.control_url.startswith("http://127.0.0.1:")


@asynchronous
async def test_a_venue_that_was_stopped_goes_on_and_another_login_keeps_its_own(
    tmp_path: Path,
) -> None:
    file = tmp_path / "venue.json"
    orders: dict[tuple[str, str], list[int]] = {}
    for names in ("12", "1", "2"):
        stop = asyncio.Event()
        configs = [SimConfig(**FAST, username=name) for name in names]
        fleet, task = await started(*configs, stop=stop, state_file=file)
        for sim in fleet.gateways:
            orders[names, sim.config.username] = list(sim.venue.orders)
            if len(names) > 1:
                act(sim, "external", {"conid": 265598, "orderType": "LMT", "price": 1})
                orders["placed", sim.config.username] = list(sim.venue.orders)
        stop.set()
        await task

    assert orders["12", "1"] == []
    assert orders["1", "1"] == orders["placed", "1"]
    assert orders["2", "2"] == orders["placed", "2"]


@asynchronous
async def test_the_state_is_written_while_it_runs(tmp_path: Path) -> None:
    stop, file = asyncio.Event(), StateFile(tmp_path / "venue.json")
    fleet, task = await started(SimConfig(**FAST), stop=stop, state_file=file.path)

    done = act(fleet.gateways[0], "external", {"conid": 265598, "orderType": "LMT", "price": 1})
    await until(lambda: bool(file.load()) and bool(file.load()["simuser"]["orders"]))
    [row] = file.load()["simuser"]["orders"]
    stop.set()
    await task

    assert row["order_id"] == done["order"]


@asynchronous
async def test_a_broken_state_is_named_with_its_file_and_login(tmp_path: Path) -> None:
    file = tmp_path / "venue.json"
    StateFile(file).save({"simuser": {"at_ms": 1}})

    with pytest.raises(StateError, match="session simuser: state lacks or should not") as caught:
        await started(SimConfig(**FAST), stop=asyncio.Event(), state_file=file)

    assert str(file) in str(caught.value)
