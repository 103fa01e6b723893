"""The machine that engines run on: starts them, tears them out, starts them anew.

It is the composition root of the simulated day, as `engine/app.py` is of a real one: the
same assembly, the same API application, on another clock, network and disk.
"""

import asyncio
import contextvars
import hashlib
import itertools
import random
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase

from engine.actors.mailbox import Dispatcher, LoopRef
from engine.actors.shell import Clock
from engine.api import server as api_server
from engine.api import strict_json
from engine.api.openapi import docs_page, openapi
from engine.api.server import ApiServer
from engine.api.token import Token, TokenScope
from engine.assembly import Assembly, Surroundings
from engine.config.engine import EngineConfig
from engine.config.risk import load_risk_policy
from engine.domain.messages import EngineStarted
from engine.domain.ports import Entry
from engine.domain.risk import RiskPolicy
from engine.domain.values import Mode
from engine.gateway import client as gateway_client
from engine.gateway import tls
from tests.simulation.history import History
from tests.simulation.journal import Disk, SimulatedJournal
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.network import Network

API_HOST: Final = "127.0.0.1:8700"
TOKEN: Final = "a-token-that-must-never-be-seen-anywhere"
MEASURE_S: Final = 30.0
SNAPSHOT_RECORDS: Final = 100
POSITION_MAX: Final = 60
CONIDS: Final = (265598, 8314)
EXTERNAL_CONID: Final = 756733
"""What only others trade, so that the limits of the days' own contracts are theirs alone."""

ACCEPTED_MESSAGES: Final = frozenset({"o10151", "o10331", "o163", "o354"})
"""The broker's questions that the limits' file says yes to."""

_ACCEPTED: Final = ", ".join(f"{one}: accept" for one in sorted(ACCEPTED_MESSAGES))

RISK: Final = f"""\
version: 1
approved_by: []
units: {{notional_ccy: USD}}
defaults:
  price: {{max_age_ms: 60000}}
  order:
    max_qty: {{STK: 40}}
    max_notional: {{abs: 50_000}}
    market: {{max_spread_bps: 200}}
  position: {{max_qty: {POSITION_MAX}, max_notional: {{abs: 200_000}}}}
  working: {{max_total: 20, max_per_conid_side: 10}}
  instruments: {{allow_sec_types: [STK]}}
  broker_messages: {{{_ACCEPTED}, default: decline}}
"""


@cache
def _policy() -> RiskPolicy:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "risk.yaml"
        file.write_text(RISK)
        return load_risk_policy(file)


@cache
def _described() -> tuple[dict[str, Any], bytes, str]:
    """Describe the API once for all engines of this run; it takes as long as a whole hour."""
    document = openapi(api_server._routes(Mode.PAPER))
    return document, strict_json.write(document), docs_page(document)


_verification = cache(tls.verification)
_labels: Final[Any] = MetricWrapperBase.labels


def _child(metric: Any, *values: Any, **names: Any) -> Any:
    """Return a metric's child by its labels, without a lock: there is one thread."""
    child = metric._metrics.get(values)
    return _labels(metric, *values, **names) if child is None else child


def engine_config(
    gateways: dict[str, tuple[str, tuple[str, ...]]], *, orders: dict[str, str], **pacing: int
) -> EngineConfig:
    """Return the configuration of an engine with these sessions."""
    sessions = [
        {
            "name": name,
            "gateway": f"https://{address}",
            "tls": {"verify": "insecure_loopback"},
            "accounts": list(accounts),
            "calendar": "america",
        }
        for name, (address, accounts) in gateways.items()
    ]
    return EngineConfig.model_validate(
        {
            "mode": "paper",
            "state_dir": "state",
            "risk": {"file": "risk.yaml"},
            "market_data": {"subscriptions": [*CONIDS, EXTERNAL_CONID], "bars": ["1m"]},
            "pacing": pacing,
            "orders": orders,
            "journal": {"snapshot_records": SNAPSHOT_RECORDS},
            "sessions": sessions,
        }
    )


