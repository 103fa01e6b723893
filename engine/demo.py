"""`engine demo`: simulated gateways, an engine, and a few sample orders, on loopback.

It is the product itself: the configuration is written to files and read as `engine run`
reads it, orders go through the HTTP API and the command line, and the gateways are
`engine sim`.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine import log
from engine.app import App
from engine.config.engine import load_engine_config
from engine.domain.ports import OrderFilter
from engine.sim import SimConfig, SimGateway

FIRST_GATEWAY_PORT: Final = 5000
PORTS_TRIED: Final = 100
READY_S_MAX: Final = 60.0

_STREAMED: Final = (265598, 756733, 8314)
_RISK: Final = """\
version: 1
approved_by: []
units: {notional_ccy: USD}
defaults:
  price: {max_age_ms: 5000}
  order:
    max_qty: {STK: 500}
    max_notional: {abs: 50_000}
    market: {max_spread_bps: 50}
  position: {max_qty: 1_000, max_notional: {abs: 200_000}}
  working: {max_total: 20, max_per_conid_side: 10}
  instruments: {allow_sec_types: [STK]}
  broker_messages: {o10151: accept, o163: accept, o10331: accept, default: decline}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample order: what it shows, and the command that sends it."""

    shows: str
    arguments: tuple[str, ...]
    expected: tuple[str, ...]


def run(*, sessions: int, accounts: int, seed: int, seconds: float | None) -> int:
    """Run the demonstration; return 0 when every sample order ended as it should."""
    with tempfile.TemporaryDirectory(prefix="engine-demo-") as folder:
        return asyncio.run(_run(Path(folder), sessions, accounts, seed, seconds))


async def _run(folder: Path, sessions: int, accounts: int, seed: int, seconds: float | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    started = loop.time()
    async with contextlib.AsyncExitStack() as stack:
        log_file = stack.enter_context((folder / "engine.log").open("w+"))
        log.configure(stream=log_file)
        gateways = [
            await stack.enter_async_context(SimGateway(config))
            for config in _gateway_configs(folder, sessions, accounts, seed)
        ]
        app = App(
            load_engine_config(_write_config(folder, gateways), os.environ), os.environ,
            take_next_port=True,
        )  # fmt: skip
        await app.start()
        stack.push_async_callback(app.stop)
        _say(f"gateways  {', '.join(gateway.url for gateway in gateways)} (simulated, TLS)")
        _say(f"API       {app.api.url}   metrics {app.api.metrics_url}/metrics")
        _say(f"files     {folder}\n")
        failures = await _trade(app, stop, folder, _account(0, 0))
        log_file.flush()
        await _show_log(folder / "engine.log")
        if seconds is None:
            _say("Running until Ctrl-C. Try, in another terminal:")
            _say(f"  .venv/bin/engine orders list --api {app.api.url} --state-dir {folder}/state")
        left = None if seconds is None else max(seconds - (loop.time() - started), 0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await stop.wait()
        await _sum_up(app, folder)
    _say("stopped" if not failures else f"stopped; not as expected: {', '.join(failures)}")
    return 1 if failures else 0


def _account(session: int, index: int) -> str:
    return f"DU{session + 1}{index + 1:06d}"


def _gateway_configs(folder: Path, sessions: int, accounts: int, seed: int) -> list[SimConfig]:
    configs = []
    port = FIRST_GATEWAY_PORT
    for number in range(sessions):
        port = _free_port(port)
        configs.append(
            SimConfig(
                port=port,
                username=f"demo{number + 1}",
                accounts=tuple(_account(number, index) for index in range(accounts)),
                seed=seed + number,
                cert_dir=folder / f"gateway{number + 1}",
            )
        )
        port += 1
    return configs


def _free_port(first: int) -> int:
    for port in range(first, first + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    message = f"no free port from {first} to {first + PORTS_TRIED - 1} on 127.0.0.1"
    raise OSError(message)


def _write_config(folder: Path, gateways: Sequence[SimGateway]) -> Path:
    (folder / "risk.yaml").write_text(_RISK)
    config = {
        "mode": "paper",
        "state_dir": "state",
        "risk": {"file": "risk.yaml"},
        "market_data": {"subscriptions": list(_STREAMED), "bars": ["1s", "1m"]},
        "sessions": [
            {
                "name": f"gateway{number}",
                "gateway": gateway.url,
                "calendar": "none",
                "tls": {"verify": "ca", "ca_file": str(gateway.ca_file)},
                "accounts": "all",
            }
            for number, gateway in enumerate(gateways, start=1)
        ],
    }
    file = folder / "engine.yaml"
    file.write_text(json.dumps(config, indent=2))  # JSON is YAML.
    return file


async def _trade(app: App, stop: asyncio.Event, folder: Path, account: str) -> list[str]:
    """Send the sample orders one after the other; return those that surprised."""
    deadline = asyncio.get_running_loop().time() + READY_S_MAX
    while not app.bridge.health().ready:
        if stop.is_set():
            return []
        if asyncio.get_running_loop().time() > deadline:
            return ["the session did not get ready"]
        await asyncio.sleep(0.05)
    _say("session is READY: logged in, primed, streaming, reconciled\n")
    failures = await _post_order(app, folder, account)
    for sample in _samples(account):
        if stop.is_set():
            break
        _say(f"{sample.shows}\n  $ engine {' '.join(sample.arguments)}")
        output = await _engine(app, folder, *sample.arguments)
        _say(_indented(output) + "\n")
        if not any(word in output for word in sample.expected):
            failures.append(sample.shows)
    return failures


def _samples(account: str) -> tuple[Sample, ...]:
    submit = ("orders", "submit", account)
    wait = ("--wait", "terminal", "--timeout", "15")
    return (
        Sample(
            shows="A limit order at a price that the market takes, by the command line",
            arguments=(
                *submit, "SELL", "4", "AAPL", "--type", "LMT", "--limit-price", "150", *wait
            ),
            expected=("FILLED",),
        ),
        Sample(
            shows="An order over its limit: refused before anything is sent",
            arguments=(*submit, "BUY", "501", "AAPL", "--type", "LMT", "--limit-price", "90"),
            expected=("QTY_EXCEEDS_MAX",),
        ),
        Sample(
            shows="An order that rests in the market",
            arguments=(
                *submit, "BUY", "7", "AAPL", "--type", "LMT", "--limit-price", "175.00",
                "--client-order-id", "demo-rest", "--wait", "ack",
            ),
            expected=("WORKING", "ACCEPTED", "PENDING_NEW"),
        ),
        Sample(
            shows="New terms for it: journaled, sent once, and in force when the broker says so",
            arguments=("orders", "modify", "1-4", "--limit-price", "180.00", "--wait"),
            expected=("at 180 ",),
        ),
        Sample(
            shows="A trailing stop for what is left of the position",
            arguments=(
                *submit, "SELL", "6", "AAPL", "--type", "TRAIL", "--stop-price", "205.00",
                "--trailing-type", "amt", "--trailing-amount", "23", "--wait", "ack",
            ),
            expected=("WORKING", "ACCEPTED", "PENDING_NEW"),
        ),
    )  # fmt: skip


async def _post_order(app: App, folder: Path, account: str) -> list[str]:
    _say("A market order over the HTTP API; the broker asks a question, the policy answers it")
    body = {
        "client_order_id": "demo-1",
        "symbol": "AAPL",
        "side": "BUY",
        "type": "MKT",
        "quantity": "10",
        "tif": "DAY",
    }
    path = f"/v1/accounts/{account}/orders"
    _say(
        f"  $ curl '{app.api.url}{path}?wait=terminal&timeout=15' \\\n"
        f'      -H "Authorization: Bearer $(cat {folder}/state/token)" \\\n'
        f"      -H 'Content-Type: application/json' \\\n"
        f"      -d '{json.dumps(body)}'"
    )
    token = (folder / "state" / "token").read_text().strip()
    answer = await asyncio.to_thread(
        _request, f"{app.api.url}{path}?wait=terminal&timeout=15", token, body
    )
    order = answer.get("order", answer)
    shown = ("order_id", "state", "filled_quantity", "average_price", "broker_order_id")
    _say(_indented("  ".join(f"{key}={order.get(key)}" for key in shown)) + "\n")
    await _show_journal(app, folder, str(order.get("order_id")))
    return [] if order.get("state") == "FILLED" else ["the market order did not fill"]


async def _show_journal(app: App, folder: Path, order_id: str) -> None:
    """Print what the journal has of an order, one word a record."""
    output = await _engine(app, folder, "events", "--json")
    events = [json.loads(line) for line in output.splitlines()]
    words = []
    for event in events:
        if event.get("order_id") != order_id:
            continue
        outcome = event["body"].get("outcome") or {}
        kinds = ((outcome.get("question") or {}).get("message_ids")) or []
        words.append(" ".join([event["type"], *kinds]))
    _say("The journal has, each line durable before what follows from it was done:")
    _say(_indented(" → ".join(words)) + "\n")


def _request(url: str, token: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    assert url.startswith(("http://127.0.0.1", "https://127.0.0.1"))
    request = urllib.request.Request(  # noqa: S310 - asserted above: loopback, http
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            answer = json.load(error)
    return answer


async def _engine(app: App, folder: Path, *arguments: str) -> str:
    """Run the command line as a person would, against this engine."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "ENGINE_API": app.api.url,
            "ENGINE_STATE_DIR": str(folder / "state"),
            "COLUMNS": "150",
        },
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode().rstrip()


async def _show_log(file: Path) -> None:
    lines = await asyncio.to_thread(file.read_text)
    events = [line for line in lines.splitlines() if '"order_changed"' in line][:2]
    _say("The log has a line of JSON for each event:")
    _say(_indented("\n".join(events)) + "\n")


async def _sum_up(app: App, folder: Path) -> None:
    _say("$ engine orders list")
    _say(await _engine(app, folder, "orders", "list"))
    text = await asyncio.to_thread(_read, f"{app.api.metrics_url}/metrics")
    wanted = ("engine_fills_total", "engine_ticks_total", "engine_bars_closed_total")
    lines = [line for line in text.splitlines() if line.startswith(wanted)]
    _say(f"\n$ curl {app.api.metrics_url}/metrics\n" + "\n".join(lines) + "\n")
    for view in app.bridge.orders(OrderFilter()):
        if view.filled_quantity > 0:
            _say(
                f"filled: {view.side} {view.filled_quantity} {view.symbol} "
                f"at {view.average_price} for {view.account}"
            )


def _read(url: str) -> str:
    assert url.startswith("http://127.0.0.1")
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - asserted above
        text: str = response.read().decode()
    return text


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
