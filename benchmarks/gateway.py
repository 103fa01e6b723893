"""A simulated gateway of the contests, in a process of its own and without its pace."""

import asyncio
import json
import sys
from typing import Final

from engine import log
from engine.sim import SimConfig, SimGateway

ACCOUNT: Final = "DU1000001"


async def _run() -> None:
    config = SimConfig(
        accounts=(ACCOUNT,),
        established_delay_ms=20,
        fill_delay_ms=(5, 30),
        cancel_delay_ms=1,
        enforce_pacing=False,
    )
    async with SimGateway(config) as sim:
        described = {"url": sim.url, "ca_file": str(sim.ca_file), "pin_sha256": sim.pin_sha256}
        sys.stdout.write(json.dumps(described) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Run until the process is ended."""
    log.configure(level="ERROR")
    asyncio.run(_run())