class Engine:
    """One engine's life, from a start to its death."""

    def __init__(self, host: "Host", number: int) -> None:
        self.process = Process(f"engine {number}")
        self.assembly: Assembly | None = None
        self.journal: SimulatedJournal | None = None
        self._host = host
        self._number = number

    async def run(self) -> None:
        """Start as `engine run` does, and go on until the process is killed."""
        host, loop = self._host, self._host.loop
        self.journal = host.disk.open()
        clock = Clock(wall_ns=lambda: host.wall_ns + loop.time_ns(), monotonic_ns=loop.time_ns)
        dispatcher = Dispatcher(
            loop,
            chance=random.Random(f"dispatcher:{host.seed}:{self._number}"),
            on_turn=self._turn,
        )
        self.assembly = assembly = Assembly(
            host.config,
            policy=_policy(),
            journal=self.journal,
            surroundings=Surroundings(
                clock=clock,
                dispatcher=dispatcher,
                connector=host.network.connector,
                chance=random.Random(f"engine:{host.seed}:{self._number}"),
            ),
            on_drain=lambda: None,
        )
        await assembly.open()
        await assembly.rebuild()
        entry = Entry(
            at_ns=clock.wall_ns(),
            account=None,
            order_id=None,
            message=EngineStarted(version="simulated", mode=host.config.mode),
        )
        assembly.journal.append(entry, lambda _result: None)
        await self._serve(assembly)
        assembly.begin()
        host.history.note("engine started", self._number)
        while True:
            await asyncio.sleep(MEASURE_S)
            assembly.measure()

    async def _serve(self, assembly: Assembly) -> None:
        server = ApiServer(
            engine=assembly.bridge,
            token=Token(digest=hashlib.sha256(TOKEN.encode()).digest(), scope=TokenScope.FULL),
            host="127.0.0.1",
            port=8700,
            tls=None,
            allowed_hosts=(),
            metrics_host="127.0.0.1",
            metrics_port=9700,
            mode=Mode.PAPER,
        )
        runner = server._api._runner
        await runner.setup()
        assert runner.server is not None
        self._host.network.line(API_HOST).listen(runner.server)

    def _turn(self, ref: LoopRef, message: object) -> None:
        self._host.turn(str(ref), message)

    def die(self) -> None:
        """Stop between two instructions; nothing of it reaches anybody any more."""
        host = self._host
        if self.assembly is not None:
            dispatcher: Any = self.assembly.dispatcher
            dispatcher.post = lambda *_mail, **_options: None
            dispatcher._ready.clear()
        host.network.kill(self.process)
        host.loop.kill(self.process)
        if self.journal is not None:
            self.journal.die()
        for session in self.assembly.sessions if self.assembly is not None else ():
            for pool in (session.client._reads, session.client._changes, session.client._fresh):
                if pool is not None:
                    assert pool.connector is not None
                    pool.connector._closed = True
                    pool.detach()


class Host:
    """Starts engines on one disk and one network."""

    def __init__(
        self,
        *,
        loop: VirtualLoop,
        network: Network,
        disk: Disk,
        history: History,
        config: EngineConfig,
        seed: int,
        wall_ns: int,
    ) -> None:
        self.wall_ns = wall_ns
        self.loop = loop
        self.network = network
        self.disk = disk
        self.history = history
        self.config = config
        self.seed = seed
        self.engine: Engine | None = None
        self.turns = 0
        self.kill_at_turn: int | None = None
        self.kill_after: str | None = None
        """What kills the engine when it happens: `order sent`, or `durable` and a record."""
        history.on_note = self._noted
        self._numbers = itertools.count(1)

    @property
    def running(self) -> bool:
        """True while there is an engine."""
        return self.engine is not None

    @property
    def journal_failed(self) -> bool:
        """True when the engine that runs can write nothing any more."""
        journal = None if self.engine is None else self.engine.journal
        return journal is not None and journal.failed

    @property
    def is_writing(self) -> bool:
        """True while the engine that runs has given the disk what is not durable yet."""
        journal = None if self.engine is None else self.engine.journal
        return journal is not None and journal.is_writing

    def start(self) -> None:
        """Start an engine, unless one runs."""
        if self.engine is None:
            self.engine = Engine(self, next(self._numbers))
            self.history.note("engine starting", self.engine.process.name)
            self._life = self.loop.start(self.engine.process, self.engine.run())

    def kill(self, why: str) -> None:
        """Kill the engine, if there is one."""
        engine, self.engine = self.engine, None
        self.kill_at_turn = self.kill_after = None
        if engine is not None:
            self.history.note("engine killed", why)
            self.network.line(API_HOST).factory = None
            engine.die()

    def _noted(self, kind: str, data: Any) -> None:
        what = f"durable {data[1]}" if kind == "durable" else kind
        if what == self.kill_after:
            self.kill_after = None
            # Right after it happened, and before anybody could be told of it.
            self.loop.call_soon(self.kill, f"after {what}", context=contextvars.Context())

    def turn(self, actor: str, message: object) -> None:
        """Take note of an actor's turn; it may be the engine's last."""
        self.turns += 1
        self.history.step(actor, message)
        if self.kill_at_turn is not None:
            self.kill_at_turn -= 1
            if self.kill_at_turn <= 0:
                self.kill("before an actor's turn")


def patch_for_speed(patch: Any) -> None:
    """Leave out what costs real time and nobody looks at."""
    document, written, page = _described()
    patch(api_server, "openapi", lambda _routes: document)
    patch(api_server, "docs_page", lambda _document: page)
    patch(api_server, "strict_json", SimpleNamespace(write=lambda _document: written))
    patch(gateway_client, "verification", _verification)
    patch(MetricWrapperBase, "labels", _child)
