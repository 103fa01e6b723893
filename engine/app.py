"""The composition root: reads the configuration, builds everything, runs it, stops it.

Rule 1: start from the inside out: limits, journal, orders, API, and only then the sessions.
Stop in reverse, and let what is under way at the broker finish first.

Rule 2: a bad file refuses the start. While running, it keeps the last good one.
"""

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from engine import log, metrics
from engine.actors.bridge import EngineBridge
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock
from engine.actors.spawner import Spawner
from engine.actors.supervisor import SessionParts, Supervisor
from engine.actors.switchboard import Switchboard
from engine.actors.views import Views
from engine.actors.watched_journal import WatchedJournal
from engine.api.server import ApiServer, BindRefused
from engine.api.token import TokenError, load_or_make_token
from engine.config.engine import EngineConfig, SessionConfig, load_engine_config
from engine.config.risk import load_risk_policy, reload_risk_policy
from engine.config.strict_yaml import ConfigError
from engine.config.watch import FileWatch
from engine.domain.messages import EngineStarted, HaltScope, JournalMessage, LimitsLoaded
from engine.domain.ports import Entry
from engine.domain.risk import RiskPolicy
from engine.domain.session import SessionSettings
from engine.domain.values import (
    AccountId,
    ConId,
    Mode,
    Scope,
    ScopeKind,
    SessionName,
    TradingState,
)
from engine.gateway.client import GatewayClient
from engine.gateway.feed import WebSocketFeed
from engine.gateway.instrument import HttpInstrumentGateway
from engine.gateway.order import HttpOrderGateway
from engine.gateway.pacing import Pacing
from engine.gateway.session import HttpSessionGateway
from engine.gateway.tls import TlsPolicy
from engine.gateway.wire.order import TicketEncoder
from engine.journal import JournalError, SqliteJournal, open_journal

_LOG = log.get("app")

