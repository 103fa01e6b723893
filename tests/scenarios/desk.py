"""A whole engine in this process, over a simulated gateway, and a client of its API."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from engine.app import App
from engine.config.engine import load_engine_config
from engine.sim import SimConfig, SimGateway

WAIT_S: Final = 20
"""So long something may take that takes no time."""

FAST: Final[Mapping[str, Any]] = {
    "established_delay_ms": 0,
    "quote_interval_ms": (5, 15),
    "smd_conflation_ms": 10,
    "fill_delay_ms": (2, 10),
    "commission_delay_ms": 5,
    "enforce_pacing": False,
    "questions": {},
}
"""A venue that nobody has to wait for, and that asks nothing."""


@dataclass(slots=True)
class Desk:
    """A running engine, its venue, and a client of its API."""

    app: App
    sim: SimGateway
    client: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make a request of the API; return its status and its document."""
        async with self.client.request(method, f"{self.app.api.url}{path}", json=body) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def desk(
    folder: Path, *, venue: Mapping[str, Any], risk: str, **settings: Any
) -> AsyncIterator[Desk]:
    """Run an engine with these limits over a venue that is FAST but for what `venue` says."""
    async with SimGateway(SimConfig(**{**FAST, **venue})) as sim:
        (folder / "risk.yaml").write_text(risk)
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
            **settings,
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
                yield Desk(app, sim, client)
        finally:
            await app.stop()
