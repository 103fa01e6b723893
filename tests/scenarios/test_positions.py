"""What an account holds is shown once, however soon its fills follow a read of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from engine.app import App
from engine.config.engine import load_engine_config
from engine.sim import SimConfig, SimGateway

ACCOUNTS: Final = tuple(f"DU{number}" for number in range(1_111_111, 1_111_121))
"""So many that the second read of the first one comes two seconds after its first."""

ACCOUNT: Final = ACCOUNTS[0]
WAIT_S: Final = 20
FAST: Final[dict[str, Any]] = {
    "accounts": ACCOUNTS,
    "established_delay_ms": 0,
    "quote_interval_ms": (5, 15),
    "smd_conflation_ms": 10,
    "fill_delay_ms": (2, 10),
    "commission_delay_ms": 5,
    "enforce_pacing": False,
    "questions": {},
}
RISK: Final = """\
version: 1
approved_by: []
units: {notional_ccy: USD}
defaults:
  price: {max_age_ms: 60_000}
  order:
    max_qty: {STK: 100}
    max_notional: {abs: 100_000}
    market: {max_spread_bps: 10_000}
  position: {max_qty: 1_000, max_notional: {abs: 1_000_000}}
"""


class Desk:
    """A client of a running engine."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self._url = f"{url}/v1/accounts/{ACCOUNT}"
        self._client = client

    async def buy(self, key: str, quantity: int) -> Any:
        body = {
            "client_order_id": key,
            "symbol": "AAPL",
            "side": "BUY",
            "type": "MKT",
            "quantity": str(quantity),
            "tif": "DAY",
        }
        path = f"{self._url}/orders?wait=terminal&timeout={WAIT_S}"
        async with self._client.post(path, json=body) as answer:
            return await answer.json()

    async def position(self) -> tuple[str, str, str]:
        """Return the likeliest, the lowest and the highest quantity."""
        async with self._client.get(f"{self._url}/positions") as answer:
            (found,) = (await answer.json())["positions"]
        return found["quantity"], found["lowest"], found["highest"]


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    async with SimGateway(SimConfig(**FAST)) as sim:
        (folder / "risk.yaml").write_text(RISK)
        config = {
            "mode": "paper",
            "state_dir": "state",
            "api": {"port": 0},
            "metrics": {"port": 0},
            "risk": {"file": "risk.yaml"},
            "log": {"level": "ERROR"},
            "pacing": {
                "requests_per_s": 50,
                "in_flight": 50,
                "orders_interval_ms": 100,
                "trades_interval_ms": 100,
            },
            "sessions": [
                {
                    "name": "main",
                    "gateway": sim.url,
                    "calendar": "none",
                    "tls": {"verify": "ca", "ca_file": str(sim.ca_file)},
                    "accounts": "all",
                }
            ],
        }
        file = folder / "engine.yaml"
        file.write_text(json.dumps(config))
        app = App(load_engine_config(file, {}), {})
        await app.start()
        token = (folder / "state" / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with aiohttp.ClientSession(headers=headers) as client:
                async with asyncio.timeout(WAIT_S):
                    while not app.bridge.health().ready:  # noqa: ASYNC110 - it has no event
                        await asyncio.sleep(0.01)
                yield Desk(app.api.url, client)
        finally:
            await app.stop()


def test_fills_right_after_the_first_read_are_shown_once_and_soon_beyond_doubt(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with desk(tmp_path) as client:
            ended = [(await client.buy(f"mine-{number}", 10))["state"] for number in range(3)]

            shown = [await client.position()]
            async with asyncio.timeout(WAIT_S):
                while shown[-1] != ("30", "30", "30"):
                    await asyncio.sleep(0.05)
                    shown.append(await client.position())
            # Until more rounds of reads have come.
            for _ in range(10):
                await asyncio.sleep(0.1)
                shown.append(await client.position())

            assert ended == ["FILLED"] * 3
            assert {quantity for quantity, _, _ in shown} == {"30"}
            assert shown[-1] == ("30", "30", "30")

    asyncio.run(scene())