DISTRIBUTION: Final = "ibkr-execution-engine"
WATCH_S: Final = 1.0
DRAIN_S_MAX: Final = 20.0
SUPPRESS_MAX: Final = 51
"""The broker takes at most so many message ids to suppress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """What one configured session is made of."""

    client: GatewayClient
    feed: WebSocketFeed
    reads: HttpSessionGateway
    parts: SessionParts


class App:
    """One engine: built by `start`, ended by `stop`."""

    def __init__(
        self,
        config: EngineConfig,
        environ: Mapping[str, str],
        *,
        take_next_port: bool = False,
    ) -> None:
        self.config = config
        self.stopped = asyncio.Event()
        self._environ = environ
        self._take_next_port = take_next_port
        self._stopping = False
        self._sessions: list[_Session] = []
        self._clock = Clock()
        self._tasks: list[asyncio.Task[None]] = []
        self._closers = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Build everything and let it run.

        Raises `ConfigError` for limits that cannot be used, `JournalError` for a journal
        that cannot be trusted, `OSError` for a port that is taken.
        """
        config = self.config
        metrics.configure_account_labels(
            config.account_aliases, raw=config.metrics.account_labels == "raw"
        )
        metrics.BUILD_INFO.labels(version(DISTRIBUTION), config.mode).set(1)
        watch = FileWatch(config.risk.file)  # Before the first read: no change is missed.
        policy = load_risk_policy(config.risk.file)
        config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with contextlib.AsyncExitStack() as closers:
            await self._build(policy, watch, closers)
            self._closers = closers.pop_all()

    async def _build(
        self, policy: RiskPolicy, watch: FileWatch, closers: contextlib.AsyncExitStack
    ) -> None:
        config = self.config
        inner = open_journal(config.journal.url, state_dir=config.state_dir)
        closers.push_async_callback(inner.close)
        self._journal = WatchedJournal(inner)
        self._dispatcher = Dispatcher()
        board = Switchboard(
            journal=self._journal, views=Views(), shard=config.shard, clock=self._clock
        )
        spawner = Spawner(
            dispatcher=self._dispatcher,
            clock=self._clock,
            switchboard=board,
            encoder=TicketEncoder(),
        )
        self._supervisor = Supervisor(
            dispatcher=self._dispatcher,
            clock=self._clock,
            switchboard=board,
            spawner=spawner,
            policy=policy,
        )
        self.bridge = EngineBridge(
            supervisor=self._supervisor,
            switchboard=board,
            clock=self._clock,
            shard=config.shard,
            gateways={SessionName(item.name): item.gateway for item in config.sessions},
            on_drain=lambda: self._keep(self.stop()),
        )
        self._journal.on_commit = self.bridge.journal_advanced
        self._journal.on_failure = self.bridge.journal_failed
        await self._add_sessions(closers)
        self._rebuild(inner, policy)
        await self._serve(closers)
        self._keep(self._watch_limits(watch))
        self._keep(self._measure())
        self._supervisor.start()
        self.bridge.started = True

    async def _add_sessions(self, closers: contextlib.AsyncExitStack) -> None:
        for item in self.config.sessions:
            session = _build_session(self.config, item)
            await session.client.start()
            closers.push_async_callback(session.client.close)
            closers.push_async_callback(session.feed.close_all)
            self._supervisor.add_session(session.parts)
            self._sessions.append(session)

    def _rebuild(self, journal: SqliteJournal, policy: RiskPolicy) -> None:
        records = journal.replay()
        self._supervisor.replay(records)
        if records:
            for session in self._sessions:
                session.reads.defer_reads()
        if self.config.mode is Mode.LIVE:
            # A live engine trades only after a person has looked at it.
            self._supervisor.halt(
                HaltScope(
                    scope=Scope(kind=ScopeKind.FIRM),
                    level=TradingState.HALT,
                    reason="a live engine starts halted; see `engine resume`",
                    by="engine",
                )
            )
        started = EngineStarted(version=version(DISTRIBUTION), mode=self.config.mode)
        self._write(started)
        self._write(_loaded(policy, ()))
        _LOG.info("engine_started", mode=self.config.mode, records=len(records))

    async def _serve(self, closers: contextlib.AsyncExitStack) -> None:
        config = self.config
        self.api = ApiServer(
            engine=self.bridge,
            token=load_or_make_token(config.state_dir, self._environ, mode=config.mode),
            host=config.api.host,
            port=config.api.port,
            tls=_server_tls(config),
            allowed_hosts=config.api.allowed_hosts,
            metrics_host=config.metrics.host,
            metrics_port=config.metrics.port,
            mode=config.mode,
            take_next_port=self._take_next_port,
        )
        await self.api.start()
        closers.push_async_callback(self.api.stop)

    async def stop(self) -> None:
        """Let what is under way finish, then end everything in reverse order.

        Whoever calls it while it runs waits for the same end.
        """
        if self._stopping:
            await self.stopped.wait()
            return
        self._stopping = True
        self.bridge.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                await self.bridge.settle()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        try:
            await self._closers.aclose()
        finally:
            _LOG.info("engine_stopped", settled=self.bridge.settled)
            self.stopped.set()

    # --- in the background ---------------------------------------------------------------

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + WATCH_S
            await asyncio.sleep(WATCH_S)
            metrics.LOOP_LAG_SECONDS.set(max(loop.time() - due, 0))
            for actor_class, depth in self._dispatcher.depths.items():
                metrics.ACTOR_MAILBOX_DEPTH.labels(actor_class).set(depth)

    async def _watch_limits(self, watch: FileWatch) -> None:
        metrics.RISK_RELOAD_OK.set(1)
        metrics.RISK_POLICY_VERSION.set(self._supervisor.policy.version)
        while True:
            await asyncio.sleep(WATCH_S)
            if watch.changed():
                self._reload()

    def _reload(self) -> None:
        try:
            reload = reload_risk_policy(self.config.risk.file, self._supervisor.policy)
        except ConfigError as error:
            self._refuse_limits(str(error))
            return
        policy, changes = reload.policy, tuple(str(change) for change in reload.changes)
        self._supervisor.apply_policy(policy)
        self._write(_loaded(policy, changes))
        metrics.RISK_RELOAD_OK.set(1)
        metrics.RISK_RELOADS.labels("applied").inc()
        metrics.RISK_POLICY_VERSION.set(policy.version)
        _LOG.info(
            "limits_applied",
            version=policy.version,
            policy_hash=policy.policy_hash,
            changes=", ".join(changes),
        )

    def _refuse_limits(self, why: str) -> None:
        self._supervisor.refuse_policy(why)
        metrics.RISK_RELOAD_OK.set(0)
        metrics.RISK_RELOADS.labels("refused").inc()
        _LOG.error("limits_refused", why=why, in_force=self._supervisor.policy.version)

    def _write(self, message: JournalMessage) -> None:
        entry = Entry(at_ns=self._clock.wall_ns(), account=None, order_id=None, message=message)
        self._journal.append(entry, lambda _result: None)


