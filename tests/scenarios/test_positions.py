"""What an account holds is shown once, however soon its fills follow a read of it."""

import asyncio
from pathlib import Path
from typing import Any, Final

from tests.scenarios.desk import WAIT_S, Desk, desk

ACCOUNTS: Final = tuple(f"DU{number}" for number in range(1_111_111, 1_111_121))
"""So many that the second read of the first one comes two seconds after its first."""

ACCOUNT: Final = ACCOUNTS[0]
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


async def buy(one: Desk, key: str, quantity: int) -> Any:
    body = {
        "client_order_id": key,
        "symbol": "AAPL",
        "side": "BUY",
        "type": "MKT",
        "quantity": str(quantity),
        "tif": "DAY",
    }
    path = f"/v1/accounts/{ACCOUNT}/orders?wait=terminal&timeout={WAIT_S}"
    _, order = await one.ask("POST", path, body)
    return order


async def position(one: Desk) -> tuple[str, str, str]:
    """Return the likeliest, the lowest and the highest quantity."""
    _, answer = await one.ask("GET", f"/v1/accounts/{ACCOUNT}/positions")
    (found,) = answer["positions"]
    return found["quantity"], found["lowest"], found["highest"]


def test_fills_right_after_the_first_read_are_shown_once_and_soon_beyond_doubt(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with desk(tmp_path, venue={"accounts": ACCOUNTS}, risk=RISK) as one:
            ended = [(await buy(one, f"mine-{number}", 10))["state"] for number in range(3)]

            shown = [await position(one)]
            async with asyncio.timeout(WAIT_S):
                while shown[-1] != ("30", "30", "30"):
                    await asyncio.sleep(0.05)
                    shown.append(await position(one))
            # Until more rounds of reads have come.
            for _ in range(10):
                await asyncio.sleep(0.1)
                shown.append(await position(one))

            assert ended == ["FILLED"] * 3
            assert {quantity for quantity, _, _ in shown} == {"30"}
            assert shown[-1] == ("30", "30", "30")

    asyncio.run(scene())
