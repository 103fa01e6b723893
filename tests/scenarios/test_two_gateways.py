"""Two gateways, ten accounts, bad weather at one of them: the other one notices nothing.

Real processes: two simulated gateways at the broker's own pace, and one engine.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import pytest

from tests.scenarios.processes import AAPL, WAIT_S, EngineProcess, risk_file, until

pytestmark = pytest.mark.timeout(400)

WEATHER_S: Final = 30.0
SAFE_STATES: Final = {"ACCEPTED", "WORKING", "PARTIALLY_FILLED", "FILLED"}
EAST: Final = tuple(f"DU100000{number}" for number in range(5))
WEST: Final = tuple(f"DU200000{number}" for number in range(5))


class GatewayProcess:
    """`engine sim` in a process of its own, with its control port."""

    def __init__(self, folder: Path, accounts: tuple[str, ...]) -> None:
        folder.mkdir()
        self.certificate = folder / "tls" / "cert.pem"
        self._log = folder / "sim.log"
        command = [sys.executable, "-m", "engine", "sim", "--port", "0", "--control-port", "0"]
        command += ["--accounts", ",".join(accounts), "--cert-dir", str(folder / "tls")]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.url = str(until(lambda: self._printed("simulated gateway")))
        self._control = str(until(lambda: self._printed("control port")))

    def _printed(self, name: str) -> str | None:
        lines = self._log.read_text().splitlines()
        return next((line.split()[-1] for line in lines if line.startswith(name)), None)

    def venue(self) -> Any:
        """Return what the venue holds: submissions, orders, cancel requests."""
        with urllib.request.urlopen(f"{self._control}/venue", timeout=WAIT_S) as answer:
            (truth,) = json.load(answer).values()
        return truth

    def act(self, name: str, **arguments: Any) -> None:
        """Let one thing happen."""
        body = json.dumps(arguments).encode()
        request = urllib.request.Request(
            f"{self._control}/actions/{name}",
            data=body,
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=WAIT_S):
            pass

    def stop(self) -> None:
        """Stop the whole process, as a long pause of its machine does."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped process go on."""
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self.process.kill()
        self.process.wait(WAIT_S)


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    with (
        GatewayProcess(tmp_path / "east", EAST) as east,
        GatewayProcess(tmp_path / "west", WEST) as west,
    ):
        yield east, west


@pytest.fixture
def engine(
    tmp_path: Path, gateways: tuple[GatewayProcess, GatewayProcess]
) -> Iterator[EngineProcess]:
    names, accounts = ("east", "west"), (EAST, WEST)
    sessions = [
        {
            "name": name,
            "gateway": gateway.url,
            "calendar": "none",
            "tls": {"verify": "ca", "ca_file": str(gateway.certificate)},
            "accounts": list(its_accounts),
        }
        for name, gateway, its_accounts in zip(names, gateways, accounts, strict=True)
    ]
    risk_file(tmp_path)
    file = tmp_path / "engine.yaml"
    config = {
        "mode": "paper",
        "api": {"port": 0},
        "metrics": {"port": 0},
        "risk": {"file": "risk.yaml"},
        "market_data": {"subscriptions": [AAPL]},
        "sessions": sessions,
    }
    file.write_text(json.dumps(config))
    with EngineProcess(file) as running:
        until(lambda: running.call("GET", "/readyz").status == 200, seconds=90)
        yield running


def rest(engine: EngineProcess, key: str, account: str) -> Any:
    """Submit a limit order that rests far below the market; return its body."""
    answer = engine.submit(key, account=account, type="LMT", limit_price="100", quantity="3")
    return answer.body.get("order", answer.body)


def working(engine: EngineProcess, order_id: str) -> bool:
    return engine.order(order_id)["state"] in SAFE_STATES


def trade_in_bad_weather(engine: EngineProcess, name: str) -> tuple[list[str], list[str]]:
    """Send orders to both for as long as the weather lasts; return the ids by gateway.

    Those of the quiet gateway must work at once, and never be in doubt.
    """
    east, west = [], []
    ends = time.monotonic() + WEATHER_S
    for number in range(6):
        account = number % len(EAST)
        east.append(rest(engine, f"{name}-east-{number}", EAST[account])["order_id"])
        quiet = rest(engine, f"{name}-west-{number}", WEST[account])
        assert quiet["state"] == "SUBMITTING", quiet
        until(partial(working, engine, quiet["order_id"]), seconds=10)
        west.append(quiet["order_id"])
        assert engine.call("GET", "/v1/sessions").body["sessions"][1]["state"] == "READY"
        time.sleep(max(0.0, (ends - time.monotonic()) / (6 - number)))
    return east, west


def settled(engine: EngineProcess, order_ids: list[str]) -> bool:
    """True once nobody is in doubt about an order any more."""
    doubtful = {"SUBMITTING", "AWAITING_REPLY", "IN_DOUBT"}
    return not any(engine.order(order_id)["state"] in doubtful for order_id in order_ids)


def test_one_gateways_trouble_is_only_its_own(
    gateways: tuple[GatewayProcess, GatewayProcess], engine: EngineProcess
) -> None:
    east, west = gateways
    before = [rest(engine, f"before-{account}", account)["order_id"] for account in EAST + WEST]
    until(lambda: all(working(engine, order_id) for order_id in before), seconds=60)

    east.stop()
    paused = trade_in_bad_weather(engine, "paused")
    east.go_on()
    until(lambda: engine.call("GET", "/readyz").status == 200, seconds=120)
    east.act("cut_connections", seconds=WEATHER_S)
    cut = trade_in_bad_weather(engine, "cut")
    until(lambda: engine.call("GET", "/readyz").status == 200, seconds=120)
    in_the_east = before[: len(EAST)] + paused[0] + cut[0]
    until(lambda: settled(engine, in_the_east), seconds=200)

    for gateway, order_ids in (
        (east, in_the_east),
        (west, before[len(EAST) :] + paused[1] + cut[1]),
    ):
        venue = gateway.venue()
        sent = Counter(row["coid"] for row in venue["submissions"])
        assert max(sent.values()) == 1, "nothing is sent twice"
        orders = [engine.order(order_id) for order_id in order_ids]
        held = {order["broker_order_id"]: order for order in orders if order["broker_order_id"]}
        live = {str(row["order_id"]): row for row in venue["orders"]}
        assert held.keys() == live.keys(), "nothing lives there that the engine does not know"
        for order in orders:
            if order["broker_order_id"] is None:
                # Denied, ended unsent, or left to a person: never told as if it were live.
                assert order["state"] in {"DENIED", "EXPIRED", "PARKED"}, order
            else:
                assert order["state"] in SAFE_STATES, order
                assert live[order["broker_order_id"]]["filled_quantity"] == order["filled_quantity"]
    assert all(working(engine, order_id) for order_id in before), "what worked still works"