def _loaded(policy: RiskPolicy, changes: tuple[str, ...]) -> LimitsLoaded:
    return LimitsLoaded(
        version=policy.version,
        policy_hash=policy.policy_hash,
        approved_by=policy.approved_by,
        changes=changes,
    )


def _build_session(config: EngineConfig, item: SessionConfig) -> _Session:
    name = SessionName(item.name)
    client = GatewayClient(
        session=name,
        url=item.gateway,
        tls=TlsPolicy(
            verify=item.tls.verify, ca_file=item.tls.ca_file, pin_sha256=item.tls.pin_sha256
        ),
        pacing=Pacing(
            requests_per_s=config.pacing.requests_per_s,
            in_flight=config.pacing.in_flight,
            orders_interval_ms=config.pacing.orders_interval_ms,
            trades_interval_ms=config.pacing.trades_interval_ms,
            penalty_ms=config.pacing.penalty_ms,
        ),
    )
    feed = WebSocketFeed(client, intervals_ms=config.market_data.bar_intervals_ms)
    accounts = None if item.accounts == "all" else tuple(map(AccountId, item.accounts))
    settings = SessionSettings(
        name=name,
        mode=config.mode,
        accounts=accounts,
        compete_once=item.compete == "once",
        suppress=item.suppress_questions,
    )
    conids = config.market_data.subscriptions if item.streams_market_data else ()
    reads = HttpSessionGateway(client)
    parts = SessionParts(
        settings=settings,
        session_gateway=reads,
        order_gateway=HttpOrderGateway(client),
        feed_gateway=feed,
        instrument_gateway=HttpInstrumentGateway(client),
        conids=tuple(map(ConId, conids)),
    )
    return _Session(client=client, feed=feed, reads=reads, parts=parts)


def _server_tls(config: EngineConfig) -> ssl.SSLContext | None:
    if config.api.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.api.tls.cert_file, config.api.tls.key_file)
    return context


async def serve(
    config: EngineConfig,
    environ: Mapping[str, str],
    *,
    on_started: Callable[[App], None] = lambda _app: None,
) -> None:
    """Run an engine until SIGTERM, SIGINT or `POST /v1/drain`."""
    app = App(config, environ)
    await app.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.bridge.drain)
    on_started(app)
    await app.stopped.wait()


def run(config_file: Path) -> int:
    """Run the engine of a configuration file; return the exit code of the process."""
    try:
        config = load_engine_config(config_file, os.environ)
        log.configure(level=config.log.level)
        asyncio.run(serve(config, os.environ))
    except (ConfigError, JournalError, BindRefused, TokenError, OSError) as error:
        sys.stderr.write(f"engine: {error}\n")
        return 1
    return 0
