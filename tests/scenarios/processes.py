"""Real processes for scenarios: an engine, a simulated gateway, and a client of the API."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from engine.sim import SimConfig, SimGateway

WAIT_S = 30.0
ACCOUNTS = ("DU1111111", "DU2222222")
AAPL = 265598

RISK = """\
version: {version}
approved_by: [{approved_by}]
units: {{notional_ccy: USD}}
defaults:
  price: {{max_age_ms: 5000}}
  order:
    max_qty: {{STK: {max_qty}}}
    max_notional: {{abs: 500_000}}
    market: {{max_spread_bps: 100}}
  position: {{max_qty: 5_000, max_notional: {{abs: 2_000_000}}}}
  working: {{max_total: 50, max_per_conid_side: 15}}
  instruments: {{allow_sec_types: [STK]}}
  broker_messages: {{o10151: accept, o163: accept, o10331: accept, default: decline}}
"""


def risk_file(folder: Path, *, version: int = 1, max_qty: int = 100, approved_by: str = "") -> Path:
    """Write the limits as an editor does: a new file in place of the old one."""
    text = RISK.format(version=version, max_qty=max_qty, approved_by=approved_by)
    new = folder / "risk.yaml.new"
    new.write_text(text)
    return new.replace(folder / "risk.yaml")


def config_file(
    folder: Path,
    *,
    gateway: str,
    tls: dict[str, str],
    accounts: Any = "all",
    pace_ms: int = 100,
    journal_url: str | None = None,
) -> Path:
    file = folder / "engine.yaml"
    config = {
        "mode": "paper",
        "state_dir": "state",
        "api": {"port": 0},
        "metrics": {"port": 0},
        "risk": {"file": "risk.yaml"},
        "journal": {} if journal_url is None else {"url": journal_url},
        "market_data": {"subscriptions": [AAPL]},
        "pacing": {"orders_interval_ms": pace_ms, "trades_interval_ms": pace_ms},
        "sessions": [
            {
                "name": "main",
                "gateway": gateway,
                "calendar": "none",
                "tls": tls,
                "accounts": accounts,
            }
        ],
    }
    file.write_text(json.dumps(config))
    return file


def until(ask: Callable[[], Any], *, seconds: float = WAIT_S) -> Any:
    """Return the first true answer; processes are asked, not watched."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.02)
    message = f"no true answer within {seconds} s"
    raise AssertionError(message)


class SimThread:
    """A simulated gateway with a loop of its own, so that a test can look into it."""

    def __init__(self, config: SimConfig) -> None:
        self._config = config
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self.gateway = SimGateway(config)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.gateway:
            self._started.set()
            await self._stop.wait()

    def __enter__(self) -> SimGateway:
        self._thread.start()
        assert self._started.wait(WAIT_S)
        return self.gateway

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_S)


@dataclass(slots=True, kw_only=True)
class Answer:
    status: int
    body: Any


class EngineProcess:
    """`engine run` in a process of its own."""

    def __init__(self, config: Path) -> None:
        self.folder = config.parent
        self._log = self.folder / f"engine-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self._command(config), stderr=log, stdout=log)
        started = until(self._find_start)
        self.url, self.metrics_url = started["url"], started["metrics_url"]
        self.token = (self.folder / "state" / "token").read_text().strip()

    def _command(self, config: Path) -> list[str]:
        return [sys.executable, "-m", "engine", "run", "--config", str(config)]

    def _find_start(self) -> Any:
        assert self.process.poll() is None, self.log
        events = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return next((event for event in events if event.get("event") == "api_started"), None)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token or self.token}"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as response:
                return Answer(status=response.status, body=json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(status=error.code, body=json.load(error))

    def submit(
        self, key: str, *, account: str = ACCOUNTS[0], query: str = "", **fields: Any
    ) -> Answer:
        body = {"client_order_id": key, "conid": AAPL, "side": "BUY", "type": "MKT", **fields}
        return self.call("POST", f"/v1/accounts/{account}/orders{query}", body)

    def order(self, order_id: str) -> Any:
        return self.call("GET", f"/v1/orders/{order_id}").body

    def ready(self) -> "EngineProcess":
        until(lambda: self.call("GET", "/readyz").status == 200)
        return self

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.metrics_url}/metrics", timeout=WAIT_S) as response:
            text: str = response.read().decode()
            return text

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def command(engine: EngineProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line against an engine."""
    environ = {
        **os.environ,
        "ENGINE_API": engine.url,
        "ENGINE_STATE_DIR": str(engine.folder / "state"),
        "COLUMNS": "200",
    }
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        capture_output=True,
        text=True,
        env=environ,
        timeout=WAIT_S,
        check=False,
    )


@contextlib.contextmanager
def quick_engine(folder: Path, sim: SimGateway) -> Iterator[EngineProcess]:
    """An engine against a simulator in this process, without the broker's slow pace."""
    risk_file(folder)
    tls = {"verify": "pin", "pin_sha256": sim.pin_sha256}
    with EngineProcess(config_file(folder, gateway=sim.url, tls=tls)) as engine:
        yield engine


def quick_sim(**changes: Any) -> SimConfig:
    """A simulator that loses no time."""
    return SimConfig(
        accounts=ACCOUNTS,
        established_delay_ms=20,
        quote_interval_ms=(20, 60),
        smd_conflation_ms=50,
        fill_delay_ms=(5, 30),
        cancel_delay_ms=20,
        commission_delay_ms=10,
        heartbeat_ms=500,
        enforce_pacing=False,
        **changes,
    )
