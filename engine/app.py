"""The composition root: reads the configuration, builds everything, runs it, stops it.

Rule 1: start from the inside out: limits, journal, orders, API, and only then the sessions.
Stop in reverse, and let what is under way at the broker finish first.

Rule 2: a bad file refuses the start. While running, it keeps the last good one.
"""

import asyncio
import contextlib
import gc
import os
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from engine import log, metrics
from engine.api.server import ApiServer, BindRefused
from engine.api.token import TokenError, load_or_make_token
from engine.assembly import Assembly, Surroundings
from engine.config.engine import EngineConfig, load_engine_config
from engine.config.risk import load_risk_policy, reload_risk_policy
from engine.config.strict_yaml import ConfigError
from engine.config.watch import FileWatch
from engine.domain.messages import EngineStarted, JournalMessage, LimitsLoaded
from engine.domain.ports import Entry
from engine.domain.risk import RiskPolicy
from engine.journal import JournalError, open_journal

_LOG = log.get("app")

DISTRIBUTION: Final = "ibkr-execution-engine"
WATCH_S: Final = 1.0
DRAIN_S_MAX: Final = 20.0


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
        journal = self._journal = await open_journal(
            config.journal.url, state_dir=config.state_dir, shard=config.shard
        )
        closers.push_async_callback(journal.close)
        self._assembly = Assembly(
            config,
            policy=policy,
            journal=journal,
            surroundings=Surroundings(),
            on_drain=lambda: self._keep(self.stop()),
        )
        self._supervisor, self.bridge = self._assembly.supervisor, self._assembly.bridge
        closers.push_async_callback(self._assembly.close)
        await self._assembly.open()
        records = await self._assembly.rebuild()
        self._write(EngineStarted(version=version(DISTRIBUTION), mode=config.mode))
        self._write(_loaded(policy, ()))
        _LOG.info("engine_started", mode=config.mode, records=records)
        await self._serve(closers)
        self._keep(self._watch_limits(watch))
        self._keep(self._measure())
        self._assembly.begin()

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
            self._assembly.measure()
            self._journal.measure()

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
        at_ns = self._assembly.clock.wall_ns()
        entry = Entry(at_ns=at_ns, account=None, order_id=None, message=message)
        self._assembly.journal.append(entry, lambda _result: None)


def _loaded(policy: RiskPolicy, changes: tuple[str, ...]) -> LimitsLoaded:
    return LimitsLoaded(
        version=policy.version,
        policy_hash=policy.policy_hash,
        approved_by=policy.approved_by,
        changes=changes,
    )


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
    gc.freeze()  # All orders of the journal stay; no collection need look at them again.
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
